package stream

import (
	"math"
	"slices"
)

// Actor is who moved bytes.
type Actor struct {
	// Process that acted: Process.id.
	Process uint64
	// Goroutine id, 0 if the thread is the task.
	Goroutine uint64
	// Parent is the goroutine that created Goroutine, 0 if unknown.
	Parent uint64
	// Thread id in the host's PID namespace.
	Thread uint32
}

// Meta is what is known of the event that moved a byte.
type Meta struct {
	// Begin is when the move began: the start of the system call of a send, the return of that of a receive. Node time,
	// ns.
	Begin int64
	// End is when the system call returned. Node time, ns.
	End int64
	// Serial numbers the events of a stream in stream order, from 1.
	Serial uint64
	Actor  Actor
}

// Event is bytes moved by one system call.
type Event struct {
	// Offset of the first byte in the stream.
	Offset uint64
	// Length is the number of bytes moved.
	Length uint32
	// Payload are the bytes shipped. Push copies what it keeps beyond the next Settle.
	Payload []byte
	// Segments place Payload within the event: pairs (position, length), ascending. Empty: one run from position 0.
	Segments []uint32
	// Restated are bytes that stand in place of others, and Restatements where they belong, as in Event of raw.proto.
	Restated     []byte
	Restatements []uint32
	// Unreadable says that the bytes that are missing from Payload were wanted, so that they count as lost.
	Unreadable bool
	// Part says that the call that moved the bytes moved those of the event before as well: the two count as one event.
	Part bool
	// Meta of the event; Serial is set by the stream.
	Meta    Meta
	Arrival Arrival
}

// Kind says what is at the position.
type Kind uint8

// Kinds of runs.
const (
	// None: nothing has arrived yet.
	None Kind = iota
	// Bytes are there.
	Bytes
	// Hole: bytes that capture left out on purpose.
	Hole
	// Lost: bytes that should be there and are not.
	Lost
)

// Limits of what is kept of events that came before their turn.
const (
	maxPending      = 64
	maxPendingBytes = 256 << 10
	// gapWait is how much later (ns of node time) than the oldest waiting event another may be before the gap counts as
	// real.
	gapWait = int64(500e6)
)

type run struct {
	n    uint64
	wire uint64 // by how much the position moves: n, but in a range that is restated
	meta Meta
	// arrival has First only if the run begins its event, and the rest only if it ends it.
	arrival Arrival
	kind    Kind
	first   bool // begins its event
	last    bool // ends its event
	// restated: the run is of a range that is restated, and with tail it ends that.
	restated, tail bool
	// begun: some of the run was consumed, so that its meta is that of the last byte that was.
	begun bool
}

// moves is by how much the position moves with the first n bytes of r, less than all.
func (r *run) moves(n uint64) uint64 {
	most := r.wire
	if r.tail && most > 0 {
		most--
	}
	return min(n, most)
}

// Stream is one direction of one connection end. The zero value is a stream whose start is not known (see
// [Stream.StartAt]).
type Stream struct {
	pos, end uint64
	runs     []run
	head     int
	// view holds the bytes of the queued runs of kind Bytes, one after another. It aliases the event until Settle.
	view    []byte
	store   []byte
	aliased bool
	started bool
	pending []Event
	waiting int // bytes of payload and segments in pending
	// deferred are bytes of the wire at the end of what has come that are restated by the next event, if it does so.
	deferred      uint64
	deferredMeta  Meta
	deferredFirst bool // they begin their event

	serial uint64
	last   Meta
	// lastArrival is that of the event of the last byte that was consumed, if that ended the event.
	lastArrival Arrival
	lost        uint64 // lost bytes that were consumed since TakeLost

	// Concurrent says that offsets overlapped: several threads used the socket at once.
	Concurrent bool
	// Joined says that the first event did not begin at offset 0: the connection is older than what is known of it.
	Joined bool
	// Duplicates counts bytes that came again.
	Duplicates uint64
	// Missing counts bytes that were wanted and never came. The counters may be set back by their reader.
	Missing uint64
	// Hidden counts bytes that were passed over because what came before them was missing or not understood. Messages
	// in them are not seen.
	Hidden uint64
	// Malformed counts events that contradicted themselves.
	Malformed uint64
}

