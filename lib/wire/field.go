package wire

import "encoding/binary"

// Wire types, the low three bits of a tag.
const (
	Varint  = 0
	Fixed64 = 1
	Length  = 2
	Group   = 3
	Fixed32 = 5

	endGroup = 4
)

// Field is one field of a message.
type Field struct {
	// Bytes of a field of type [Length]. They alias the message.
	Bytes []byte
	// Number of a field of any other type.
	Number uint64
	// ID is the field's number in the schema, 0 for one beyond what schemas can have.
	ID uint32
	// Type is the wire type.
	Type uint8
}

// maxID is the highest number of a field.
const maxID = 1<<29 - 1

// Next reads the field at the start of message into f. It sets what belongs to the field's type, and gives
// what follows. ok is false for malformed bytes. It accepts what the generated code passes over: groups, whose content
// it skips, and numbers of up to 31 bits.
func (f *Field) Next(message []byte) (rest []byte, ok bool) {
	var tag uint64
	if len(message) > 0 && message[0] < 0x80 {
		tag, message = uint64(message[0]), message[1:]
	} else if tag, message, ok = Uvarint(message); !ok {
		return nil, false
	}
	f.ID, f.Type = uint32(tag>>3), uint8(tag&7)
	if f.ID-1 >= maxID {
		if int32(f.ID) <= 0 {
			return nil, false
		}
		f.ID = 0
	}
	switch f.Type {
	case Varint:
		if len(message) > 0 && message[0] < 0x80 {
			f.Number = uint64(message[0])
			return message[1:], true
		}
		f.Number, message, ok = Uvarint(message)
		return message, ok
	case Fixed64:
		if len(message) < 8 {
			return nil, false
		}
		f.Number = binary.LittleEndian.Uint64(message)
		return message[8:], true
	case Length:
		var n uint64
		if len(message) > 0 && message[0] < 0x80 {
			n, message = uint64(message[0]), message[1:]
		} else if n, message, ok = Uvarint(message); !ok {
			return nil, false
		}
		if n > uint64(len(message)) {
			return nil, false
		}
		f.Bytes = message[:n:n]
		return message[n:], true
	case Fixed32:
		if len(message) < 4 {
			return nil, false
		}
		f.Number = uint64(binary.LittleEndian.Uint32(message))
		return message[4:], true
	case Group:
		return skipGroup(message)
	}
	return nil, false
}

// skipGroup gives what follows the group that message is in, with those in it.
func skipGroup(message []byte) (rest []byte, ok bool) {
	for depth := 1; depth > 0; {
		var tag, n uint64
		if tag, message, ok = Uvarint(message); !ok {
			return nil, false
		}
		switch tag & 7 {
		case Varint:
			if _, message, ok = Uvarint(message); !ok {
				return nil, false
			}
		case Fixed64:
			n = 8
		case Length:
			if n, message, ok = Uvarint(message); !ok {
				return nil, false
			}
		case Group:
			depth++
		case endGroup:
			depth--
		case Fixed32:
			n = 4
		default:
			return nil, false
		}
		if n > uint64(len(message)) {
			return nil, false
		}
		message = message[n:]
	}
	return message, true
}

// Uvarint reads a number of up to ten bytes, keeps 64 bits of it, and gives what follows.
func Uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	for i := 0; i < len(b) && i < binary.MaxVarintLen64; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}
