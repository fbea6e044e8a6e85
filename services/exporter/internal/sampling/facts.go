package sampling

import (
	"bytes"
	"math"

	"millrace.dev/lib/wire"
)

// facts are what policies know of a trace, gathered span by span.
type facts struct {
	// start and end are the first start and the last end of a span, nanoseconds since the Unix epoch.
	start, end uint64
	spans      int
	// bytes of the spans as they are encoded on the bus.
	bytes int
	// hits are the conditions that a span or a resource meets.
	hits hits
	// statuses has a bit for each status code.
	statuses uint8
	// sampled: the context of a span says so, or a span has none.
	sampled bool
}

// maxConditions bounds the conditions on attributes and tracestates of all policies together.
const maxConditions = 256

// hits is a set of conditions.
type hits [maxConditions / 64]uint64

func (h *hits) add(condition int)      { h[condition/64] |= 1 << (condition % 64) }
func (h *hits) has(condition int) bool { return h[condition/64]&(1<<(condition%64)) != 0 }

func (h *hits) join(other *hits) {
	for i := range h {
		h[i] |= other[i]
	}
}

// join adds the facts of a span, or of other spans of the trace.
func (f *facts) join(other *facts) {
	if f.spans == 0 || other.start < f.start {
		f.start = other.start
	}
	f.end = max(f.end, other.end)
	f.spans += other.spans
	f.bytes += other.bytes
	f.hits.join(&other.hits)
	f.statuses |= other.statuses
	f.sampled = f.sampled || other.sampled
}

// span is what is read of one span.
type span struct {
	facts
	trace [16]byte
	id    uint64
	// networkSeconds is millrace.network.duration; negative without.
	networkSeconds float64
}

// traceIDBytes is the length of a trace id.
const traceIDBytes = 16

// read replaces s by what the encoded span says; it reports whether that is well formed. Attributes are passed over but
// for those that conditions look at.
func (s *span) read(message []byte, c *conditions, m memory) (ok bool) {
	*s = span{facts: facts{spans: 1, bytes: len(message)}, networkSeconds: -1}
	var f wire.Field
	var flags, status, id uint64
	traceIDs, completes := 0, false
	for rest := message; len(rest) > 0; {
		if rest, ok = f.Next(rest); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			if len(f.Bytes) != traceIDBytes {
				return false
			}
			traceIDs++
			copy(s.trace[:], f.Bytes)
		case 2<<3 | wire.Fixed64:
			id = f.Number
		case 6<<3 | wire.Fixed64:
			s.start = f.Number
		case 7<<3 | wire.Fixed64:
			s.end = f.Number
		case 8<<3 | wire.Varint:
			status = f.Number
		case 10<<3 | wire.Length:
			completes = completes || bytes.HasPrefix(f.Bytes, completion)
			if !c.attribute(f.Bytes, &s.hits, m, s) {
				return false
			}
		case 11<<3 | wire.Varint:
			flags = f.Number
		case 12<<3 | wire.Length:
			c.tracestate(f.Bytes, &s.hits)
		}
	}
	if status < 8 {
		s.statuses = 1 << status
	}
	s.sampled = flags&1 != 0
	if s.id = id; completes { // it is another span than the one before it of the same id
		s.id = ^id
	}
	for i := range c.spans {
		if c.spans[i].matches(s) {
			s.hits.add(c.spans[i].index)
		}
	}
	return traceIDs > 0 && id != 0
}

// completion begins the attribute of a span that replaces the one before it of the same id, as encoders write it: the
// key comes first.
var completion = []byte("\x0a\x12millrace.completes")

// readResource gives the conditions that a well-formed encoded resource meets.
func readResource(message []byte, c *conditions, m memory) (h hits) {
	var f wire.Field
	var ok bool
	c.service(message, &h)
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return h
		}
		if f.ID == 1 && f.Type == wire.Length {
			c.attribute(f.Bytes, &h, m, nil)
		}
	}
	return h
}

// value of an attribute.
type value struct {
	kind valueKind
	text []byte
	// number has the bits of an integer, a double or a boolean.
	number uint64
}

type valueKind uint8

const (
	other valueKind = iota
	text
	integer
	double
	boolean
)

// float gives a number of either type.
func (v *value) float() (number float64, ok bool) {
	switch v.kind {
	case integer:
		return float64(int64(v.number)), true
	case double:
		return math.Float64frombits(v.number), true
	default:
		return 0, false
	}
}

// readAttribute reads a KeyValue.
func readAttribute(message []byte) (key []byte, v value, ok bool) {
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return nil, value{}, false
		}
		// The value is a oneof: the last one counts.
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			key = f.Bytes
		case 2<<3 | wire.Length:
			v = value{kind: text, text: f.Bytes}
		case 3<<3 | wire.Varint:
			v = value{kind: integer, number: f.Number}
		case 4<<3 | wire.Fixed64:
			v = value{kind: double, number: f.Number}
		case 5<<3 | wire.Varint:
			v = value{kind: boolean, number: f.Number}
		case 6<<3 | wire.Length:
			v = value{kind: other}
		}
	}
	return key, v, true
}
