package spans

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"millrace.dev/services/enricher/internal/attribute"
)

// Wire types of Protobuf: https://protobuf.dev/programming-guides/encoding/#structure
const (
	wireVarint  = 0
	wireFixed64 = 1 // also double
	wireLength  = 2 // string, bytes, message
)

// Tags of the wire format, field number << 3 | wire type, of proto/millrace/v1/span.proto.
const (
	tagSpanTraceID       = 1<<3 | wireLength
	tagSpanSpanID        = 2<<3 | wireFixed64
	tagSpanParent        = 3<<3 | wireFixed64
	tagSpanKind          = 4<<3 | wireVarint
	tagSpanName          = 5<<3 | wireLength
	tagSpanStart         = 6<<3 | wireFixed64
	tagSpanEnd           = 7<<3 | wireFixed64
	tagSpanStatus        = 8<<3 | wireVarint
	tagSpanStatusMessage = 9<<3 | wireLength
	tagSpanAttribute     = 10<<3 | wireLength
	tagSpanFlags         = 11<<3 | wireVarint
	tagSpanTracestate    = 12<<3 | wireLength
	tagSpanLink          = 13<<3 | wireLength

	tagLinkTraceID    = 1<<3 | wireLength
	tagLinkSpanID     = 2<<3 | wireFixed64
	tagLinkFlags      = 3<<3 | wireVarint
	tagLinkTracestate = 4<<3 | wireLength

	tagKey    = 1<<3 | wireLength
	tagString = 2<<3 | wireLength
	tagInt    = 3<<3 | wireVarint
	tagDouble = 4<<3 | wireFixed64
	tagBool   = 5<<3 | wireVarint

	tagStrings = 6<<3 | wireLength
	tagListed  = 1<<3 | wireLength
)

// encoder appends fields of a message.
type encoder struct {
	b []byte
	// attribute is the tag of KeyValue fields: they have different numbers in Span and Resource.
	attribute byte
}

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func (e *encoder) fixed(tag byte, v uint64) {
	e.b = append(e.b, tag)
	e.b = binary.LittleEndian.AppendUint64(e.b, v)
}

func (e *encoder) varint(tag byte, v uint64) {
	e.b = append(e.b, tag)
	e.b = binary.AppendUvarint(e.b, v)
}

// appendText appends a string field. Protobuf strings must be UTF-8, or receivers refuse the whole message; what
// applications send need not be, so other bytes are replaced by U+FFFD.
func appendText(e *encoder, tag byte, v string) { appendField(e, tag, valid(v)) }

func valid(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	return strings.ToValidUTF8(v, "\uFFFD")
}

func appendField[T ~string | ~[]byte](e *encoder, tag byte, v T) {
	e.b = append(e.b, tag)
	e.b = binary.AppendUvarint(e.b, uint64(len(v)))
	e.b = append(e.b, v...)
}

// begin writes the head of an attribute whose value takes size bytes with its tag.
func (e *encoder) begin(key string, size int) {
	e.b = append(e.b, e.attribute)
	e.b = binary.AppendUvarint(e.b, uint64(1+varintSize(uint64(len(key)))+len(key)+size))
	appendField(e, tagKey, key)
}

// beginName is begin for a name that is encoded already.
func (e *encoder) beginName(name *attribute.Name, size int) {
	e.b = append(e.b, e.attribute)
	e.b = binary.AppendUvarint(e.b, uint64(len(name.Key)+size))
	e.b = append(e.b, name.Key...)
}

// text adds a string attribute; empty strings are left out.
func text(e *encoder, key, v string) {
	if v == "" {
		return
	}
	textBytes(e, key, valid(v))
}

// textBytes adds a string attribute of valid UTF-8.
func textBytes[T ~string | ~[]byte](e *encoder, key string, v T) {
	if len(v) == 0 {
		return
	}
	e.begin(key, 1+varintSize(uint64(len(v)))+len(v))
	appendField(e, tagString, v)
}

func (e *encoder) number(key string, v int64) {
	e.begin(key, 1+varintSize(uint64(v)))
	e.varint(tagInt, uint64(v))
}

func (e *encoder) double(key string, v float64) {
	e.begin(key, 9)
	e.fixed(tagDouble, math.Float64bits(v))
}

func (e *encoder) yes(key string) {
	e.begin(key, 2)
	e.varint(tagBool, 1)
}
