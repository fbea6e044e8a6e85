package otlp

import (
	"errors"

	"millrace.dev/lib/wire"
)

var (
	errBatch    = errors.New("malformed span batch")
	errResource = errors.New("malformed resource")
)

// Batch is a SpanBatch whose spans are still encoded. Everything in it aliases the message. It may be used for one
// message after another.
type Batch struct {
	Version uint32
	// Resource is encoded.
	Resource []byte
	// Spans are encoded; see [Span.Read].
	Spans [][]byte

	resource Span // its attributes, read to see that it is well formed
}

// Read replaces b by the message. Fields that are not known are passed over.
func (b *Batch) Read(message []byte) error {
	b.Version, b.Resource, b.Spans = 0, nil, b.Spans[:0]
	var f wire.Field
	var ok bool
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return errBatch
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			b.Version = uint32(f.Number)
		case 2<<3 | wire.Length:
			if b.Resource == nil {
				b.Resource = f.Bytes
			} else { // Messages are merged, which is the same as the message of their bytes in a row.
				b.Resource = append(b.Resource[:len(b.Resource):len(b.Resource)], f.Bytes...)
			}
		case 3<<3 | wire.Length:
			b.Spans = append(b.Spans, f.Bytes)
		}
	}
	if !b.resource.readResource(b.Resource) {
		return errResource
	}
	return nil
}

// Span is a Span of the bus. Everything in it aliases the message. It may be used for one span after another.
type Span struct {
	// TraceID has any length.
	TraceID                         []byte
	ID, ParentID, Start, End        uint64
	Kind, Status                    int32
	Flags                           uint32
	Name, StatusMessage, Tracestate []byte
	// Attributes have different keys.
	Attributes []Attribute
	Links      []Link

	texts [][]byte
	// seen has the bits of the hashes of keys.
	seen uint64
}

// Link is a SpanLink.
type Link struct {
	// TraceID has any length.
	TraceID, Tracestate []byte
	ID                  uint64
	Flags               uint32
}

// Kind of an attribute's value.
type valueKind uint8

const (
	empty valueKind = iota
	text
	integer
	double
	boolean
	list
)

// Attribute is a KeyValue.
type Attribute struct {
	key   []byte
	text  []byte
	texts [][]byte // of a list
	// number has the bits of an integer, a double or a boolean.
	number uint64
	kind   valueKind
}

// Read replaces s by the message; it reports whether it is well formed.
func (s *Span) Read(message []byte) (ok bool) {
	*s = Span{Attributes: s.Attributes[:0], Links: s.Links[:0], texts: s.texts[:0]}
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			s.TraceID = f.Bytes
		case 2<<3 | wire.Fixed64:
			s.ID = f.Number
		case 3<<3 | wire.Fixed64:
			s.ParentID = f.Number
		case 4<<3 | wire.Varint:
			s.Kind = int32(f.Number)
		case 5<<3 | wire.Length:
			s.Name = f.Bytes
		case 6<<3 | wire.Fixed64:
			s.Start = f.Number
		case 7<<3 | wire.Fixed64:
			s.End = f.Number
		case 8<<3 | wire.Varint:
			s.Status = int32(f.Number)
		case 9<<3 | wire.Length:
			s.StatusMessage = f.Bytes
		case 10<<3 | wire.Length:
			if !s.attribute(f.Bytes) {
				return false
			}
		case 11<<3 | wire.Varint:
			s.Flags = uint32(f.Number)
		case 12<<3 | wire.Length:
			s.Tracestate = f.Bytes
		case 13<<3 | wire.Length:
			if !s.link(f.Bytes) {
				return false
			}
		}
	}
	return true
}

// completes is the attribute of a span that replaces the one before it of the same id.
const completes = "millrace.completes"

// Completes reports whether the span replaces one of the same id that was sent before.
func (s *Span) Completes() bool {
	for i := range s.Attributes {
		if string(s.Attributes[i].key) == completes {
			return true
		}
	}
	return false
}

