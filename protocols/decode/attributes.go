package decode

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Name is an attribute's name, registered once by [Attribute].
type Name uint16

// names are all that were registered. Rooms register theirs when the program begins.
var names struct {
	sync.Mutex
	list []string
}

// Attribute registers the name of an attribute, as the OpenTelemetry semantic conventions spell it, and gives its
// number. The same name gives the same number. Rooms call it for package variables; the numbers are of this process
// only.
func Attribute(name string) Name {
	names.Lock()
	defer names.Unlock()
	if i := slices.Index(names.list, name); i >= 0 {
		return Name(i)
	}
	names.list = append(names.list, name)
	return Name(len(names.list) - 1)
}

// String gives the name.
func (n Name) String() string {
	names.Lock()
	defer names.Unlock()
	if int(n) >= len(names.list) {
		return ""
	}
	return names.list[n]
}

// Family says which metrics count an exchange; the numbers are those of the published enumeration.
type Family = millracev1.Family

// Families.
const (
	HTTP      = millracev1.Family_FAMILY_HTTP
	RPC       = millracev1.Family_FAMILY_RPC
	Database  = millracev1.Family_FAMILY_DATABASE
	Messaging = millracev1.Family_FAMILY_MESSAGING
	DNS       = millracev1.Family_FAMILY_DNS
)

// Kinds of spans that the side of the exchange does not tell.
const (
	Producer = millracev1.SpanKind_SPAN_KIND_PRODUCER
	Consumer = millracev1.SpanKind_SPAN_KIND_CONSUMER
)

// Bounds of what an exchange says. What is longer is cut, texts at a character.
const (
	MaxText       = 8 << 10  // bytes of one text
	MaxAttributes = 32 << 10 // bytes of all attributes
)

// Kinds of values in Attributes.
const (
	kindText byte = iota
	kindNumber
	kindReal
	kindYes
	kindTexts
)

// Attributes are what a protocol adds to the span of an exchange: names and values in the order in which they were set.
// A name that is set twice counts twice; parsers set each once. The zero value is empty.
type Attributes struct {
	b []byte
}

// Text adds a text; an empty one is left out. b is copied.
func (a *Attributes) Text(n Name, b []byte) { addText(a, n, b) }

// String is Text for strings.
func (a *Attributes) String(n Name, s string) { addText(a, n, s) }

func addText[T ~string | ~[]byte](a *Attributes, n Name, text T) {
	size := Cut(text, MaxText)
	if size == 0 || len(a.b)+size > MaxAttributes {
		return
	}
	a.begin(n, kindText)
	a.b = binary.AppendUvarint(a.b, uint64(size))
	a.b = append(a.b, text[:size]...)
}

// Cut gives the length of the longest beginning of text that is at most limit bytes and does not end within a character
// of UTF-8.
func Cut[T ~string | ~[]byte](text T, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	n := limit
	for n > 0 && n > limit-4 && text[n]&0xc0 == 0x80 {
		n--
	}
	return n
}

// Number adds a number.
func (a *Attributes) Number(n Name, v int64) {
	if len(a.b)+10 > MaxAttributes {
		return
	}
	a.begin(n, kindNumber)
	a.b = binary.AppendVarint(a.b, v)
}

// Real adds a floating-point number.
func (a *Attributes) Real(n Name, v float64) {
	if len(a.b)+8 > MaxAttributes {
		return
	}
	a.begin(n, kindReal)
	a.b = binary.LittleEndian.AppendUint64(a.b, math.Float64bits(v))
}

// Yes adds a boolean that is true.
func (a *Attributes) Yes(n Name) {
	if len(a.b) < MaxAttributes {
		a.begin(n, kindYes)
	}
}

// Texts adds a list; an empty one is left out.
func (a *Attributes) Texts(n Name, texts ...string) {
	size := 0
	for _, t := range texts {
		size += Cut(t, MaxText) + 3
	}
	if len(texts) == 0 || len(a.b)+size > MaxAttributes {
		return
	}
	a.begin(n, kindTexts)
	a.b = binary.AppendUvarint(a.b, uint64(len(texts)))
	for _, t := range texts {
		t = t[:Cut(t, MaxText)]
		a.b = binary.AppendUvarint(a.b, uint64(len(t)))
		a.b = append(a.b, t...)
	}
}

func (a *Attributes) begin(n Name, kind byte) {
	a.b = binary.AppendUvarint(a.b, uint64(n))
	a.b = append(a.b, kind)
}

// Len is how many bytes the attributes take.
func (a *Attributes) Len() int { return len(a.b) }

// Value is the value of an attribute: one of the fields, by what was set.
type Value struct {
	// Text aliases the attributes.
	Text   []byte
	Number int64
	Real   float64
	Texts  [][]byte
	kind   byte
}

// IsText, IsNumber, IsReal, IsYes and IsTexts say what the value is.
func (v *Value) IsText() bool   { return v.kind == kindText }
func (v *Value) IsNumber() bool { return v.kind == kindNumber }
func (v *Value) IsReal() bool   { return v.kind == kindReal }
func (v *Value) IsYes() bool    { return v.kind == kindYes }
func (v *Value) IsTexts() bool  { return v.kind == kindTexts }

// Each calls f for every attribute until it returns false. It reports whether all of a was well formed, as what the
// methods of Attributes wrote is.
func (a *Attributes) Each(f func(n Name, v *Value) bool) bool {
	var v Value
	for b := a.b; len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || size >= len(b) || n > math.MaxUint16 {
			return false
		}
		v = Value{kind: b[size], Texts: v.Texts[:0]}
		var ok bool
		if b, ok = v.read(b[size+1:]); !ok {
			return false
		}
		if !f(Name(n), &v) {
			return true
		}
	}
	return true
}

func (v *Value) read(b []byte) (rest []byte, ok bool) {
	switch v.kind {
	case kindText:
		v.Text, rest, ok = lengthFirst(b)
		return rest, ok
	case kindNumber:
		n, size := binary.Varint(b)
		if size <= 0 {
			return nil, false
		}
		v.Number = n
		return b[size:], true
	case kindReal:
		if len(b) < 8 {
			return nil, false
		}
		v.Real = math.Float64frombits(binary.LittleEndian.Uint64(b))
		return b[8:], true
	case kindYes:
		return b, true
	case kindTexts:
		count, size := binary.Uvarint(b)
		if size <= 0 || count > uint64(len(b)) {
			return nil, false
		}
		b = b[size:]
		for range count {
			var text []byte
			if text, b, ok = lengthFirst(b); !ok {
				return nil, false
			}
			v.Texts = append(v.Texts, text)
		}
		return b, true
	}
	return nil, false
}

func lengthFirst(b []byte) (text, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size : size+int(n)], b[size+int(n):], true
}
