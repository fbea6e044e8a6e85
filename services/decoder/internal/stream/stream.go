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
	// Begin is when the move began: the start of the system call of a send, the return of that of a receive. Node time, ns.
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
	// Unreadable says that the bytes that are missing from Payload were wanted, so that they count as lost.
	Unreadable bool
	// Meta of the event; Serial is set by the stream.
	Meta Meta
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
	// gapWait is how much later (ns of node time) than the oldest waiting event another may be before the gap counts as real.
	gapWait = int64(500e6)
)

type run struct {
	n     uint64
	meta  Meta
	kind  Kind
	first bool // begins its event
	last  bool // ends its event
}

// Stream is one direction of one connection end. The zero value is a stream whose start is not known (see [Stream.StartAt]).
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
	waiting int // payload bytes in pending

	serial uint64
	last   Meta
	lost   uint64 // lost bytes that were consumed since TakeLost

	// Concurrent says that offsets overlapped: several threads used the socket at once.
	Concurrent bool
	// Joined says that the first event did not begin at offset 0: the connection is older than what is known of it.
	Joined bool
	// Duplicates counts bytes that came again.
	Duplicates uint64
	// Missing counts bytes that were wanted and never came. The counters may be set back by their reader.
	Missing uint64
	// Malformed counts events that contradicted themselves.
	Malformed uint64
}

