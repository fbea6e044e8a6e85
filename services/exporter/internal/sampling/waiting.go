package sampling

import (
	"encoding/binary"
	"slices"
)

// trace waits for its decision.
type trace struct {
	facts
	id [16]byte
	// first is the stream's time of the record that brought its first span, nanoseconds since the Unix epoch.
	first int64
	// data are the spans: for each the number of its resource and its length as varints, and the span as it came.
	data []byte
	// ids of the spans, to drop what comes twice; many are in seen too.
	ids  []uint64
	seen map[uint64]struct{}
	// next is the one that came after.
	next *trace
}

const (
	// traceOverhead is what a trace takes besides data and ids: the struct, and its part of the map.
	traceOverhead = 256
	// seenFrom is the number of spans from which a map is quicker than looking at all.
	seenFrom = 64
	// seenOverhead is what a span takes in that map.
	seenOverhead = 24
)

// size is the memory that the trace takes, in bytes.
func (t *trace) size() int {
	return traceOverhead + cap(t.data) + 8*cap(t.ids) + seenOverhead*len(t.seen)
}

// put adds a span; it reports whether it is new.
func (t *trace) put(s *span, resource uint32, encoded []byte) bool {
	if t.seen == nil && len(t.ids) >= seenFrom {
		t.seen = make(map[uint64]struct{}, 2*seenFrom)
		for _, id := range t.ids {
			t.seen[id] = struct{}{}
		}
	}
	if t.seen != nil {
		if _, found := t.seen[s.id]; found {
			return false
		}
		t.seen[s.id] = struct{}{}
	} else {
		if slices.Contains(t.ids, s.id) {
			return false
		}
		t.ids = append(t.ids, s.id)
	}
	if t.data == nil { // Nearly what one span needs: many traces have no more.
		t.data = make([]byte, 0, len(encoded)+8)
	}
	t.data = binary.AppendUvarint(t.data, uint64(resource))
	t.data = binary.AppendUvarint(t.data, uint64(len(encoded)))
	t.data = append(t.data, encoded...)
	t.join(&s.facts)
	return true
}

// nextSpan takes the first span of a trace's data.
func nextSpan(data []byte) (resource uint32, encoded, rest []byte, ok bool) {
	r, n := binary.Uvarint(data)
	if n <= 0 || r > 1<<32-1 {
		return 0, nil, nil, false
	}
	size, m := binary.Uvarint(data[n:])
	if m <= 0 || size > uint64(len(data)-n-m) {
		return 0, nil, nil, false
	}
	data = data[n+m:]
	return uint32(r), data[:size:size], data[size:], true
}

// waiting are the traces without a decision, in the order in which they are due.
type waiting struct {
	byID        map[[16]byte]*trace
	first, last *trace
	// bytes of memory that they take.
	bytes int
}

func (w *waiting) add(t *trace) {
	w.byID[t.id] = t
	if w.last == nil {
		w.first = t
	} else {
		w.last.next = t
	}
	w.last = t
	w.bytes += t.size()
}

// take removes the oldest.
func (w *waiting) take() *trace {
	t := w.first
	if w.first = t.next; w.first == nil {
		w.last = nil
	}
	t.next = nil
	delete(w.byID, t.id)
	w.bytes -= t.size()
	return t
}
