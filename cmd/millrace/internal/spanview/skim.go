package spanview

import (
	"errors"
	"time"

	"millrace.dev/lib/wire"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// errMalformed: a message is no batch of spans of this version.
var errMalformed = errors.New("malformed span batch")

// Head is what a table of services needs of a span.
type Head struct {
	TraceID  [16]byte
	Kind     millracev1.SpanKind
	Service  string
	Protocol string
	Failed   bool
	// Duration is never negative.
	Duration time.Duration

	encoded []byte
}

// Skimmer reads the heads of the spans of encoded batches, and whole spans where they are wanted. A screen that counts
// all spans of a busy node and shows a few needs little more: with all attributes of all spans in memory of their own,
// looking cost a quarter of what making the spans did. It is not safe for concurrent use; the zero value is ready.
type Skimmer struct {
	heads    []Head
	resource []byte
	names    map[string]string // that were seen, so that they need no memory of their own
}

// maxNames bounds the names that are remembered.
const maxNames = 1024

// Read gives the heads of a batch. They are valid until the next call, and as long as the message.
func (k *Skimmer) Read(message []byte) ([]Head, error) {
	k.heads, k.resource = k.heads[:0], nil
	version := uint64(0)
	var f wire.Field
	var ok bool
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return nil, errMalformed
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			version = f.Number
		case 2<<3 | wire.Length:
			k.resource = f.Bytes
		case 3<<3 | wire.Length:
			head, ok := k.head(f.Bytes)
			if !ok {
				return nil, errMalformed
			}
			k.heads = append(k.heads, head)
		}
	}
	if version != 1 {
		return nil, errMalformed
	}
	service, ok := k.find(k.resource, 1, "service.name")
	if !ok {
		return nil, errMalformed
	}
	for i := range k.heads {
		k.heads[i].Service = service
	}
	return k.heads, nil
}

// Span reads the whole span of a head of the batch that was read last.
func (k *Skimmer) Span(h *Head) (Span, error) {
	batch := &millracev1.SpanBatch{Resource: &millracev1.Resource{}, Spans: []*millracev1.Span{{}}}
	if err := errors.Join(batch.Resource.UnmarshalVT(k.resource), batch.Spans[0].UnmarshalVT(h.encoded)); err != nil {
		return Span{}, err
	}
	return FromBatch(batch)[0], nil
}

func (k *Skimmer) head(encoded []byte) (h Head, ok bool) {
	h.encoded = encoded
	var start, end uint64
	var f wire.Field
	for rest := encoded; len(rest) > 0; {
		if rest, ok = f.Next(rest); !ok {
			return h, false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			copy(h.TraceID[:], f.Bytes)
		case 4<<3 | wire.Varint:
			h.Kind = millracev1.SpanKind(f.Number)
		case 6<<3 | wire.Fixed64:
			start = f.Number
		case 7<<3 | wire.Fixed64:
			end = f.Number
		case 8<<3 | wire.Varint:
			h.Failed = f.Number == uint64(millracev1.StatusCode_STATUS_CODE_ERROR)
		}
	}
	if end > start {
		h.Duration = time.Duration(end - start)
	}
	h.Protocol, ok = k.protocol(encoded)
	return h, ok
}

// protocol is that of describe.
func (k *Skimmer) protocol(span []byte) (string, bool) {
	for _, key := range [...]string{"http.request.method", "db.system.name", "rpc.system.name", "messaging.system.name", "network.protocol.name"} {
		value, ok := k.find(span, 10, key)
		switch {
		case !ok:
			return "", false
		case value == "":
		case key == "http.request.method":
			return "http", true
		default:
			return value, true
		}
	}
	return "other", true
}

// find gives the text of an attribute of a message whose field id holds its attributes; empty if it has none.
func (k *Skimmer) find(message []byte, id uint32, key string) (value string, ok bool) {
	var f, g wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return "", false
		}
		if f.ID != id || f.Type != wire.Length {
			continue
		}
		found := false
		for rest := f.Bytes; len(rest) > 0; {
			if rest, ok = g.Next(rest); !ok {
				return "", false
			}
			switch g.ID<<3 | uint32(g.Type) {
			case 1<<3 | wire.Length:
				found = string(g.Bytes) == key
			case 2<<3 | wire.Length:
				if found {
					return k.name(g.Bytes), true
				}
			}
		}
	}
	return "", true
}

func (k *Skimmer) name(b []byte) string {
	name, known := k.names[string(b)]
	if !known {
		if k.names == nil || len(k.names) >= maxNames {
			k.names = map[string]string{}
		}
		name = string(b)
		k.names[name] = name
	}
	return name
}
