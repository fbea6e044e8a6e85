package wire

import "encoding/binary"

// Wire types, the low three bits of a tag.
const (
	Varint  = 0
	Fixed64 = 1
	Length  = 2
	Fixed32 = 5
)

// Field is one field of a message.
type Field struct {
	// Bytes of a field of type [Length]. They alias the message.
	Bytes []byte
	// Number of a field of any other type.
	Number uint64
	// ID is the field's number in the schema.
	ID uint32
	// Type is the wire type.
	Type uint8
}

// Next reads the field at the start of message into f. It sets what belongs to the field's type, and gives
// what follows. ok is false for malformed bytes. Groups, which proto3 does not have, are malformed.
func (f *Field) Next(message []byte) (rest []byte, ok bool) {
	var tag uint64
	if len(message) > 0 && message[0] < 0x80 {
		tag, message = uint64(message[0]), message[1:]
	} else if tag, message, ok = uvarint(message); !ok {
		return nil, false
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return nil, false
	}
	f.ID, f.Type = uint32(tag>>3), uint8(tag&7)
	switch f.Type {
	case Varint:
		if len(message) > 0 && message[0] < 0x80 {
			f.Number = uint64(message[0])
			return message[1:], true
		}
		f.Number, message, ok = uvarint(message)
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
		} else if n, message, ok = uvarint(message); !ok {
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
	}
	return nil, false
}

func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}
