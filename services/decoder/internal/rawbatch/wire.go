package rawbatch

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that bytes are not a message of the expected type.
var ErrMalformed = errors.New("malformed protobuf message")

// Wire types.
const (
	varint  = 0
	fixed64 = 1
	length  = 2
	fixed32 = 5
)

// field is one field of a message: number (for varint and fixed types) or bytes.
type field struct {
	bytes  []byte
	number uint64
	id     uint32
	wire   uint8
}

// next reads the field at the start of b into f and gives what follows; ok is false for malformed bytes.
func (f *field) next(b []byte) (rest []byte, ok bool) {
	var tag uint64
	if len(b) > 0 && b[0] < 0x80 {
		tag, b = uint64(b[0]), b[1:]
	} else if tag, b, ok = uvarint(b); !ok {
		return nil, false
	}
	f.id, f.wire = uint32(tag>>3), uint8(tag&7)
	if f.id == 0 || tag>>3 > 1<<29-1 {
		return nil, false
	}
	switch f.wire {
	case varint:
		if len(b) > 0 && b[0] < 0x80 {
			f.number = uint64(b[0])
			return b[1:], true
		}
		f.number, b, ok = uvarint(b)
		return b, ok
	case fixed64:
		if len(b) < 8 {
			return nil, false
		}
		f.number = binary.LittleEndian.Uint64(b)
		return b[8:], true
	case length:
		var n uint64
		if len(b) > 0 && b[0] < 0x80 {
			n, b = uint64(b[0]), b[1:]
		} else if n, b, ok = uvarint(b); !ok {
			return nil, false
		}
		if n > uint64(len(b)) {
			return nil, false
		}
		f.bytes = b[:n:n]
		return b[n:], true
	case fixed32:
		if len(b) < 4 {
			return nil, false
		}
		f.number = uint64(binary.LittleEndian.Uint32(b))
		return b[4:], true
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
