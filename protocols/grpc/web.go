package grpc

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
)

// Form is how gRPC-Web writes its messages into a body
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).
type Form uint8

// Forms.
const (
	NotWeb Form = iota
	Binary      // application/grpc-web
	Text        // application/grpc-web-text: base64, in one text or in several that are padded each
)

// WebForm gives the form that a Content-Type names.
func WebForm(contentType []byte) Form {
	const web, text = "application/grpc-web", "-text"
	if len(contentType) < len(web) || !bytes.EqualFold(contentType[:len(web)], []byte(web)) {
		return NotWeb
	}
	rest, form := contentType[len(web):], Binary
	if len(rest) >= len(text) && bytes.EqualFold(rest[:len(text)], []byte(text)) {
		rest, form = rest[len(text):], Text
	}
	if len(rest) > 0 && rest[0] != '+' && rest[0] != ';' && rest[0] != ' ' {
		return NotWeb
	}
	return form
}

// Web follows the messages of a body of gRPC-Web: each has a prefix as in gRPC; that of trailers, the last one, has the
// highest bit of its first byte set. Node and decoder read with it, so that what the one keeps is what the other needs.
// The zero value with a Form is a body of which nothing was read.
type Web struct {
	Form Form
	// Messages that began, without the trailers.
	Messages uint32
	// Lost: where the next message begins is not known. Nothing is read any more.
	Lost bool
	// Compressed: a message is.
	Compressed bool

	have uint8  // bytes of the prefix that have come
	left uint32 // bytes of the message to come, or of its length what has come
	last bool   // the message is the trailers
	line line
	// packs: the message is trailers that are compressed. The node says their status at their end.
	packs bool

	chars uint8 // of a quad of base64 that have come
	quad  [4]byte
	// unknown: some of them are not there.
	unknown bool
}

// WebSize is the size in bytes of what [Web.Append] writes.
const WebSize = 24

// Append writes the state; [Web.Read] reads it.
func (m *Web) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.Messages)
	dst = binary.LittleEndian.AppendUint32(dst, m.left)
	dst = binary.LittleEndian.AppendUint16(dst, m.line.code)
	flags := byte(0)
	for i, set := range []bool{m.Lost, m.Compressed, m.last, m.unknown, m.line.known} {
		if set {
			flags |= 1 << i
		}
	}
	dst = append(dst, byte(m.Form), m.have, flags, m.line.at, m.line.digits, m.chars)
	return append(append(dst, m.quad[:]...), 0, 0, 0, 0)
}

// Read reads what Append wrote. Whatever b holds, the state is one that the methods can go on with.
func (m *Web) Read(b []byte) {
	if *m = (Web{Lost: true}); len(b) < WebSize {
		return
	}
	flags := b[12]
	*m = Web{
		Form: Form(b[10]), Messages: binary.LittleEndian.Uint32(b), left: binary.LittleEndian.Uint32(b[4:]), have: min(b[11], PrefixSize),
		Lost: flags&1 != 0, Compressed: flags&2 != 0, last: flags&4 != 0, unknown: flags&8 != 0,
		line:  line{code: binary.LittleEndian.Uint16(b[8:]), at: min(b[13], lineRest), digits: min(b[14], 3), known: flags&16 != 0},
		chars: b[15] & 3, quad: [4]byte(b[16:20]),
	}
}

// Status gives the grpc-status of the trailers, if they were read.
func (m *Web) Status() (code uint32, ok bool) { return uint32(m.line.code), m.line.known }

// Known reads bytes of the body that follow those before.
func (m *Web) Known(b []byte) {
	if m.Form == Text {
		m.text(b, nil)
	} else {
		m.binary(b, nil)
	}
}

// Unknown passes over n bytes of the body that are not there.
func (m *Web) Unknown(n uint64) {
	for m.Form == Text && n > 0 && !m.Lost {
		if m.chars == 0 && n >= 4 {
			quads := n / 4
			n -= quads * 4
			m.pass(quads * 3)
			continue
		}
		m.unknown = true
		n--
		if m.chars++; m.chars == 4 {
			m.chars, m.unknown = 0, false
			m.pass(3)
		}
	}
	if m.Form != Text {
		m.pass(n)
	}
}

// pass passes over n bytes of messages that are not there.
func (m *Web) pass(n uint64) {
	for n > 0 && !m.Lost {
		if m.have < PrefixSize || m.left == 0 {
			m.Lost = true
			return
		}
		took := min(n, uint64(m.left))
		m.line.cut()
		m.took(uint32(took))
		n -= took
	}
}

// took says that n bytes of a message were read.
func (m *Web) took(n uint32) {
	if m.left -= n; m.left == 0 {
		if m.last {
			m.line.end()
		}
		m.have = 0
	}
}

