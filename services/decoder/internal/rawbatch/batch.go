package rawbatch

import (
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Batch is a RawBatch. Everything in it aliases the message it was read from. It may be used for one message after
// another.
type Batch struct {
	Version, Partition uint32
	Node               []byte
	Epoch, Sequence    uint64
	ClockOffset        int64
	Processes          []Process
	Connections        []Connection
	Losses             []Loss
	Progress           Progress
	HasProgress        bool
	// Events are encoded; see [Event.Read].
	Events [][]byte
}

// Process is an encoded Process message and its id.
type Process struct {
	ID      uint64
	Encoded []byte
}

// Loss is a Loss message.
type Loss struct {
	Cause         millracev1.LossCause
	Events, Bytes uint64
}

// Progress is a NodeProgress message.
type Progress struct {
	Sent, Stored uint64 // node time, ns
	Last         bool
}

// Connection is a Connection message.
type Connection struct {
	SendFlow, ReceiveFlow, Socket, Process uint64
	Opened, Connecting                     uint64
	LocalAddress, RemoteAddress, UnixPath  []byte
	LocalPort, RemotePort                  uint32
	NetworkNamespace                       uint32
	Transport                              millracev1.Transport
	Role                                   millracev1.Role
	Hint                                   millracev1.Protocol
}

// Event is an Event message. Payload aliases the message; Segments is used again by the next Read.
type Event struct {
	Kind                            millracev1.EventKind
	Connection                      uint32
	Process, Time, Duration, Offset uint64
	Length                          uint32
	Payload                         []byte
	Segments                        []uint32
	Thread                          uint32
	Goroutine, ParentGoroutine      uint64
	ParentThread, SRTT, Retransmits uint32
	Flags, Error                    uint32
	ParentProcess                   uint64
}

// Read replaces b by the message. Fields that are not known are passed over. With an error b holds what was read before
// it.
func (b *Batch) Read(message []byte) error {
	*b = Batch{
		Processes: b.Processes[:0], Connections: b.Connections[:0], Losses: b.Losses[:0], Events: b.Events[:0],
	}
	var f field
	var ok bool
	for len(message) > 0 {
		if message, ok = f.next(message); !ok {
			return ErrMalformed
		}
		switch f.id<<3 | uint32(f.wire) {
		case 1<<3 | varint:
			b.Version = uint32(f.number)
		case 2<<3 | length:
			b.Node = f.bytes
		case 3<<3 | fixed64:
			b.Epoch = f.number
		case 4<<3 | varint:
			b.Partition = uint32(f.number)
		case 5<<3 | varint:
			b.Sequence = f.number
		case 6<<3 | fixed64:
			b.ClockOffset = int64(f.number)
		case 7<<3 | length:
			p := Process{Encoded: f.bytes}
			if p.ID, ok = processID(f.bytes); !ok {
				return ErrMalformed
			}
			b.Processes = append(b.Processes, p)
		case 8<<3 | length:
			b.Connections = append(b.Connections, Connection{})
			if !b.Connections[len(b.Connections)-1].read(f.bytes) {
				return ErrMalformed
			}
		case 9<<3 | length:
			b.Events = append(b.Events, f.bytes)
		case 10<<3 | length:
			l, ok := readLoss(f.bytes)
			if !ok {
				return ErrMalformed
			}
			b.Losses = append(b.Losses, l)
		case 11<<3 | length:
			b.HasProgress = true
			if !b.Progress.read(f.bytes) {
				return ErrMalformed
			}
		}
	}
	return nil
}

func processID(m []byte) (id uint64, ok bool) {
	var f field
	for len(m) > 0 {
		if m, ok = f.next(m); !ok {
			return 0, false
		}
		if f.id == 1 && f.wire == fixed64 {
			id = f.number
		}
	}
	return id, true
}

// HasLoops reports whether the threads of a process, of which it gets the encoded Process message, are event loops: those
// of Node.js are.
func HasLoops(process []byte) (loops bool) {
	var f field
	var ok bool
	for len(process) > 0 {
		if process, ok = f.next(process); !ok {
			return false
		}
		if f.id == 10 && f.wire == length {
			loops = string(f.bytes) == "nodejs"
		}
	}
	return loops
}

func readLoss(m []byte) (l Loss, ok bool) {
	var f field
	for len(m) > 0 {
		if m, ok = f.next(m); !ok {
			return l, false
		}
		switch f.id<<3 | uint32(f.wire) {
		case 1<<3 | varint:
			l.Cause = millracev1.LossCause(f.number)
		case 2<<3 | varint:
			l.Events = f.number
		case 3<<3 | varint:
			l.Bytes = f.number
		}
	}
	return l, true
}

// read takes the fields that are there, as the generated code does with a message that comes in several parts.
func (p *Progress) read(m []byte) (ok bool) {
	var f field
	for len(m) > 0 {
		if m, ok = f.next(m); !ok {
			return false
		}
		switch f.id<<3 | uint32(f.wire) {
		case 1<<3 | fixed64:
			p.Sent = f.number
		case 2<<3 | fixed64:
			p.Stored = f.number
		case 3<<3 | varint:
			p.Last = f.number != 0
		}
	}
	return true
}

func (c *Connection) read(m []byte) (ok bool) {
	var f field
	for len(m) > 0 {
		if m, ok = f.next(m); !ok {
			return false
		}
		switch f.id<<3 | uint32(f.wire) {
		case 1<<3 | fixed64:
			c.SendFlow = f.number
		case 2<<3 | fixed64:
			c.ReceiveFlow = f.number
		case 3<<3 | fixed64:
			c.Socket = f.number
		case 4<<3 | fixed64:
			c.Process = f.number
		case 5<<3 | varint:
			c.Transport = millracev1.Transport(f.number)
		case 6<<3 | varint:
			c.Role = millracev1.Role(f.number)
		case 7<<3 | length:
			c.LocalAddress = f.bytes
		case 8<<3 | varint:
			c.LocalPort = uint32(f.number)
		case 9<<3 | length:
			c.RemoteAddress = f.bytes
		case 10<<3 | varint:
			c.RemotePort = uint32(f.number)
		case 11<<3 | length:
			c.UnixPath = f.bytes
		case 12<<3 | fixed64:
			c.Opened = f.number
		case 13<<3 | varint:
			c.Hint = millracev1.Protocol(f.number)
		case 14<<3 | varint:
			c.NetworkNamespace = uint32(f.number)
		case 15<<3 | fixed64:
			c.Connecting = f.number
		}
	}
	return true
}

// Head is what must be known of an event to tell who handles it.
type Head struct {
	Kind       millracev1.EventKind
	Connection uint32
	Time       uint64
}

// Read replaces h by the head of an Event message; it reports whether what it read is well formed. Fields come in the
// order of their numbers unless a writer is peculiar, so it stops behind the head once it has all of it. Of fields that
// come again later, which are last in the message counts: [Event.Read] decides.
func (h *Head) Read(m []byte) (ok bool) {
	*h = Head{}
	var f field
	for len(m) > 0 {
		if m, ok = f.next(m); !ok {
			return false
		}
		switch f.id<<3 | uint32(f.wire) {
		case 1<<3 | varint:
			h.Kind = millracev1.EventKind(f.number)
		case 2<<3 | varint:
			h.Connection = uint32(f.number)
		case 4<<3 | fixed64:
			h.Time = f.number
			if h.Kind != 0 && h.Connection != 0 && h.Time != 0 {
				return true
			}
		}
	}
	return true
}

// Read replaces e by the message; it reports whether it is well formed.
func (e *Event) Read(m []byte) (ok bool) {
	*e = Event{Segments: e.Segments[:0]}
	var f field
	for len(m) > 0 {
		if m, ok = f.next(m); !ok {
			return false
		}
		switch f.id<<3 | uint32(f.wire) {
		case 1<<3 | varint:
			e.Kind = millracev1.EventKind(f.number)
		case 2<<3 | varint:
			e.Connection = uint32(f.number)
		case 3<<3 | fixed64:
			e.Process = f.number
		case 4<<3 | fixed64:
			e.Time = f.number
		case 5<<3 | varint:
			e.Duration = f.number
		case 6<<3 | varint:
			e.Offset = f.number
		case 7<<3 | varint:
			e.Length = uint32(f.number)
		case 8<<3 | length:
			e.Payload = f.bytes
		case 9<<3 | length: // packed
			for p := f.bytes; len(p) > 0; {
				v, n := binary.Uvarint(p)
				if n <= 0 {
					return false
				}
				e.Segments = append(e.Segments, uint32(v))
				p = p[n:]
			}
		case 9<<3 | varint:
			e.Segments = append(e.Segments, uint32(f.number))
		case 10<<3 | varint:
			e.Thread = uint32(f.number)
		case 11<<3 | varint:
			e.Goroutine = f.number
		case 12<<3 | varint:
			e.ParentGoroutine = f.number
		case 13<<3 | varint:
			e.ParentThread = uint32(f.number)
		case 14<<3 | varint:
			e.SRTT = uint32(f.number)
		case 15<<3 | varint:
			e.Retransmits = uint32(f.number)
		case 16<<3 | varint:
			e.Flags = uint32(f.number)
		case 17<<3 | varint:
			e.Error = uint32(f.number)
		case 18<<3 | fixed64:
			e.ParentProcess = f.number
		}
	}
	return true
}
