package rawbatch

import (
	"errors"

	"millrace.dev/lib/wire"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// ErrMalformed says that bytes are not a message of the expected type.
var ErrMalformed = errors.New("malformed protobuf message")

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
	// Flows are encoded FlowSample messages.
	Flows [][]byte
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
	// Encoded is the message.
	Encoded []byte
}

// Event is an Event message. Payload and Restated alias the message; Segments and Restatements are used again by the
// next Read.
type Event struct {
	Kind                            millracev1.EventKind
	Connection                      uint32
	Process, Time, Duration, Offset uint64
	Length                          uint32
	Payload                         []byte
	Segments                        []uint32
	Restated                        []byte
	Restatements                    []uint32
	Thread                          uint32
	Goroutine, ParentGoroutine      uint64
	ParentThread, SRTT, Retransmits uint32
	Flags, Error                    uint32
	ParentProcess                   uint64
	LastByteWaited, FirstByteWaited uint64
	Unsent                          uint32
}

// Read replaces b by the message. Fields that are not known are passed over. With an error b holds what was read before
// it.
func (b *Batch) Read(message []byte) error {
	*b = Batch{
		Processes: b.Processes[:0], Connections: b.Connections[:0], Losses: b.Losses[:0], Events: b.Events[:0],
		Flows: b.Flows[:0],
	}
	var f wire.Field
	var ok bool
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return ErrMalformed
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			b.Version = uint32(f.Number)
		case 2<<3 | wire.Length:
			b.Node = f.Bytes
		case 3<<3 | wire.Fixed64:
			b.Epoch = f.Number
		case 4<<3 | wire.Varint:
			b.Partition = uint32(f.Number)
		case 5<<3 | wire.Varint:
			b.Sequence = f.Number
		case 6<<3 | wire.Fixed64:
			b.ClockOffset = int64(f.Number)
		case 7<<3 | wire.Length:
			p := Process{Encoded: f.Bytes}
			if p.ID, ok = processID(f.Bytes); !ok {
				return ErrMalformed
			}
			b.Processes = append(b.Processes, p)
		case 8<<3 | wire.Length:
			b.Connections = append(b.Connections, Connection{Encoded: f.Bytes})
			if !b.Connections[len(b.Connections)-1].read(f.Bytes) {
				return ErrMalformed
			}
		case 9<<3 | wire.Length:
			b.Events = append(b.Events, f.Bytes)
		case 10<<3 | wire.Length:
			l, ok := readLoss(f.Bytes)
			if !ok {
				return ErrMalformed
			}
			b.Losses = append(b.Losses, l)
		case 12<<3 | wire.Length:
			b.Flows = append(b.Flows, f.Bytes)
		case 11<<3 | wire.Length:
			b.HasProgress = true
			if !b.Progress.read(f.Bytes) {
				return ErrMalformed
			}
		}
	}
	return nil
}

func processID(m []byte) (id uint64, ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return 0, false
		}
		if f.ID == 1 && f.Type == wire.Fixed64 {
			id = f.Number
		}
	}
	return id, true
}

// HasLoops reports whether the threads of a process are event loops. It takes the encoded Process message:
// those of Node.js are.
func HasLoops(process []byte) (loops bool) {
	var f wire.Field
	var ok bool
	for len(process) > 0 {
		if process, ok = f.Next(process); !ok {
			return false
		}
		if f.ID == 10 && f.Type == wire.Length {
			loops = string(f.Bytes) == "nodejs"
		}
	}
	return loops
}

func readLoss(m []byte) (l Loss, ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return l, false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			l.Cause = millracev1.LossCause(f.Number)
		case 2<<3 | wire.Varint:
			l.Events = f.Number
		case 3<<3 | wire.Varint:
			l.Bytes = f.Number
		}
	}
	return l, true
}

// read takes the fields that are there, as the generated code does with a message that comes in several parts.
func (p *Progress) read(m []byte) (ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Fixed64:
			p.Sent = f.Number
		case 2<<3 | wire.Fixed64:
			p.Stored = f.Number
		case 3<<3 | wire.Varint:
			p.Last = f.Number != 0
		}
	}
	return true
}