func (s *Span) link(message []byte) (ok bool) {
	var l Link
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			l.TraceID = f.Bytes
		case 2<<3 | wire.Fixed64:
			l.ID = f.Number
		case 3<<3 | wire.Varint:
			l.Flags = uint32(f.Number)
		case 4<<3 | wire.Length:
			l.Tracestate = f.Bytes
		}
	}
	s.Links = append(s.Links, l)
	return true
}

// readResource replaces s by the attributes of a Resource.
func (s *Span) readResource(message []byte) (ok bool) {
	*s = Span{Attributes: s.Attributes[:0], Links: s.Links[:0], texts: s.texts[:0]}
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		if f.ID == 1 && f.Type == wire.Length && !s.attribute(f.Bytes) {
			return false
		}
	}
	return true
}

func (s *Span) attribute(message []byte) (ok bool) {
	var a Attribute
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		// The value is a oneof: the last one counts.
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			a.key = f.Bytes
		case 2<<3 | wire.Length:
			a.kind, a.text = text, f.Bytes
		case 3<<3 | wire.Varint:
			a.kind, a.number = integer, f.Number
		case 4<<3 | wire.Fixed64:
			a.kind, a.number = double, f.Number
		case 5<<3 | wire.Varint:
			a.kind, a.number = boolean, f.Number
		case 6<<3 | wire.Length:
			from := len(s.texts) - len(a.texts)
			if a.kind != list { // Lists in a row are merged.
				from = len(s.texts)
			}
			if !s.list(f.Bytes) {
				return false
			}
			a.kind, a.texts = list, s.texts[from:]
		}
	}
	s.put(&a)
	return true
}

func (s *Span) list(message []byte) (ok bool) {
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		if f.ID == 1 && f.Type == wire.Length {
			s.texts = append(s.texts, f.Bytes)
		}
	}
	return true
}

// put adds an attribute, or replaces the one of the same key. OTLP requires keys to be unique. The enricher keeps them
// so, and a bit for each hash of a key saves nearly all of the search that makes sure of it.
func (s *Span) put(a *Attribute) {
	hash := len(a.key)
	if hash > 0 {
		hash = hash*7 + int(a.key[hash-1])*3 + int(a.key[hash/2])*5
	}
	bit := uint64(1) << (hash & 63)
	if s.seen&bit != 0 {
		for i := range s.Attributes {
			if string(s.Attributes[i].key) == string(a.key) {
				s.Attributes[i] = *a
				return
			}
		}
	}
	s.seen |= bit
	s.Attributes = append(s.Attributes, *a)
}

// Service gives the texts of service.namespace and service.name of the resource that was read last.
func (b *Batch) Service() (namespace, name string) {
	for i := range b.resource.Attributes {
		switch a := &b.resource.Attributes[i]; string(a.key) {
		case "service.namespace":
			namespace = string(a.Text())
		case "service.name":
			name = string(a.Text())
		}
	}
	return namespace, name
}

// KeepAttributes drops the attributes that are not wanted.
func (s *Span) KeepAttributes(wanted func(key string) bool) {
	kept := s.Attributes[:0]
	for i := range s.Attributes {
		if wanted(string(s.Attributes[i].key)) {
			kept = append(kept, s.Attributes[i])
		}
	}
	s.Attributes = kept
}

// KeepResourceAttributes appends an encoded, well-formed resource without the attributes that are not wanted.
func KeepResourceAttributes(dst, resource []byte, wanted func(key string) bool) []byte {
	var f wire.Field
	for rest := resource; len(rest) > 0; {
		after, ok := f.Next(rest)
		if !ok {
			return dst
		}
		if f.ID == 1 && f.Type == wire.Length && !wanted(attributeKey(f.Bytes)) {
			rest = after
			continue
		}
		dst = append(dst, rest[:len(rest)-len(after)]...)
		rest = after
	}
	return dst
}

func attributeKey(message []byte) (key string) {
	var f wire.Field
	for ok := false; len(message) > 0; {
		if message, ok = f.Next(message); !ok {
			return key
		}
		if f.ID == 1 && f.Type == wire.Length {
			key = string(f.Bytes)
		}
	}
	return key
}
