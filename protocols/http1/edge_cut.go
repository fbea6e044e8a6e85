package http1

import (
	"bytes"

	"millrace.dev/protocols/edge/secret"
)

// beginHalfLine begins a line whose end is not in the event.
func (r *rules) beginHalfLine(d *direction, b []byte, i int) int {
	d.textLength, d.split, d.valueBegun, d.returned = 0, false, false, false
	d.asks, d.halved = 0, true // what a line says that is cut is not known
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
func (r *rules) halfName(d *direction, b []byte, i int) int {
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
		if d.split || !r.headers.Begins(text) {
			r.blank(name)
		}
		return j
	case b[j] != ':' || len(text) == 0:
		r.blank(name)
		d.malformed = true
		d.phase = phaseValue
		return j
	case !d.split:
		d.kind = r.header(text)
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
func (r *rules) halfValue(d *direction, b []byte, i int) int {
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
	case headerUpgrade:
		d.upgradeTo(d.text[:d.textLength])
	default:
	}
	d.phase, d.textLength = phaseName, 0
	return end + 1
}

// valuePiece decides on a piece of a value.
func (r *rules) valuePiece(d *direction, b []byte) {
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
	case headerUpgrade:
		r.upgradePiece(d, b)
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
func (r *rules) codingPiece(d *direction, b []byte) {
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

// upgradePiece keeps what can become the name of a protocol that is read behind an upgrade.
func (r *rules) upgradePiece(d *direction, b []byte) {
	for i, c := range b {
		n := int(d.textLength)
		if n < len(upgradeSocket) && (upgradeSocket[n] == lower(c) && upgradeSocket[:n] == string(d.text[:n]) ||
			n < len(upgradeHTTP2) && upgradeHTTP2[n] == lower(c) && upgradeHTTP2[:n] == string(d.text[:n])) {
			d.text[n] = lower(c)
			d.textLength++
			continue
		}
		d.textLength = maxText // nothing that follows can be right
		r.blank(b[i : i+1])
	}
}

// hostPiece keeps a host as far as it goes, unless it looks like a token: it may turn out to be user information. Of
// what is behind a colon nothing but digits is kept: it may be a password.
func (r *rules) hostPiece(d *direction, b []byte) {
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
