package http1

import (
	"bytes"
	"encoding/binary"

	"millrace.dev/protocols/edge"
)

// headerKind says what happens to the value of a header.
type headerKind uint8

const (
	headerNone    headerKind = iota // a name that is not known: blanked, and so is the value
	headerBlanked                   // a name that is known, a value that is not shown
	headerUpgrade                   // the same, and the connection may change its protocol
	headerLength
	headerCoding
	headerHost
	headerType
	headerAgent
	headerParent
	headerState
	headerKept // on the configuration's list

	headerKinds // their number

	headerLayered = headerKind(edge.HeaderLayered) // the first that a layer needs
)

// headerLine reads a line of a head at its beginning. A line that is cut by the end of the event goes on in halfName.
func (r *rules) headerLine(s *scanner, d *direction, b []byte, i int) int {
	end := bytes.IndexByte(b[i:], '\n')
	if end < 0 {
		return r.beginHalfLine(d, b, i)
	}
	end += i
	text := b[i:end]
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	switch {
	case len(text) == 0:
		r.endHeaders(s, d)
		return end + 1
	case d.malformed:
		r.blankText(text)
		return end + 1
	case text[0] == ' ' || text[0] == '\t':
		r.fold(d)
		r.blankText(text)
		return end + 1
	}
	colon := 0
	for colon < len(text) && tokenByte[text[colon]] {
		colon++
	}
	if colon == 0 || colon == len(text) || text[colon] != ':' || hasControls(text[colon:]) {
		d.malformed = true
		r.blankText(text)
		return end + 1
	}
	if d.asks != 0 {
		r.bodyHeader(d, text[:colon], text[colon+1:])
	}
	d.kind = r.header(text[:colon])
	if d.kind == headerNone {
		r.blank(text[:colon])
	}
	value := text[colon+1:]
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	if d.trailer { // It frames nothing (RFC 9110, section 6.5.1), and nobody needs it.
		d.kind = headerBlanked
	}
	r.headerValue(d, value)
	return end + 1
}

// fold is a line that continues the one before (obs-fold, RFC 9112 section 5.2).
func (r *rules) fold(d *direction) {
	switch d.kind {
	case headerNone:
		d.malformed = d.malformed || !d.named
	case headerLength, headerCoding:
		d.misframed = true
	default:
	}
}

// hasControls reports whether b holds a control character other than a tab. It looks at eight bytes at a time: in a
// byte below 0x20 the first term borrows, in 0x7f the second one does (Warren, Hacker's Delight, section 6-1).
func hasControls(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		y := x ^ ones*0x7f
		if ((x-ones*0x20)&^x|(y-ones)&^y)&highs != 0 && slowControls(b[:8]) {
			return true
		}
		b = b[8:]
	}
	return slowControls(b)
}

func slowControls(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// headerValue decides on a value that is there as a whole.
func (r *rules) headerValue(d *direction, value []byte) {
	d.named = true
	switch d.kind {
	case headerLength:
		d.number, d.digits = 0, 0
		r.contentLength(d, value)
		d.endLength()
	case headerCoding:
		d.beginCoding()
		r.transferCoding(d, value)
		d.endCoding()
		if !knownCodings(value) {
			r.blank(value)
		}
	case headerHost, headerType, headerAgent, headerState:
		r.screen(d.kind, value)
	case headerParent:
		if !d.traceparent(value, 0) {
			r.blank(value)
		}
	case headerKept:
		r.keptHeader(value)
	case headerUpgrade:
		d.upgrades = true
		if d.upgradeTo(value); !d.toHTTP2 && !d.toSocket {
			r.blank(value)
		}
	default:
		if d.kind >= headerLayered {
			r.layered[d.kind-headerLayered](value, r.mask)
			return
		}
		r.blank(value)
	}
}

// Protocols that are read behind an upgrade, as the Upgrade header names them (RFC 7540, section 3.2; RFC 6455, section
// 11.2).
const (
	upgradeHTTP2  = "h2c"
	upgradeSocket = "websocket"
)

// upgradeTo takes the value of an Upgrade header.
func (d *direction) upgradeTo(value []byte) {
	d.toHTTP2, d.toSocket = equalFold(value, upgradeHTTP2), equalFold(value, upgradeSocket)
}

// contentLength reads the value of a Content-Length, or a piece of it: digits, or the same digits several times (RFC
// 9112, section 6.3). d.digits is 0 before the digits, 1 and more in them, 20 behind them.
func (r *rules) contentLength(d *direction, b []byte) {
	for i, c := range b {
		switch {
		case digit(c) && d.digits < 18:
			d.number = d.number*10 + uint64(c-'0')
			d.digits++
		case (c == ' ' || c == '\t') && d.digits == 0:
		case (c == ' ' || c == '\t') && d.digits > 0:
			d.digits = 20
		case c == ',' && d.digits > 0:
			d.endLength()
			d.number, d.digits = 0, 0
		default:
			d.misframed = true
			r.blank(b[i : i+1])
		}
	}
}

// endLength takes a number: two that differ say nothing.
func (d *direction) endLength() {
	if d.digits == 0 || d.hasLength && d.number != d.contentLength {
		d.misframed = true
	}
	d.hasLength, d.contentLength = true, d.number
}

func (d *direction) beginCoding() {
	d.register, d.digits, d.coded = 0, 0, true
}

// transferCoding reads the value of a Transfer-Encoding, or a piece of it: the last coding decides (RFC 9112, section
// 6.1).
func (r *rules) transferCoding(d *direction, b []byte) {
	for _, c := range b {
		switch c {
		case ',':
			d.register, d.digits = 0, 0
		case ' ', '\t':
			if d.digits > 0 {
				d.register |= 1 << 63 // Nothing but a comma may follow.
			}
		default:
			if d.register>>63 != 0 {
				d.digits = 200
			}
			d.register = d.register<<8&(1<<56-1) | uint64(lower(c))
			d.digits = min(d.digits+1, 200)
		}
	}
}

func (d *direction) endCoding() {
	const chunked = 'c'<<48 | 'h'<<40 | 'u'<<32 | 'n'<<24 | 'k'<<16 | 'e'<<8 | 'd'
	d.chunked = d.register&(1<<56-1) == chunked && d.digits == uint8(len("chunked"))
}

var codings = []string{"chunked", "gzip", "deflate", "compress", "identity", "x-gzip", "x-compress", "br", "zstd"}

func knownCodings(value []byte) bool {
	for len(value) > 0 {
		item := value
		if comma := bytes.IndexByte(value, ','); comma >= 0 {
			item, value = value[:comma], value[comma+1:]
		} else {
			value = nil
		}
		item = bytes.Trim(item, " \t")
		known := len(item) == 0
		for _, coding := range codings {
			known = known || equalFold(item, coding)
		}
		if !known {
			return false
		}
	}
	return true
}

// blankText overwrites text but for white space at its ends and the carriage return that may end the line.
func (r *rules) blankText(b []byte) {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	r.blank(b)
}
