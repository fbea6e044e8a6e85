package otlp

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Value is an attribute's value in one string that can be compared: its kind, and its bytes.
type Value string

// Key of the attribute. It aliases the message.
func (a *Attribute) Key() []byte { return a.key }

// Text of an attribute that is text; nil of any other. It aliases the message.
func (a *Attribute) Text() []byte {
	if a.kind != text {
		return nil
	}
	return a.text
}

// AppendValue appends the bytes of the [Value].
func (a *Attribute) AppendValue(dst []byte) []byte {
	dst = append(dst, byte(a.kind))
	switch a.kind {
	case empty:
	case text:
		dst = append(dst, a.text...)
	case integer, double, boolean:
		dst = binary.BigEndian.AppendUint64(dst, a.number)
	case list:
		for _, t := range a.texts {
			dst = binary.AppendUvarint(dst, uint64(len(t)))
			dst = append(dst, t...)
		}
	}
	return dst
}

// TextValue is the value of a text.
func TextValue(s string) Value { return Value([]byte{byte(text)}) + Value(s) }

// BoolValue is the value of true or false.
func BoolValue(b bool) Value {
	v := [9]byte{0: byte(boolean)}
	if b {
		v[8] = 1
	}
	return Value(v[:])
}

// Valid reports whether v is what [Attribute.AppendValue] writes: values also come from snapshots.
func (v Value) Valid() bool {
	if v == "" {
		return false
	}
	switch valueKind(v[0]) {
	case empty:
		return len(v) == 1
	case text:
		return true
	case integer, double, boolean:
		return len(v) == 9
	case list:
		_, ok := v.texts()
		return ok
	default:
		return false
	}
}

// IsText reports whether the value is text, and gives it.
func (v Value) IsText() (string, bool) {
	if v == "" || valueKind(v[0]) != text {
		return "", false
	}
	return string(v[1:]), true
}

// String gives the value as text, as Prometheus labels have it.
func (v Value) String() string {
	if v == "" {
		return ""
	}
	switch valueKind(v[0]) {
	case text:
		return string(v[1:])
	case integer:
		return strconv.FormatInt(int64(v.number()), 10)
	case double:
		return strconv.FormatFloat(math.Float64frombits(v.number()), 'g', -1, 64)
	case boolean:
		return strconv.FormatBool(v.number() != 0)
	case list:
		texts, _ := v.texts()
		return strings.Join(texts, ",")
	default:
		return ""
	}
}

// Put sets an attribute's value.
func (v Value) Put(to pcommon.Value) {
	if v == "" {
		return
	}
	switch valueKind(v[0]) {
	case empty:
	case text:
		to.SetStr(string(v[1:]))
	case integer:
		to.SetInt(int64(v.number()))
	case double:
		to.SetDouble(math.Float64frombits(v.number()))
	case boolean:
		to.SetBool(v.number() != 0)
	case list:
		texts, _ := v.texts()
		values := to.SetEmptySlice()
		values.EnsureCapacity(len(texts))
		for _, s := range texts {
			values.AppendEmpty().SetStr(s)
		}
	}
}

func (v Value) number() uint64 {
	if len(v) != 9 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(v[1:]))
}

func (v Value) texts() (texts []string, ok bool) {
	rest := string(v[1:])
	for rest != "" {
		n, size := binary.Uvarint([]byte(rest[:min(len(rest), binary.MaxVarintLen64)]))
		if size <= 0 || n > uint64(len(rest)-size) {
			return nil, false
		}
		texts = append(texts, rest[size:size+int(n)])
		rest = rest[size+int(n):]
	}
	return texts, true
}
