package spans

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"
)

// Tags of the wire format, field number << 3 | wire type, of proto/millrace/v1/span.proto.
const (
	tagSpanTraceID       = 1<<3 | 2
	tagSpanSpanID        = 2<<3 | 1
	tagSpanParent        = 3<<3 | 1
	tagSpanKind          = 4<<3 | 0
	tagSpanName          = 5<<3 | 2
	tagSpanStart         = 6<<3 | 1
	tagSpanEnd           = 7<<3 | 1
	tagSpanStatus        = 8<<3 | 0
	tagSpanStatusMessage = 9<<3 | 2
	tagSpanAttribute     = 10<<3 | 2
	tagSpanFlags         = 11<<3 | 0
	tagSpanTracestate    = 12<<3 | 2

	tagKey    = 1<<3 | 2
	tagString = 2<<3 | 2
	tagInt    = 3<<3 | 0
	tagDouble = 4<<3 | 1
	tagBool   = 5<<3 | 0
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

// appendText appends a string field. Protobuf strings must be UTF-8, or receivers refuse the whole message; what applications send
// need not be, so other bytes are replaced by U+FFFD.
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