// StartAt fixes where the stream begins; without it, it begins with the first event.
func (s *Stream) StartAt(offset uint64) {
	if !s.started {
		s.started, s.pos, s.end = true, offset, offset
	}
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

// wellFormed checks that segments ascend within the event and cover the payload.
func wellFormed(e *Event) bool {
	if len(e.Segments) == 0 {
		return uint64(len(e.Payload)) <= uint64(e.Length)
	}
	if len(e.Segments)%2 != 0 {
		return false
	}
	var at, sum uint64
	for i := 0; i < len(e.Segments); i += 2 {
		if uint64(e.Segments[i]) < at {
			return false
		}
		at = uint64(e.Segments[i]) + uint64(e.Segments[i+1])
		sum += uint64(e.Segments[i+1])
	}
	return at <= uint64(e.Length) && sum == uint64(len(e.Payload))
}

// trim drops what lies before offset from the front of e, which overlaps offset.
func trim(e *Event, offset uint64) {
	cut := uint32(offset - e.Offset)
	e.Offset, e.Length = offset, e.Length-cut
	if len(e.Segments) == 0 {
		e.Payload = e.Payload[min(int(cut), len(e.Payload)):]
		return
	}
	segments := make([]uint32, 0, len(e.Segments))
	for i := 0; i < len(e.Segments); i += 2 {
		at, n := e.Segments[i], e.Segments[i+1]
		switch {
		case at >= cut:
			segments = append(segments, at-cut, n)
		case at+n > cut:
			segments = append(segments, 0, at+n-cut)
			e.Payload = e.Payload[cut-at:]
		default:
			e.Payload = e.Payload[n:]
		}
	}
	if len(segments) == 0 { // nothing of the payload is left
		segments = nil
		e.Payload = nil
	}
	e.Segments = segments
}

func (s *Stream) append(e *Event) {
	if s.head == len(s.runs) {
		s.runs, s.head = s.runs[:0], 0
	}
	s.serial++
	meta := e.Meta
	meta.Serial = s.serial
	missing := Hole
	if e.Unreadable {
		missing = Lost
	}
	first := len(s.runs)
	switch {
	case len(e.Segments) == 0:
		n := uint64(len(e.Payload))
		if n > 0 {
			s.runs = append(s.runs, run{n: n, meta: meta, kind: Bytes})
		}
		if rest := uint64(e.Length) - n; rest > 0 {
			s.runs = append(s.runs, run{n: rest, meta: meta, kind: missing})
		}
	default:
		var at uint32
		for i := 0; i < len(e.Segments); i += 2 {
			if gap := e.Segments[i] - at; gap > 0 {
				s.runs = append(s.runs, run{n: uint64(gap), meta: meta, kind: missing})
			}
			if n := e.Segments[i+1]; n > 0 {
				s.runs = append(s.runs, run{n: uint64(n), meta: meta, kind: Bytes})
			}
			at = e.Segments[i] + e.Segments[i+1]
		}
		if rest := e.Length - at; rest > 0 {
			s.runs = append(s.runs, run{n: uint64(rest), meta: meta, kind: missing})
		}
	}
	s.runs[first].first = true
	s.runs[len(s.runs)-1].last = true
	if len(e.Payload) > 0 {
		if len(s.view) == 0 {
			s.view, s.aliased = e.Payload, true
		} else {
			s.own()
			s.store = append(s.store, e.Payload...)
			s.view = s.store
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

// Offset is the position: the offset of the next byte.
func (s *Stream) Offset() uint64 { return s.pos }

// Received is the offset behind the last byte that has arrived in order.
func (s *Stream) Received() uint64 { return s.end }

// Buffered is the number of payload bytes that are held.
func (s *Stream) Buffered() int { return len(s.view) + s.waiting }

// Next says what is at the position.
func (s *Stream) Next() Kind {
	if s.head == len(s.runs) {
		return None
	}
	return s.runs[s.head].kind
}

// Bytes gives the bytes from the position up to the first hole. They are valid until the next call of Push or Settle.
func (s *Stream) Bytes() []byte {
	if s.head == len(s.runs) || s.runs[s.head].kind != Bytes {
		return nil
	}
	n := s.runs[s.head].n
	for i := s.head + 1; i < len(s.runs) && s.runs[i].kind == Bytes; i++ {
		n += s.runs[i].n
	}
	return s.view[:n]
}

// Cut reports whether the bytes that Bytes gives are followed by a hole or a gap, so that waiting for more is in vain.
func (s *Stream) Cut() bool {
	for i := s.head; i < len(s.runs); i++ {
		if s.runs[i].kind != Bytes {
			return true
		}
	}
	return false
}

// Meta gives what is known of the byte at the position. There must be one (Next is not None).
func (s *Stream) Meta() *Meta { return &s.runs[s.head].meta }

// Last gives what is known of the last byte that was consumed.
func (s *Stream) Last() *Meta { return &s.last }

// AtEventStart reports whether the byte at the position is the first of its event.
func (s *Stream) AtEventStart() bool { return s.head < len(s.runs) && s.runs[s.head].first }

// Skip moves the position forward by n bytes, or as many as have arrived, across bytes, holes and gaps. It gives the number.
func (s *Stream) Skip(n uint64) uint64 {
	left := n
	for left > 0 && s.head < len(s.runs) {
		r := &s.runs[s.head]
		take := min(left, r.n)
		switch r.kind {
		case Bytes:
			s.view = s.view[take:]
		case Lost:
			s.lost += take
			s.Missing += take
		default: // Holes were not wanted.
		}
		s.last = r.meta
		left -= take
		s.pos += take
		if take == r.n {
			s.head++
		} else {
			r.n -= take
			r.first = false
		}
	}
	return n - left
}

// SkipRun moves the position behind the run at the position and reports whether that run ended its event.
func (s *Stream) SkipRun() (ended bool) {
	if s.head == len(s.runs) {
		return false
	}
	ended = s.runs[s.head].last
	s.Skip(s.runs[s.head].n)
	return ended
}

// SkipToEvent moves the position to the next first byte of an event, at least one byte forward. It reports whether there is
// such a byte; otherwise everything that has arrived is consumed.
func (s *Stream) SkipToEvent() bool {
	for s.SkipRun(); s.head < len(s.runs); s.SkipRun() {
		if s.runs[s.head].first && s.runs[s.head].kind == Bytes {
			return true
		}
	}
	return false
}

// Discard consumes everything that has arrived.
func (s *Stream) Discard() {
	for s.head < len(s.runs) {
		s.SkipRun()
	}
}

// EventTail gives the bytes at the end of the event at the position: the run of bytes that ends it, if it has one, and whether the
// event is complete in the queue (it always is). before is the number of bytes of the event that precede the tail.
func (s *Stream) EventTail() (tail []byte, before uint64) {
	at := 0
	for i := s.head; i < len(s.runs); i++ {
		r := &s.runs[i]
		if r.last {
			if r.kind == Bytes {
				return s.view[at : at+int(r.n)], before
			}
			return nil, before + r.n
		}
		if r.kind == Bytes {
			at += int(r.n)
		}
		before += r.n
	}
	return nil, before
}

// TakeLost gives the number of lost bytes that were consumed since the last call.
func (s *Stream) TakeLost() uint64 {
	n := s.lost
	s.lost = 0
	return n
}

// Forget turns the bytes that wait for the parser into a hole, so that they take no memory; what arrives later is not touched.
func (s *Stream) Forget() {
	for i := s.head; i < len(s.runs); i++ {
		if s.runs[i].kind == Lost {
			s.lost += s.runs[i].n
			s.Missing += s.runs[i].n
		}
	}
	s.view, s.aliased = nil, false
	// Neighbouring holes become one, with the earliest start and the latest end.
	if s.head < len(s.runs) {
		merged := s.runs[s.head]
		merged.kind = Hole
		for i := s.head + 1; i < len(s.runs); i++ {
			merged.n += s.runs[i].n
			merged.last = s.runs[i].last
			begin := merged.meta.Begin
			merged.meta = s.runs[i].meta
			merged.meta.Begin = begin
		}
		s.runs = append(s.runs[:0], merged)
		s.head = 0
	}
}