// binary reads bytes of messages. keep is told those that the decoder needs, by their places in b.
func (m *Web) binary(b []byte, keep func(from, to int)) {
	for i := 0; i < len(b) && !m.Lost; {
		if n := m.dull(len(b) - i); n > 0 {
			i += n
			continue
		}
		if m.step(b[i]) && keep != nil {
			keep(i, i+1)
		}
		i++
	}
}

// dull passes over what is at hand of a message that nothing is read of, n bytes at most, and says how many.
func (m *Web) dull(n int) int {
	if m.have < PrefixSize || m.last {
		return 0
	}
	n = int(min(uint64(n), uint64(m.left)))
	m.took(uint32(n))
	return n
}

// step reads a byte. It reports whether the decoder needs it.
func (m *Web) step(c byte) bool {
	switch {
	case m.have == 0:
		if m.last || c&^0x81 != 0 { // nothing follows the trailers
			m.Lost = true
			return false
		}
		m.have, m.left, m.last = 1, 0, c&0x80 != 0
		m.line, m.packs = line{}, c == 0x81
		m.Compressed = m.Compressed || c == 1
		return true
	case m.have < PrefixSize:
		m.left = m.left<<8 | uint32(c)
		if m.have++; m.have == PrefixSize {
			if !m.last {
				m.Messages++
			}
			m.took(0)
		}
		return true
	}
	needed := m.last && m.line.read(c)
	m.took(1)
	return needed
}

// text reads base64. write is told what the decoder needs: four characters at a place in b, which are to become with.
func (m *Web) text(b []byte, write func(at int, with []byte)) {
	for i := 0; i < len(b) && !m.Lost; {
		if m.chars == 0 && len(b)-i >= 4 {
			m.whole(b[i:i+4], i, write)
			i += 4
			continue
		}
		m.quad[m.chars] = b[i]
		i++
		if m.chars++; m.chars < 4 {
			continue
		}
		m.chars = 0
		if m.unknown {
			m.unknown = false
			m.pass(3)
			continue
		}
		// The node has not kept the characters that came before. The decoder takes what it does not see for three bytes.
		if m.Lost = write != nil && m.quad[3] == '='; !m.Lost {
			quad := m.quad
			m.whole(quad[:], 0, nil)
		}
	}
}

// whole reads four characters. Those of them that have anything that the decoder needs are written, and those that end
// a text, because how many bytes they stand for is only seen there: with zeros in place of all bytes else.
func (m *Web) whole(quad []byte, at int, write func(at int, with []byte)) {
	var bytes [3]byte
	n, err := base64.StdEncoding.Decode(bytes[:], quad)
	if err != nil {
		m.Lost = true
		return
	}
	needed := n < len(bytes)
	for i := range n {
		switch {
		case m.Lost:
			bytes[i] = 0
		case m.have == PrefixSize && m.last && bytes[i] == 0: // in place of what is not needed
			m.line.cut()
			m.took(1)
		case m.step(bytes[i]):
			needed = true
		default:
			bytes[i] = 0
		}
	}
	if needed && write != nil {
		var with [4]byte
		base64.StdEncoding.Encode(with[:], bytes[:n])
		write(at, with[:])
	}
}

// line looks for grpc-status in trailers, which are lines of HTTP/1 with names in lower case.
type line struct {
	at     uint8 // bytes of the name that have come, or one of the constants
	digits uint8
	code   uint16
	known  bool
}

const statusName = "grpc-status:"

const (
	lineValue = uint8(len(statusName)) + iota
	lineReturn
	lineRest // the rest of the line says nothing
)

// read reads a byte. It reports whether it is of the status.
func (l *line) read(c byte) bool {
	switch {
	case c == '\n':
		needed := l.at == lineValue || l.at == lineReturn
		l.end()
		l.at = 0
		return needed
	case l.at < lineValue && c|0x20 == statusName[l.at]|0x20 && c > ' ':
		if l.at++; l.at == lineValue {
			l.code, l.digits = 0, 0
		}
		return true
	case l.at == lineValue && c == ' ' && l.digits == 0:
		return true
	case l.at == lineValue && c >= '0' && c <= '9' && l.digits < 3:
		l.code, l.digits = l.code*10+uint16(c-'0'), l.digits+1
		return true
	case l.at == lineValue && c == '\r':
		l.at = lineReturn
		return true
	}
	l.at = lineRest
	return false
}

// end ends a line.
func (l *line) end() {
	if (l.at == lineValue || l.at == lineReturn) && l.digits > 0 && !l.known {
		l.known = true
	}
}

// cut says that bytes are missing. What the node leaves out are whole lines, or the rest of one.
func (l *line) cut() { l.at = 0 }
