package stream

// Flags of a range that is restated, as in Event.restatements of raw.proto.
const (
	restatedMore = 1
	restatedRest = 2
)

// restatedHead is how many numbers of Event.Restatements come before the pairs of a range.
const restatedHead = 5

// queue puts the parts of an event into the runs of a stream, in order.
type queue struct {
	s       *Stream
	e       *Event
	meta    Meta
	missing Kind
	at      uint32 // in the event
	payload int    // bytes of Payload that were taken
	text    int    // bytes of Restated that were taken
	ranges  []uint32
	// continued: the first run goes on with what was deferred, and continuedFirst that this began its event.
	continued, continuedFirst bool
}

// all queues the whole event.
func (q *queue) all() {
	e := q.e
	q.ranges = e.Restatements
	if len(e.Segments) == 0 && len(e.Payload) > 0 {
		q.segment(0, uint32(len(e.Payload)))
	}
	for i := 0; i < len(e.Segments); i += 2 {
		q.segment(e.Segments[i], e.Segments[i+1])
	}
	q.until(e.Length)
}

// segment queues payload, behind what comes before it.
func (q *queue) segment(at, n uint32) {
	if n == 0 {
		return
	}
	q.until(at)
	q.s.runs = append(q.s.runs, run{n: uint64(n), wire: uint64(n), meta: q.meta, kind: Bytes})
	q.bytes(q.e.Payload, &q.payload, int(n))
	q.at = at + n
}

// until queues what is between the place that is reached and at: ranges that are restated, and what is missing.
func (q *queue) until(at uint32) {
	for len(q.ranges) >= restatedHead && q.ranges[0] < at {
		r := q.ranges
		q.gap(r[0])
		q.ranges = r[restatedHead+2*r[4]:]
		q.restated(r[:restatedHead+2*r[4]])
	}
	q.gap(at)
}

// gap queues what is missing up to at.
func (q *queue) gap(at uint32) {
	if n := uint64(at - q.at); n > 0 {
		q.s.runs = append(q.s.runs, run{n: n, wire: n, meta: q.meta, kind: q.missing})
	}
	q.at = at
}

// restated queues a range that is restated.
func (q *queue) restated(r []uint32) {
	s, span, length := q.s, uint64(r[1]), uint64(r[2])
	begins := q.at == 0 && !q.e.Part
	q.at += r[1]
	if r[3]&restatedRest != 0 && s.deferred > 0 {
		span += s.deferred
		begins = s.deferredFirst
		q.continued, q.continuedFirst = true, begins
		s.deferred = 0
	}
	if r[3]&restatedMore != 0 {
		span += uint64(q.e.Length - q.at) // to the end of the event
		q.at = q.e.Length
		s.deferred, s.deferredMeta, s.deferredFirst = span, q.meta, begins
		return
	}
	wire, done := span, uint64(0)
	add := func(n uint64, kind Kind) {
		if n == 0 {
			return
		}
		done += n
		u := run{n: n, wire: min(n, wire-1), meta: q.meta, kind: kind, restated: true}
		if done == length {
			u.wire, u.tail = wire, true
		}
		wire -= u.wire
		s.runs = append(s.runs, u)
	}
	for i := restatedHead; i < len(r); i += 2 {
		add(uint64(r[i])-done, Hole)
		add(uint64(r[i+1]), Bytes)
		q.bytes(q.e.Restated, &q.text, int(r[i+1]))
	}
	add(length-done, Hole)
}

// bytes makes the next n bytes of from, of which taken were taken before, a part of the view.
func (q *queue) bytes(from []byte, taken *int, n int) {
	s, b := q.s, from[*taken:*taken+n]
	*taken += n
	switch {
	case n == 0:
	case len(s.view) == 0:
		s.view, s.aliased = b, true
	case s.aliased && *taken-n >= len(s.view) && &from[*taken-n-len(s.view)] == &s.view[0]: // it goes on with them
		s.view = from[*taken-n-len(s.view) : *taken]
	default:
		s.own()
		s.store = append(s.store, b...)
		s.view = s.store
	}
}

// endDeferred makes what was deferred a hole: nothing was said of it.
func (s *Stream) endDeferred() {
	if n := s.deferred; n > 0 {
		s.runs = append(s.runs, run{n: n, wire: n, meta: s.deferredMeta, kind: Hole, first: s.deferredFirst, last: true})
		s.deferred = 0
	}
}

// wellFormed checks that segments ascend within the event and cover the payload, and that ranges that are restated do
// not overlap them.
func wellFormed(e *Event) bool {
	if len(e.Restatements) > 0 || len(e.Restated) > 0 {
		if !wellRestated(e) {
			return false
		}
	}
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

func wellRestated(e *Event) bool {
	var at, sum uint64
	segments := e.Segments
	if len(segments) == 0 && len(e.Payload) > 0 {
		segments = []uint32{0, uint32(len(e.Payload))}
	}
	for r := e.Restatements; len(r) > 0; {
		if len(r) < restatedHead || uint64(r[4]) > uint64(len(r)-restatedHead)/2 {
			return false
		}
		from, to, pairs := uint64(r[0]), uint64(r[0])+uint64(r[1]), r[restatedHead:restatedHead+2*r[4]]
		more, rest := r[3]&restatedMore != 0, r[3]&restatedRest != 0
		switch {
		case from < at, from == to, to > uint64(e.Length), r[3] > restatedMore|restatedRest, rest && from != 0:
			return false
		case more && (r[2] != 0 || len(r) > restatedHead || len(pairs) > 0), !more && r[2] == 0:
			return false
		}
		for len(segments) >= 2 && uint64(segments[0])+uint64(segments[1]) <= from {
			segments = segments[2:]
		}
		if len(segments) >= 2 && uint64(segments[0]) < to && segments[1] > 0 {
			return false
		}
		inner := uint64(0)
		for i := 0; i < len(pairs); i += 2 {
			if uint64(pairs[i]) < inner || pairs[i+1] == 0 {
				return false
			}
			inner = uint64(pairs[i]) + uint64(pairs[i+1])
			sum += uint64(pairs[i+1])
		}
		if inner > uint64(r[2]) {
			return false
		}
		at, r = to, r[restatedHead+len(pairs):]
	}
	return sum == uint64(len(e.Restated))
}

// trim drops what lies before offset from the front of e, which overlaps offset.
func trim(e *Event, offset uint64) {
	cut := uint32(offset - e.Offset)
	e.Offset, e.Length = offset, e.Length-cut
	e.Arrival.First = 0
	trimRestated(e, cut)
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

// trimRestated drops the ranges of which something lies in the first cut bytes: they become holes.
func trimRestated(e *Event, cut uint32) {
	ranges := make([]uint32, 0, len(e.Restatements))
	for r := e.Restatements; len(r) > 0; {
		next := r[restatedHead+2*r[4]:]
		r = r[:len(r)-len(next)]
		if r[0] >= cut {
			ranges = append(append(ranges, r[0]-cut), r[1:]...)
		} else {
			for i := restatedHead; i < len(r); i += 2 {
				e.Restated = e.Restated[r[i+1]:]
			}
		}
		r = next
	}
	e.Restatements = ranges
}
