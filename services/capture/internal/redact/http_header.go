package redact

import (
	"bytes"
	"encoding/binary"

	"millrace.dev/services/capture/internal/secret"
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
)

// screenedValue is the last value of a header that screening left as it was. Clients send the same Host and User-Agent
// with every request, and comparing costs a tenth of screening.
type screenedValue struct {
	length uint8
	text   [128]byte
}

func (p *screenedValue) is(value []byte) bool {
	return len(value) == int(p.length) && string(value) == string(p.text[:p.length])
}

func (p *screenedValue) keep(value []byte) {
	if len(value) <= len(p.text) {
		p.length = uint8(copy(p.text[:], value))
	}
}

// tokenByte tells the bytes of a token, RFC 9110 section 5.6.2.
var tokenByte = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// headerLine reads a line of a head at its beginning. A line that is cut by the end of the event goes on in halfName.
func (r *Redactor) headerLine(c *Connection, d *direction, b []byte, i int) int {
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
		d.endHeaders(c)
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
	d.kind = r.rules.header(text[:colon])
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
func (r *Redactor) fold(d *direction) {
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
func (r *Redactor) headerValue(d *direction, value []byte) {
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
		r.blank(value)
	default:
		r.blank(value)
	}
}

// screen blanks what may not leave of a value that depends on nothing but itself.
func (r *Redactor) screen(kind headerKind, value []byte) {
	plain := &r.plain[kind]
	if plain.is(value) {
		return
	}
	r.changed = false
	switch kind {
	case headerHost:
		r.host(value)
	case headerType:
		r.contentType(value)
	case headerAgent:
		r.userAgent(value)
	default:
		r.traceState(value)
	}
	if !r.changed {
		plain.keep(value)
	}
}

// contentLength reads the value of a Content-Length, or a piece of it: digits, or the same digits several times (RFC
// 9112, section 6.3). d.digits is 0 before the digits, 1 and more in them, 20 behind them.
func (r *Redactor) contentLength(d *direction, b []byte) {
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
func (r *Redactor) transferCoding(d *direction, b []byte) {
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

// host screens the value of a Host header.
func (r *Redactor) host(value []byte) {
	value = bytes.TrimRight(value, " \t")
	if at := bytes.LastIndexByte(value, '@'); at >= 0 {
		r.blank(value[:at])
		value = value[at+1:]
	}
	if !hostAndPort(value) || hasCapitals(value) && secret.Text(value) {
		r.blank(value)
	}
}

func hasCapitals(b []byte) bool {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			return true
		}
	}
	return false
}

var mediaTypes = []string{"application/", "audio/", "font/", "image/", "message/", "model/", "multipart/", "text/", "video/"}

// contentType keeps a media type that can be one, and its charset; other parameters are blanked.
func (r *Redactor) contentType(value []byte) {
	end := 0
	for end < len(value) && value[end] != ';' && value[end] != ',' {
		end++
	}
	media := bytes.TrimRight(value[:end], " \t")
	known := false
	for _, t := range mediaTypes {
		if len(media) > len(t) && equalFold(media[:len(t)], t) {
			known = true
			for _, c := range media[len(t):] {
				known = known && tokenByte[c]
			}
			known = known && !secret.Text(media[len(t):])
			break
		}
	}
	if !known {
		r.blank(value)
		return
	}
	rest := value[end:]
	const charset = "charset="
	trimmed := bytes.TrimLeft(rest, "; \t")
	if len(trimmed) > len(charset) && len(trimmed) <= len(charset)+16 && equalFold(trimmed[:len(charset)], charset) && plainName(trimmed) {
		return
	}
	r.blankText(rest)
}

// userAgent screens the words of a User-Agent.
func (r *Redactor) userAgent(value []byte) {
	for i := 0; i < len(value); {
		for i < len(value) && (value[i] == ' ' || value[i] == '\t') {
			i++
		}
		j := i
		special := false
		for j < len(value) && value[j] != ' ' && value[j] != '\t' {
			special = special || value[j] == '@' || value[j] == '=' || value[j] == ':' || value[j] == '%'
			j++
		}
		text := value[i:j]
		switch {
		case special && r.agentSecret(text), secret.Text(text):
			r.blank(text)
		case len(text) >= 5 && (equalFold(text, "basic") || equalFold(text, "bearer") || equalFold(text, "token")):
			r.blank(value[j:])
			return
		}
		i = j
	}
}

// agentSecret reports whether a word of a User-Agent holds user information, a query, or the value of a credential.
func (r *Redactor) agentSecret(text []byte) bool {
	if lastOf(text, '@') >= 0 {
		return true
	}
	if at := firstOf(text, '='); at >= 0 {
		return true
	}
	at := firstOf(text, ':')
	return at >= 0 && (at+1 < len(text) && secret.Name(text[:at]) || firstOf(text, '?') >= 0 || firstOf(text, '#') >= 0)
}

// traceparent reads a piece of a traceparent that begins at a position, and reports whether it can be one: W3C Trace
// Context, section 3.2. Versions to come have more behind it, which is not kept.
func (d *direction) traceparent(b []byte, at int) bool {
	for i, c := range b {
		switch at + i {
		case 2, 35, 52:
			if c != '-' {
				return false
			}
		default:
			if at+i >= 55 && c != ' ' && c != '\t' || at+i < 55 && !digit(c) && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// traceState screens the members of a tracestate (W3C Trace Context, section 3.3).
func (r *Redactor) traceState(value []byte) {
	for len(value) > 0 {
		member, rest := value, []byte(nil)
		if comma := bytes.IndexByte(value, ','); comma >= 0 {
			member, rest = value[:comma], value[comma+1:]
		}
		key, text, found := bytes.Cut(member, []byte{'='})
		switch {
		case !found:
			r.blankText(member)
		case secret.Name(key) || secret.Text(key) || firstOf(text, '@') >= 0 || firstOf(text, '?') >= 0 || len(text) > 3 && string(text[:3]) == "eyJ":
			r.blank(text)
		}
		value = rest
	}
}

// keptHeader screens a value that the configuration allows: of the URLs in it, user information, queries and fragments
// are blanked.
func (r *Redactor) keptHeader(value []byte) {
	for i := 0; i < len(value); {
		j := i
		for j < len(value) && !endsURL(value[j]) {
			j++
		}
		text := value[i:j]
		if slashes := bytes.Index(text, []byte("//")); slashes >= 0 {
			authority := text[slashes+2:]
			if end := bytes.IndexAny(authority, "/?#"); end >= 0 {
				authority = authority[:end]
			}
			at := bytes.LastIndexByte(text[slashes:], '@')
			switch {
			case !hostAndPort(authority[bytes.LastIndexByte(authority, '@')+1:]) && at >= 0:
				r.blank(text)
			case at >= 0 && at > 2:
				r.blank(text[slashes+2 : slashes+at])
			}
		} else if at := bytes.LastIndexByte(text, '@'); at > 0 && bytes.IndexByte(text[:at], ':') >= 0 {
			r.blank(text[:at])
		}
		if query := bytes.IndexAny(text, "?#"); query >= 0 {
			r.blank(text[query+1:])
		}
		i = j + 1
	}
}

func endsURL(c byte) bool {
	return c == ' ' || c == '\t' || c == '<' || c == '>' || c == '"' || c == ','
}

// beginHalfLine begins a line whose end is not in the event.
func (r *Redactor) beginHalfLine(d *direction, b []byte, i int) int {
	d.textLength, d.split, d.valueBegun, d.returned = 0, false, false, false
	switch {
	case b[i] == '\r' && i+1 == len(b):
		d.phase = phaseEmptyLine
		return i + 1
	case d.malformed:
		d.phase, d.kind = phaseValue, headerNone
	case b[i] == ' ' || b[i] == '\t':
		r.fold(d)
		d.phase, d.kind = phaseValue, headerNone
	default:
		d.phase = phaseHalfName
	}
	return i
}

// halfName reads the name of a header whose line is not there as a whole. As long as it may become a known one it is
// kept.
func (r *Redactor) halfName(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && tokenByte[b[j]] {
		j++
	}
	name := b[i:j]
	if !d.append(name) {
		d.split = true // Longer than any that is known.
	}
	text := d.text[:d.textLength]
	d.kind = headerNone
	switch {
	case j == len(b):
		if d.split || !r.rules.headers.begins(text) {
			r.blank(name)
		}
		return j
	case b[j] != ':' || len(text) == 0:
		r.blank(name)
		d.malformed = true
		d.phase = phaseValue
		return j
	case !d.split:
		d.kind = r.rules.header(text)
	}
	if d.kind == headerNone {
		r.blank(name)
	}
	if d.trailer {
		d.kind = headerBlanked
	}
	d.named = true
	d.phase, d.textLength, d.number, d.digits, d.position = phaseValue, 0, 0, 0, 0
	switch d.kind {
	case headerCoding:
		d.beginCoding()
	case headerUpgrade:
		d.upgrades = true
	default:
	}
	return j + 1
}

// halfValue reads a piece of a value whose line is not there as a whole. Where only the whole value could be judged,
// nothing of it is kept.
func (r *Redactor) halfValue(d *direction, b []byte, i int) int {
	j := bytes.IndexByte(b[i:], '\n')
	end := len(b)
	if j >= 0 {
		end = i + j
	}
	value := b[i:end]
	// A carriage return ends the line or makes it malformed, which shows only with the next byte.
	if d.returned && len(value) > 0 {
		d.malformed = true
	}
	d.returned = d.returned && len(value) == 0
	if n := len(value); n > 0 && value[n-1] == '\r' {
		value = value[:n-1]
		d.returned = true
	}
	if hasControls(value) {
		d.malformed = true
	}
	if !d.valueBegun {
		value = bytes.TrimLeft(value, " \t")
		d.valueBegun = len(value) > 0
	}
	r.valuePiece(d, value)
	if j < 0 {
		return end
	}
	switch d.kind {
	case headerLength:
		d.endLength()
	case headerCoding:
		d.endCoding()
	default:
	}
	d.phase, d.textLength = phaseName, 0
	return end + 1
}

// valuePiece decides on a piece of a value.
func (r *Redactor) valuePiece(d *direction, b []byte) {
	if d.malformed {
		r.blankText(b)
		return
	}
	switch d.kind {
	case headerLength:
		r.contentLength(d, b)
	case headerCoding:
		r.transferCoding(d, b)
		r.codingPiece(d, b)
	case headerHost:
		r.hostPiece(d, b)
	case headerParent:
		if !d.traceparent(b, int(d.position)) {
			r.blank(b)
			d.position = 1 << 10 // Nothing that follows can be right.
		}
		d.position += uint64(len(b))
	default:
		r.blankText(b)
	}
}

// codingPiece keeps what can become the name of a known coding.
func (r *Redactor) codingPiece(d *direction, b []byte) {
	for i, c := range b {
		if c == ',' || c == ' ' || c == '\t' {
			d.textLength = 0
			continue
		}
		known := false
		if d.textLength < maxText {
			d.text[d.textLength] = lower(c)
			d.textLength++
			for _, coding := range codings {
				n := int(d.textLength)
				known = known || n <= len(coding) && coding[:n] == string(d.text[:n])
			}
		}
		if !known {
			d.textLength = maxText
			r.blank(b[i : i+1])
		}
	}
}

// hostPiece keeps a host as far as it goes, unless it looks like a token: it may turn out to be user information. Of
// what is behind a colon nothing but digits is kept: it may be a password.
func (r *Redactor) hostPiece(d *direction, b []byte) {
	for i, c := range b {
		if d.position == 0 {
			d.append(b[i : i+1])
		}
		switch {
		case d.position == 0 && (c >= 'a' && c <= 'z' || digit(c) || c == '.' || c == '-' || c == '_') && !secret.Start(d.text[:d.textLength]):
		case d.position == 0 && c == ':':
			d.position = 1
		case d.position >= 1 && d.position <= 5 && digit(c):
			d.position++
		case c == '[' && d.position == 0:
			d.position = 50 // An IPv6 address.
		case d.position == 50 && (digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == ':' || c == '.'):
		case d.position == 50 && c == ']':
			d.position = 0
		case c == '@':
			d.position = 0
		default:
			d.position = 100
			r.blank(b[i : i+1])
		}
	}
}

// blankText overwrites text but for white space at its ends and the carriage return that may end the line.
func (r *Redactor) blankText(b []byte) {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	r.blank(b)
}
