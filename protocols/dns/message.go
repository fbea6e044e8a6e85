package dns

import "encoding/binary"

// HeaderBytes is the length of the header of a message, RFC 1035 section 4.1.1.
const HeaderBytes = 12

// Types of records that matter, RFC 1035 section 3.2.2, RFC 3596 and RFC 6891.
const (
	TypeA     = 1
	TypeCNAME = 5
	TypeSOA   = 6
	TypeAAAA  = 28
	TypeOPT   = 41
	TypeAXFR  = 252
)

// Opcodes, RFC 1035, RFC 1996 and RFC 2136.
const (
	opQuery  = 0
	opStatus = 2
	opNotify = 4
	opUpdate = 5
)

// Header is the header of a message.
type Header struct {
	ID uint16
	// Response: the message answers a query. Truncated: it did not fit.
	Response, Truncated bool
	Opcode, Code        uint8
	// Questions, Answers, Authorities and Additionals are the numbers of records in the sections.
	Questions, Answers, Authorities, Additionals uint16
	zero                                         bool // the bit that must be 0 is not
}

// ReadHeader reads the header at the start of b; false if b is shorter.
func ReadHeader(b []byte) (h Header, ok bool) {
	if len(b) < HeaderBytes {
		return Header{}, false
	}
	return Header{
		ID: binary.BigEndian.Uint16(b), Response: b[2]&0x80 != 0, Truncated: b[2]&2 != 0, Opcode: b[2] >> 3 & 15, Code: b[3] & 15,
		Questions: binary.BigEndian.Uint16(b[4:]), Answers: binary.BigEndian.Uint16(b[6:]),
		Authorities: binary.BigEndian.Uint16(b[8:]), Additionals: binary.BigEndian.Uint16(b[10:]),
		zero: b[3]&0x40 != 0,
	}, true
}

// plausible reports whether the header can be that of a message. Queries ask one question, as all do that servers
// answer (RFC 9619). Messages with more than 255 records of a section are not recognised.
func (h *Header) plausible() bool {
	switch h.Opcode {
	case opQuery, opStatus, opNotify, opUpdate:
	default:
		return false
	}
	if h.zero || max(h.Answers, h.Authorities, h.Additionals) > 255 {
		return false
	}
	if h.Response {
		return h.Questions <= 1 && h.Code <= 10
	}
	return h.Questions == 1 && h.Code == 0 && !h.Truncated && (h.Opcode == opUpdate || h.Answers <= 1 && h.Authorities <= 1 && h.Additionals <= 3)
}

// SkipName gives the position behind the name at b[i:]: labels up to an empty one or a pointer. -1: it is none, or cut.
func SkipName(b []byte, i int) int {
	for length := 0; i < len(b); {
		switch n := int(b[i]); {
		case n == 0:
			return i + 1
		case n >= 0xc0:
			if i+2 > len(b) {
				return -1
			}
			return i + 2
		case n > 63:
			return -1
		default:
			if length += n + 1; length > 254 {
				return -1
			}
			i += n + 1
		}
	}
	return -1
}

// AppendName appends the name at b[i:] in its usual form: labels with dots between, letters in lower case (RFC 4343),
// other than printable bytes as \DDD, "." for the root. It gives the position behind it; -1: it is no name, has a
// pointer, as the name of a question never has, or is cut.
func AppendName(dst, b []byte, i int) ([]byte, int) {
	end := SkipName(b, i)
	if end < 0 || end-i >= 2 && b[end-2] >= 0xc0 && b[end-1] != 0 {
		return dst, -1
	}
	if b[i] == 0 {
		return append(dst, '.'), end
	}
	for first := true; b[i] != 0; first = false {
		if b[i] >= 0xc0 {
			return dst, -1
		}
		if !first {
			dst = append(dst, '.')
		}
		for _, c := range b[i+1 : i+1+int(b[i])] {
			switch {
			case 'A' <= c && c <= 'Z':
				dst = append(dst, c|0x20)
			case c <= ' ' || c >= 0x7f || c == '.' || c == '\\' || c == '"':
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				dst = append(dst, c)
			}
		}
		i += 1 + int(b[i])
	}
	return dst, end
}

// Record is a resource record. Data aliases the message.
type Record struct {
	Type, Class uint16
	Data        []byte
}

// ReadRecord reads the record at b[i:] and gives the position behind it; -1: it is none, or cut.
func ReadRecord(b []byte, i int) (r Record, end int) {
	i = SkipName(b, i)
	if i < 0 || i+10 > len(b) {
		return Record{}, -1
	}
	n := int(binary.BigEndian.Uint16(b[i+8:]))
	r = Record{Type: binary.BigEndian.Uint16(b[i:]), Class: binary.BigEndian.Uint16(b[i+2:])}
	if i += 10; i+n > len(b) {
		return Record{}, -1
	}
	r.Data = b[i : i+n]
	return r, i + n
}

// whole reports whether b is a query or a response from its first to its last byte.
func whole(b []byte, response bool) bool {
	h, ok := ReadHeader(b)
	if !ok || h.Response != response || !h.plausible() {
		return false
	}
	i := HeaderBytes
	for range h.Questions {
		if i = SkipName(b, i); i < 0 || i+4 > len(b) {
			return false
		}
		i += 4
	}
	if h.Truncated {
		return true
	}
	for range int(h.Answers) + int(h.Authorities) + int(h.Additionals) {
		if _, i = ReadRecord(b, i); i < 0 {
			return false
		}
	}
	return i == len(b)
}