func (c *Connection) read(m []byte) (ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Fixed64:
			c.SendFlow = f.Number
		case 2<<3 | wire.Fixed64:
			c.ReceiveFlow = f.Number
		case 3<<3 | wire.Fixed64:
			c.Socket = f.Number
		case 4<<3 | wire.Fixed64:
			c.Process = f.Number
		case 5<<3 | wire.Varint:
			c.Transport = millracev1.Transport(f.Number)
		case 6<<3 | wire.Varint:
			c.Role = millracev1.Role(f.Number)
		case 7<<3 | wire.Length:
			c.LocalAddress = f.Bytes
		case 8<<3 | wire.Varint:
			c.LocalPort = uint32(f.Number)
		case 9<<3 | wire.Length:
			c.RemoteAddress = f.Bytes
		case 10<<3 | wire.Varint:
			c.RemotePort = uint32(f.Number)
		case 11<<3 | wire.Length:
			c.UnixPath = f.Bytes
		case 12<<3 | wire.Fixed64:
			c.Opened = f.Number
		case 13<<3 | wire.Varint:
			c.Hint = millracev1.Protocol(f.Number)
		case 14<<3 | wire.Varint:
			c.NetworkNamespace = uint32(f.Number)
		case 15<<3 | wire.Fixed64:
			c.Connecting = f.Number
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
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			h.Kind = millracev1.EventKind(f.Number)
		case 2<<3 | wire.Varint:
			h.Connection = uint32(f.Number)
		case 4<<3 | wire.Fixed64:
			h.Time = f.Number
			if h.Kind != 0 && h.Connection != 0 && h.Time != 0 {
				return true
			}
		}
	}
	return true
}

// Read replaces e by the message; it reports whether it is well formed.
func (e *Event) Read(m []byte) (ok bool) {
	*e = Event{Segments: e.Segments[:0], Restatements: e.Restatements[:0]}
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			e.Kind = millracev1.EventKind(f.Number)
		case 2<<3 | wire.Varint:
			e.Connection = uint32(f.Number)
		case 3<<3 | wire.Fixed64:
			e.Process = f.Number
		case 4<<3 | wire.Fixed64:
			e.Time = f.Number
		case 5<<3 | wire.Varint:
			e.Duration = f.Number
		case 6<<3 | wire.Varint:
			e.Offset = f.Number
		case 7<<3 | wire.Varint:
			e.Length = uint32(f.Number)
		case 8<<3 | wire.Length:
			e.Payload = f.Bytes
		case 9<<3 | wire.Length: // packed
			if e.Segments, ok = appendPacked(e.Segments, f.Bytes); !ok {
				return false
			}
		case 9<<3 | wire.Varint:
			e.Segments = append(e.Segments, uint32(f.Number))
		case 10<<3 | wire.Varint:
			e.Thread = uint32(f.Number)
		case 11<<3 | wire.Varint:
			e.Goroutine = f.Number
		case 12<<3 | wire.Varint:
			e.ParentGoroutine = f.Number
		case 13<<3 | wire.Varint:
			e.ParentThread = uint32(f.Number)
		case 14<<3 | wire.Varint:
			e.SRTT = uint32(f.Number)
		case 15<<3 | wire.Varint:
			e.Retransmits = uint32(f.Number)
		case 16<<3 | wire.Varint:
			e.Flags = uint32(f.Number)
		case 17<<3 | wire.Varint:
			e.Error = uint32(f.Number)
		case 18<<3 | wire.Fixed64:
			e.ParentProcess = f.Number
		case 19<<3 | wire.Length:
			e.Restated = f.Bytes
		case 20<<3 | wire.Length: // packed
			if e.Restatements, ok = appendPacked(e.Restatements, f.Bytes); !ok {
				return false
			}
		case 20<<3 | wire.Varint:
			e.Restatements = append(e.Restatements, uint32(f.Number))
		case 21<<3 | wire.Varint:
			e.LastByteWaited = f.Number
		case 22<<3 | wire.Varint:
			e.FirstByteWaited = f.Number
		case 23<<3 | wire.Varint:
			e.Unsent = uint32(f.Number)
		}
	}
	return true
}

// appendPacked appends packed numbers.
func appendPacked(dst []uint32, packed []byte) (_ []uint32, ok bool) {
	for len(packed) > 0 {
		var v uint64
		if v, packed, ok = wire.Uvarint(packed); !ok {
			return dst, false
		}
		dst = append(dst, uint32(v))
	}
	return dst, true
}