// StartAt fixes where the stream begins; without it, it begins with the first event.
func (s *Stream) StartAt(offset uint64) {
	if !s.started {
		s.started, s.pos, s.end = true, offset, offset
	}
}

// StartOver goes on at an offset, whatever was before it: what is queued, or waits, is forgotten. For datagrams,
// between which nothing is missing.
func (s *Stream) StartOver(offset uint64) {
	s.started, s.pos, s.end, s.lost = true, offset, offset, 0
	s.runs, s.head = s.runs[:0], 0
	s.view, s.aliased = nil, false
	s.pending, s.waiting = nil, 0
}

// Started reports whether the stream has a beginning.
func (s *Stream) Started() bool { return s.started }

// Push takes an event. It reports whether the parser has something new to see.
func (s *Stream) Push(e *Event) bool {
	if e.Offset > math.MaxUint64-uint64(e.Length) || !wellFormed(e) {
		s.Malformed++
		return false
	}
	if !s.started {
		s.StartAt(e.Offset)
		s.Joined = e.Offset > 0
	}
	switch {
	case e.Offset == s.end:
		if e.Length == 0 {
			return true
		}
		s.append(e)
	case e.Offset > s.end:
		if e.Length > 0 {
			s.park(e)
		}
	case e.Offset+uint64(e.Length) <= s.end:
		s.Duplicates += uint64(e.Length)
		return false
	default:
		s.Concurrent = true
		s.Duplicates += s.end - e.Offset
		trimmed := *e
		trim(&trimmed, s.end)
		s.append(&trimmed)
	}
	if len(s.pending) > 0 {
		s.drain()
		if s.overdue(e.Meta.End) {
			s.GiveUpGap()
		}
	}
	return s.head < len(s.runs)
}

// append queues an event whose turn has come.
func (s *Stream) append(e *Event) {
	if s.head == len(s.runs) {
		s.runs, s.head = s.runs[:0], 0
	}
	if !e.Part || s.serial == 0 {
		s.serial++
	}
	q := queue{s: s, e: e, meta: e.Meta, missing: Hole}
	q.meta.Serial = s.serial
	if e.Unreadable {
		q.missing = Lost
	}
	if len(e.Restatements) == 0 || e.Restatements[0] != 0 || e.Restatements[3]&restatedRest == 0 {
		s.endDeferred()
	}
	first := len(s.runs)
	q.all()
	if first < len(s.runs) {
		s.runs[first].first = !e.Part
		if q.continued {
			s.runs[first].first = q.continuedFirst
		}
		s.runs[len(s.runs)-1].last = true
		if !q.continued {
			s.runs[first].arrival.First = e.Arrival.First
		}
		if s.deferred == 0 {
			a := &s.runs[len(s.runs)-1].arrival
			a.Last, a.Unsent = e.Arrival.Last, e.Arrival.Unsent
		}
	}
	s.end += uint64(e.Length)
}

// own makes store hold exactly the bytes of view.
func (s *Stream) own() {
	if s.aliased || len(s.view) != len(s.store) {
		s.store = append(s.store[:0], s.view...)
		s.aliased = false
	}
	s.view = s.store
}

// Settle ends the use of the memory of events that were pushed: what the parser left is copied.
func (s *Stream) Settle() {
	switch {
	case len(s.view) == 0:
		s.view, s.aliased = nil, false
		if cap(s.store) > 16<<10 { // a rare large message must not pin its buffer for the connection's life
			s.store = nil
		}
		s.store = s.store[:0]
	case s.aliased:
		s.own()
	}
	if s.head == len(s.runs) {
		s.runs, s.head = s.runs[:0], 0
		if cap(s.runs) > 256 {
			s.runs = nil
		}
	} else if s.head > 64 {
		s.runs = slices.Delete(s.runs, 0, s.head)
		s.head = 0
	}
}
