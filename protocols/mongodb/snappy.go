package mongodb

import "encoding/binary"

// unsnap appends to dst what the block of Snappy that begins with b holds, as far as b goes and up to limit bytes in
// all, and gives it. What is not of the format ends it. The format is that of google/snappy, format_description.txt:
// the length as a varint, then literals and copies of what came before. dst is empty.
func unsnap(dst, b []byte, limit int) []byte {
	_, n := binary.Uvarint(b)
	if n <= 0 {
		return dst
	}
	for b = b[n:]; len(b) > 0 && len(dst) < limit; {
		if b[0]&3 == 0 {
			n, head := literal(b)
			if head == 0 {
				return dst
			}
			n = min(n, len(b)-head, limit-len(dst))
			dst = append(dst, b[head:head+n]...)
			b = b[head+n:]
			continue
		}
		n, back, head := repeated(b)
		if head == 0 || back < 1 || back > len(dst) {
			return dst
		}
		b = b[head:]
		for range min(n, limit-len(dst)) { // it may overlap what it makes
			dst = append(dst, dst[len(dst)-back])
		}
	}
	return dst
}

// literal reads the tag of a literal of n bytes; head is how long the tag is, 0 if it is not all there.
func literal(b []byte) (n, head int) {
	n = int(b[0] >> 2)
	if n < 60 {
		return n + 1, 1
	}
	head = 1 + n - 59
	if len(b) < head {
		return 0, 0
	}
	var length [4]byte
	copy(length[:], b[1:head])
	return int(min(binary.LittleEndian.Uint32(length[:]), 1<<30)) + 1, head
}

// repeated reads the tag of a copy of n bytes from back bytes before; head is how long the tag is, 0 if it is not all
// there.
func repeated(b []byte) (n, back, head int) {
	tag := int(b[0])
	switch {
	case tag&3 == 1 && len(b) >= 2:
		return tag>>2&7 + 4, tag>>5<<8 | int(b[1]), 2
	case tag&3 == 2 && len(b) >= 3:
		return tag>>2 + 1, int(binary.LittleEndian.Uint16(b[1:])), 3
	case tag&3 == 3 && len(b) >= 5:
		return tag>>2 + 1, int(min(binary.LittleEndian.Uint32(b[1:]), 1<<30)), 5
	}
	return 0, 0, 0
}
