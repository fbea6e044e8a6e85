package attribute

import (
	"math"

	"millrace.dev/lib/wire"
)

// Kind of an attribute's value.
type Kind uint8

// Kinds. None is the kind of values that this release does not know.
const (
	None Kind = iota
	Text
	Number
	Real
	Yes
	Texts
)

// Attribute is one attribute of an exchange.
type Attribute struct {
	Name *Name
	// Bytes of a text, or of an encoded TextList. They alias the message. A text need not be UTF-8.
	Bytes []byte
	// Bits of a number (an int64), a real (IEEE 754) or a boolean.
	Bits uint64
	Kind Kind
}

// Real gives the value of an attribute of the kind [Real].
func (a *Attribute) Real() float64 { return math.Float64frombits(a.Bits) }

// fieldAttribute is Exchange.attributes.
const fieldAttribute = 40

// Read replaces a by an encoded Attribute. It is false for one that is malformed, or whose name is not among the names.
func (a *Attribute) Read(message []byte, names *Names) (ok bool) {
	*a = Attribute{}
	if a.readShortText(message, names) {
		return true
	}
	index := uint64(0)
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			index = f.Number & 0xffff_ffff
		case 2<<3 | wire.Length:
			a.Kind, a.Bytes = Text, f.Bytes
		case 3<<3 | wire.Varint:
			a.Kind, a.Bits = Number, f.Number>>1^-(f.Number&1)
		case 4<<3 | wire.Fixed64:
			a.Kind, a.Bits = Real, f.Number
		case 5<<3 | wire.Varint:
			a.Kind, a.Bits = Yes, min(f.Number, 1)
		case 6<<3 | wire.Length:
			a.Kind, a.Bytes = Texts, f.Bytes
			if !Each(f.Bytes, func([]byte) {}) {
				return false
			}
		}
	}
	a.Name = names.at(index)
	return a.Name != nil
}

// readShortText reads what most attributes are: the index in one byte or two, and a text of less than 128 bytes. It is
// three times as fast as the general way. It reports whether message is that; otherwise a is as it was.
func (a *Attribute) readShortText(message []byte, names *Names) bool {
	if len(message) < 5 || message[0] != 1<<3|wire.Varint {
		return false
	}
	index, rest := uint64(message[1]), message[2:]
	if index >= 0x80 {
		if message[2] >= 0x80 {
			return false
		}
		index, rest = index&0x7f|uint64(message[2])<<7, message[3:]
	}
	if rest[0] != 2<<3|wire.Length || rest[1] >= 0x80 || len(rest) != 2+int(rest[1]) {
		return false
	}
	name := names.at(index)
	if name == nil {
		return false
	}
	a.Name, a.Kind, a.Bytes = name, Text, rest[2:]
	return true
}

// indexIn gives the index of the name of an encoded Attribute; false if it is malformed.
func indexIn(message []byte) (index uint64, ok bool) {
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return 0, false
		}
		if f.ID == 1 && f.Type == wire.Varint {
			index = f.Number & 0xffff_ffff
		}
	}
	return index, true
}

// Each calls f for every text of an encoded TextList. It reports whether the list is well formed.
func Each(list []byte, f func(text []byte)) (ok bool) {
	var field wire.Field
	for len(list) > 0 {
		if list, ok = field.Next(list); !ok {
			return false
		}
		if field.ID == 1 && field.Type == wire.Length {
			f(field.Bytes)
		}
	}
	return true
}
