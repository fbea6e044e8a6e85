package batch

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

// Version of the schema that is written.
const Version = 1

// FlagAfterLoss is the bit of Event.flags that says that events of the connection were lost before this one.
const FlagAfterLoss = 16

// Connection is what builders keep per connection. The zero value is ready. A connection belongs to one builder for
// life.
type Connection struct {
	sequence uint64 // of the batch in which index is valid
	index    uint32
	losses   uint64 // Builder.losses when the connection was last told
	begun    bool
}

// Builder collects events of one partition. It is not safe for concurrent use.
type Builder struct {
	node      string
	epoch     uint64
	partition uint32
	sequence  uint64 // of the batch being built, from 1
	losses    uint64 // times batches of this partition were dropped

	processes   []byte
	connections []byte
	events      []byte
	flows       []byte

	known           map[uint64]*byte // processes in the batch, by id: first byte of their encoding
	connectionCount uint32
	eventCount      int
}

// NewBuilder makes a builder of one partition. epoch is the start of this capture instance in nanoseconds since the
// Unix epoch.
func NewBuilder(node string, epoch uint64, partition int) *Builder {
	return &Builder{node: node, epoch: epoch, partition: uint32(partition), sequence: 1, known: map[uint64]*byte{}}
}

// Size is how many bytes the batch has so far, without its head.
func (b *Builder) Size() int {
	return len(b.processes) + len(b.connections) + len(b.events) + len(b.flows)
}

// Events is how many events and samples the batch has.
func (b *Builder) Events() int { return b.eventCount }

// Sequence of the batch being built.
func (b *Builder) Sequence() uint64 { return b.sequence }

// Partition of the builder.
func (b *Builder) Partition() int { return int(b.partition) }

// Lost notes that a batch of this partition was dropped: the next event of each of its connections says so.
func (b *Builder) Lost() { b.losses++ }

// Process adds the facts of a process unless the batch has them. encoded is a marshalled [millracev1.Process] that
// never changes: facts that changed come as another slice and are written again.
func (b *Builder) Process(id uint64, encoded []byte) {
	if len(encoded) == 0 || b.known[id] == &encoded[0] {
		return
	}
	b.known[id] = &encoded[0]
	b.processes = append(b.processes, 7<<3|2)
	b.processes = binary.AppendUvarint(b.processes, uint64(len(encoded)))
	b.processes = append(b.processes, encoded...)
}

// Intern gives the reference to a connection in the batch, and whether this was the connection's first event in it, so
// that the caller adds the owner's facts then. owner is the Process.id of its owner.
func (b *Builder) Intern(state *Connection, k *kernel.Connection, owner uint64) (reference uint32, first bool) {
	if state.sequence == b.sequence {
		return state.index, false
	}
	if !state.begun {
		state.begun, state.losses = true, b.losses
	}
	b.connectionCount++
	state.sequence, state.index = b.sequence, b.connectionCount
	b.connections = appendConnection(b.connections, k, owner)
	return state.index, true
}

// Event adds an event. reference is what [Builder.Intern] gave, 0 for an event without a connection; actor is the
// Process.id to name in the event, 0 for none. Nothing of ev is kept.
func (b *Builder) Event(ev *kernel.Event, state *Connection, reference uint32, actor uint64) {
	flags := ev.Flags
	if state != nil && state.losses != b.losses {
		state.losses = b.losses
		flags |= FlagAfterLoss
	}
	b.events = appendEvent(b.events, ev, reference, actor, flags, 0)
	b.eventCount++
}

// Made adds an event that says who made a process: another one, by its Process.id.
func (b *Builder) Made(process uint64, ev *kernel.Event, maker uint64) {
	b.events = appendEvent(b.events, ev, 0, process, ev.Flags, maker)
	b.eventCount++
}

// Finish appends the batch to dst and begins the next one.
func (b *Builder) Finish(dst []byte, clockOffsetNS int64, losses []Loss) []byte {
	dst = appendUint(dst, 1, Version)
	dst = appendString(dst, 2, b.node)
	dst = appendFixed(dst, 3, b.epoch)
	dst = appendUint(dst, 4, uint64(b.partition))
	dst = appendUint(dst, 5, b.sequence)
	dst = appendFixed(dst, 6, uint64(clockOffsetNS))
	dst = append(dst, b.processes...)
	dst = append(dst, b.connections...)
	dst = append(dst, b.events...)
	dst = append(dst, b.flows...)
	for _, loss := range losses {
		n := sizeUint(uint64(loss.Cause)) + sizeUint(loss.Events) + sizeUint(loss.Bytes)
		dst = append(dst, 10<<3|2, byte(n)) // At most 2+2*11 bytes.
		dst = appendUint(dst, 1, uint64(loss.Cause))
		dst = appendUint(dst, 2, loss.Events)
		dst = appendUint(dst, 3, loss.Bytes)
	}
	b.sequence++
	b.processes, b.connections, b.events = b.processes[:0], b.connections[:0], b.events[:0]
	b.flows = b.flows[:0]
	b.connectionCount, b.eventCount = 0, 0
	clear(b.known)
	return dst
}

