package decode

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Renumber replaces the number of each name in encoded, a copy of what [Attributes.Encoded] gave, by one less than what
// index has for it, which is at most 1<<14. Where index has 0, or ends before, add gives an index that has the name.
func Renumber(encoded []byte, index []uint16, add func(Name) []uint16) {
	for len(encoded) > 0 {
		// Most are short: then the body begins at the fourth byte.
		var body, rest []byte
		if n := len(encoded); n > 2 && encoded[2] < 0x80 && int(encoded[2]) <= n-3 && encoded[2] > nameSize &&
			encoded[0] == tagAttribute0 && encoded[1] == tagAttribute1 && encoded[3] == tagName && encoded[4] >= 0x80 && encoded[5] < 0x80 {
			end := 3 + int(encoded[2])
			body, rest = encoded[3:end], encoded[end:]
		} else if body, rest = next(encoded); body == nil {
			return
		}
		name := nameIn(body)
		if int(name) >= len(index) || index[name] == 0 {
			index = add(name)
		}
		i := index[name] - 1
		body[1], body[2] = byte(i)|0x80, byte(i>>7)
		encoded = rest
	}
}

// next gives the body of the first attribute, nil if it is malformed, and what follows it.
func next(encoded []byte) (body, rest []byte) {
	if len(encoded) < 2 || encoded[0] != tagAttribute0 || encoded[1] != tagAttribute1 {
		return nil, nil
	}
	body, size := protowire.ConsumeBytes(encoded[2:])
	if size < 0 || len(body) <= nameSize || body[0] != tagName || body[1] < 0x80 || body[2] >= 0x80 {
		return nil, nil
	}
	return body, encoded[2+size:]
}

// nameIn gives the name in the body of an attribute.
func nameIn(body []byte) Name { return Name(body[1]&0x7f) | Name(body[2])<<7 }

// Value is the value of an attribute: one of the fields, by what was set.
type Value struct {
	// Text aliases the attributes.
	Text   []byte
	Number int64
	Real   float64
	// Texts alias the attributes.
	Texts [][]byte
	tag   byte
}

// IsText reports whether the value is Text.
func (v *Value) IsText() bool { return v.tag == tagText }

// IsNumber reports whether the value is Number.
func (v *Value) IsNumber() bool { return v.tag == tagNumber }

// IsReal reports whether the value is Real.
func (v *Value) IsReal() bool { return v.tag == tagReal }

// IsYes reports whether the value is the boolean that is true.
func (v *Value) IsYes() bool { return v.tag == tagYes }

// IsTexts reports whether the value is Texts.
func (v *Value) IsTexts() bool { return v.tag == tagTexts }

// Each calls f for every attribute until it returns false. It reports whether all of a was well formed, as what the
// methods of Attributes wrote is.
func (a *Attributes) Each(f func(n Name, v *Value) bool) bool {
	var v Value
	for b := a.b; len(b) > 0; {
		var body []byte
		if body, b = next(b); body == nil {
			return false
		}
		v = Value{tag: body[nameSize], Texts: v.Texts[:0]}
		if !v.read(body[nameSize+1:]) {
			return false
		}
		if !f(nameIn(body), &v) {
			return true
		}
	}
	return true
}

func (v *Value) read(b []byte) bool {
	size := -1
	switch v.tag {
	case tagText:
		v.Text, size = protowire.ConsumeBytes(b)
	case tagNumber:
		var n uint64
		n, size = protowire.ConsumeVarint(b)
		v.Number = protowire.DecodeZigZag(n)
	case tagReal:
		var n uint64
		n, size = protowire.ConsumeFixed64(b)
		v.Real = math.Float64frombits(n)
	case tagYes:
		size = 1
	case tagTexts:
		var list []byte
		list, size = protowire.ConsumeBytes(b)
		for len(list) > 0 {
			if list[0] != tagInList {
				return false
			}
			text, n := protowire.ConsumeBytes(list[1:])
			if n < 0 {
				return false
			}
			v.Texts, list = append(v.Texts, text), list[1+n:]
		}
	}
	return size == len(b)
}