// Release frees the buffers of a builder that has nothing to do.
func (b *Builder) Release() {
	if b.Size() == 0 {
		b.processes, b.connections, b.events, b.flows = nil, nil, nil, nil
	}
}

// kinds are the kinds as the schema numbers them.
var kinds = [...]millracev1.EventKind{
	kernel.Send:        millracev1.EventKind_EVENT_KIND_SEND,
	kernel.Receive:     millracev1.EventKind_EVENT_KIND_RECEIVE,
	kernel.Open:        millracev1.EventKind_EVENT_KIND_OPEN,
	kernel.Close:       millracev1.EventKind_EVENT_KIND_CLOSE,
	kernel.Reset:       millracev1.EventKind_EVENT_KIND_RESET,
	kernel.TaskStart:   millracev1.EventKind_EVENT_KIND_TASK_START,
	kernel.TaskEnd:     millracev1.EventKind_EVENT_KIND_TASK_END,
	kernel.Handoff:     millracev1.EventKind_EVENT_KIND_HANDOFF,
	kernel.ProcessExit: millracev1.EventKind_EVENT_KIND_PROCESS_EXIT,
	kernel.ProcessFork: millracev1.EventKind_EVENT_KIND_PROCESS_START,
	kernel.Unwatched:   millracev1.EventKind_EVENT_KIND_END_OF_CAPTURE,
}

func kindOf(k kernel.Kind) uint64 {
	if int(k) >= len(kinds) {
		return 0
	}
	return uint64(kinds[k])
}

// appendEvent appends field 9 of RawBatch. The length comes before the event, so it is summed up first; that is cheaper
// than moving the bytes afterwards.
func appendEvent(dst []byte, ev *kernel.Event, reference uint32, actor uint64, flags uint32, maker uint64) []byte {
	kind := kindOf(ev.Kind)
	packed := 0
	for _, s := range ev.Segments {
		packed += sizeVarint(uint64(s.At)) + sizeVarint(uint64(s.Length))
	}
	n := sizeUint(kind) + sizeUint(uint64(reference)) + sizeFixed(actor) + sizeFixed(ev.TimeNS) + sizeUint(ev.DurationNS) +
		sizeUint(ev.Offset) + sizeUint(uint64(ev.Length)) + sizeUint(uint64(ev.Thread)) + sizeUint(ev.Goroutine) +
		sizeUint(ev.ParentGoroutine) + sizeUint(uint64(ev.ParentThread)) + sizeUint(uint64(ev.SRTTUS)) + sizeUint(uint64(ev.Retransmits))
	if len(ev.Payload) > 0 {
		n += 1 + sizeVarint(uint64(len(ev.Payload))) + len(ev.Payload)
	}
	if packed > 0 {
		n += 1 + sizeVarint(uint64(packed)) + packed
	}
	if flags != 0 {
		n += 2 + sizeVarint(uint64(flags))
	}
	if ev.Error != 0 {
		n += 2 + sizeVarint(uint64(ev.Error))
	}
	if maker != 0 {
		n += 2 + 8
	}
	restatements := 0
	for _, v := range ev.Restatements {
		restatements += sizeVarint(uint64(v))
	}
	if restatements > 0 {
		n += 2 + sizeVarint(uint64(restatements)) + restatements
	}
	if len(ev.Restated) > 0 {
		n += 2 + sizeVarint(uint64(len(ev.Restated))) + len(ev.Restated)
	}
	w := waitsOf(ev)
	n += w.size()
	dst = append(dst, 9<<3|2)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = appendUint(dst, 1, kind)
	dst = appendUint(dst, 2, uint64(reference))
	dst = appendFixed(dst, 3, actor)
	dst = appendFixed(dst, 4, ev.TimeNS)
	dst = appendUint(dst, 5, ev.DurationNS)
	dst = appendUint(dst, 6, ev.Offset)
	dst = appendUint(dst, 7, uint64(ev.Length))
	if len(ev.Payload) > 0 {
		dst = append(dst, 8<<3|2)
		dst = binary.AppendUvarint(dst, uint64(len(ev.Payload)))
		dst = append(dst, ev.Payload...)
	}
	if packed > 0 {
		dst = append(dst, 9<<3|2)
		dst = binary.AppendUvarint(dst, uint64(packed))
		for _, s := range ev.Segments {
			dst = binary.AppendUvarint(dst, uint64(s.At))
			dst = binary.AppendUvarint(dst, uint64(s.Length))
		}
	}
	dst = appendUint(dst, 10, uint64(ev.Thread))
	dst = appendUint(dst, 11, ev.Goroutine)
	dst = appendUint(dst, 12, ev.ParentGoroutine)
	dst = appendUint(dst, 13, uint64(ev.ParentThread))
	dst = appendUint(dst, 14, uint64(ev.SRTTUS))
	dst = appendUint(dst, 15, uint64(ev.Retransmits))
	if flags != 0 {
		dst = append(dst, 0x80, 0x01) // field 16
		dst = binary.AppendUvarint(dst, uint64(flags))
	}
	if ev.Error != 0 {
		dst = append(dst, 0x88, 0x01) // field 17
		dst = binary.AppendUvarint(dst, uint64(ev.Error))
	}
	if maker != 0 {
		dst = append(dst, 0x91, 0x01) // field 18, fixed
		dst = binary.LittleEndian.AppendUint64(dst, maker)
	}
	return w.append(appendRestated(dst, ev, restatements))
}

// waits are the fields of an event from 21 on.
type waits [3]uint64

// waitsOf gives how long the bytes of ev waited before its time, and what waited then.
func waitsOf(ev *kernel.Event) waits {
	before := func(at uint64) uint64 {
		if at == 0 || at > ev.TimeNS {
			return 0
		}
		return max(ev.TimeNS-at, 1)
	}
	return waits{before(ev.ArrivedNS), before(ev.FirstArrivedNS), uint64(ev.Unsent)}
}

func (w *waits) size() (n int) {
	for _, v := range w {
		if v != 0 {
			n += 2 + sizeVarint(v)
		}
	}
	return n
}

func (w *waits) append(dst []byte) []byte {
	for i, v := range w {
		if v != 0 {
			dst = binary.AppendUvarint(append(dst, 0xa8+8*byte(i), 0x01), v) // fields 21 to 23
		}
	}
	return dst
}

// appendRestated appends what is restated; packed is the size of the numbers.
func appendRestated(dst []byte, ev *kernel.Event, packed int) []byte {
	if len(ev.Restated) > 0 {
		dst = append(dst, 0x9a, 0x01) // field 19
		dst = binary.AppendUvarint(dst, uint64(len(ev.Restated)))
		dst = append(dst, ev.Restated...)
	}
	if packed > 0 {
		dst = append(dst, 0xa2, 0x01) // field 20
		dst = binary.AppendUvarint(dst, uint64(packed))
		for _, v := range ev.Restatements {
			dst = binary.AppendUvarint(dst, uint64(v))
		}
	}
	return dst
}

// appendConnection appends field 8 of RawBatch. There are few per batch, so the length is made room for and filled in
// afterwards.
func appendConnection(dst []byte, k *kernel.Connection, owner uint64) []byte {
	var scratch [256]byte
	m := scratch[:0]
	m = appendFixed(m, 1, k.SendFlow)
	m = appendFixed(m, 2, k.SendFlow<<32|k.SendFlow>>32)
	m = appendFixed(m, 3, k.Socket)
	m = appendFixed(m, 4, owner)
	m = appendUint(m, 5, uint64(k.Transport))
	m = appendUint(m, 6, uint64(k.Role))
	if k.Local.IsValid() {
		m = appendAddress(m, 7, k.Local.Addr())
		m = appendUint(m, 8, uint64(k.Local.Port()))
	}
	if k.Remote.IsValid() {
		m = appendAddress(m, 9, k.Remote.Addr())
		m = appendUint(m, 10, uint64(k.Remote.Port()))
	}
	m = appendString(m, 11, k.UnixPath)
	m = appendFixed(m, 12, k.OpenedNS)
	m = appendUint(m, 13, uint64(k.Hint))
	m = appendUint(m, 14, uint64(k.NetworkNS))
	m = appendFixed(m, 15, k.ConnectingNS)
	dst = append(dst, 8<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	return append(dst, m...)
}

func appendUint(dst []byte, field byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, field<<3), v)
}

func appendFixed(dst []byte, field byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint64(append(dst, field<<3|1), v)
}

func appendString(dst []byte, field byte, s string) []byte {
	if s == "" {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, field<<3|2), uint64(len(s))), s...)
}

// appendAddress avoids Addr.AsSlice, which allocates.
func appendAddress(dst []byte, field byte, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return append(append(dst, field<<3|2, 4), b[:]...)
	}
	b := a.As16()
	return append(append(dst, field<<3|2, 16), b[:]...)
}

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// sizeUint is the size of a varint field below 16.
func sizeUint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + sizeVarint(v)
}

func sizeFixed(v uint64) int {
	if v == 0 {
		return 0
	}
	return 9
}
