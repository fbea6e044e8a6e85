package redact

import "bytes"

// headerName reads the start of a header line up to its colon.
func (r *Redactor) headerName(c *Connection, d *direction, b []byte, i int) int {
	if d.textLength == 0 && !d.split {
		switch b[i] {
		case ' ', '\t':
			d.phase = phaseValue // obs-fold (RFC 9112, section 5.2): the value before goes on.
			return i
		case '\r':
			d.phase = phaseEmptyLine
			return i + 1
		case '\n':
			d.endHeaders(c)
			return i + 1
		}
	}
	j := i
	for j < len(b) && b[j] != ':' && b[j] != '\n' {
		j++
	}
	name := b[i:j]
	if d.textLength > 0 || d.split || j == len(b) {
		if !d.append(name) {
			d.textLength, d.split = maxText, true
		}
		name = d.text[:d.textLength]
	}
	if j == len(b) {
		return j
	}
	long := d.split
	d.textLength, d.split = 0, false
	if b[j] == '\n' {
		return j + 1 // Not a header line. The next one may be.
	}
	d.phase, d.valueBegun = phaseValue, false
	d.mode = d.headerMode(r.rules, name, long)
	return j + 1
}

// headerMode says what to do with the value of a header. A trailer section frames nothing (RFC 9110, section 6.5.1).
func (d *direction) headerMode(rules *rules, name []byte, long bool) mode {
	switch {
	case long:
		return modeBlank
	case d.trailer:
	case len(name) == 14 && lower(name[0]) == 'c' && equalFold(name, "content-length"):
		d.number, d.digits = 0, 0
		return modeContentLength
	case len(name) == 17 && lower(name[0]) == 't' && equalFold(name, "transfer-encoding"):
		d.register = 0
		return modeTransferEncoding
	}
	if rules.headers.match(name) {
		return modeBlank
	}
	return modeKeep
}

// headerValue reads up to the end of a header line.
func (r *Redactor) headerValue(d *direction, b []byte, i int) int {
	j := bytes.IndexByte(b[i:], '\n')
	end := len(b)
	if j >= 0 {
		end = i + j
	}
	switch d.mode {
	case modeKeep:
	case modeBlank:
		r.blankValue(d, b[i:end])
	case modeContentLength:
		d.readContentLength(b[i:end])
	case modeTransferEncoding:
		for _, ch := range b[i:end] {
			if ch > ' ' {
				d.register = d.register<<8 | uint64(lower(ch))
			}
		}
		const chunked = 'c'<<48 | 'h'<<40 | 'u'<<32 | 'n'<<24 | 'k'<<16 | 'e'<<8 | 'd'
		d.chunked = d.register&(1<<56-1) == chunked // The last coding decides: RFC 9112, section 6.1.
	}
	if j < 0 {
		return end
	}
	d.phase, d.textLength, d.valueBegun = phaseName, 0, false
	return end + 1
}

// blankValue overwrites a value but not the white space before it, and no carriage return: whether it ends the line
// shows only later.
func (r *Redactor) blankValue(d *direction, b []byte) {
	if !r.rules.enable || r.out.muted {
		return
	}
	for i, ch := range b {
		if !d.valueBegun {
			if ch == ' ' || ch == '\t' || ch == '\r' {
				continue
			}
			d.valueBegun = true
			r.out.blanked = true
		}
		if ch != '\r' {
			b[i] = '*'
		}
	}
}

func (d *direction) readContentLength(b []byte) {
	const limit = 1 << 60
	for _, ch := range b {
		switch {
		case digit(ch) && d.digits < 2:
			d.digits = 1
			d.hasLength = true
			if d.number < limit {
				d.number = d.number*10 + uint64(ch-'0')
			}
		case d.digits == 1:
			d.digits = 2 // "5, 5" is 5: RFC 9112, section 6.3.
		}
	}
	d.contentLength = d.number
}

// endHeaders decides how long the body is: RFC 9112, section 6.3.
func (d *direction) endHeaders(c *Connection) {
	d.phase = phaseStart
	if d.trailer {
		return
	}
	if !d.response {
		switch {
		case d.chunked:
			d.phase, d.number, d.digits = phaseChunkSize, 0, 0
		case d.contentLength > 0:
			d.phase, d.remaining = phaseBody, d.contentLength
		}
		return
	}
	if d.status/100 == 1 && d.status != 101 {
		return // The final response to the same request follows.
	}
	d.guess = c.methods.length == 0 || c.methods.unsure
	head, tunnel := c.methods.pop()
	switch {
	case d.status == 101, tunnel && d.status/100 == 2:
		// From here on it is another protocol, in both directions.
		c.kind, d.phase = kindOpaque, phaseOpaque
	case head, d.status == 204, d.status == 304:
	case d.chunked:
		d.phase, d.number, d.digits = phaseChunkSize, 0, 0
	case d.hasLength:
		if d.contentLength > 0 {
			d.phase, d.remaining = phaseBody, d.contentLength
		}
	default:
		d.phase = phaseUntilClose
	}
}

// chunkSize reads the hexadecimal size of a chunk; -(position+1) if there is none.
func (d *direction) chunkSize(b []byte, i int) int {
	for ; i < len(b); i++ {
		value, ok := hexadecimal(b[i])
		if ok {
			if d.digits == 15 {
				return -i - 1
			}
			d.number = d.number<<4 | value
			d.digits++
			continue
		}
		if d.digits == 0 || b[i] != ' ' && b[i] != '\t' && b[i] != ';' && b[i] != '\r' && b[i] != '\n' {
			return -i - 1
		}
		d.phase = phaseChunkExtension
		return i
	}
	return i
}

// chunkExtension reads to the end of the line that holds a chunk's size. Extensions are blanked: nobody downstream
// needs them.
func (r *Redactor) chunkExtension(d *direction, b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case '\n':
			if d.number == 0 {
				d.phase, d.trailer, d.textLength, d.split = phaseName, true, 0, false
				return i + 1
			}
			d.phase, d.remaining = phaseChunk, d.number
			return i + 1
		case '\r', ';', ' ', '\t':
		default:
			r.blank(b[i : i+1])
		}
	}
	return i
}

func hexadecimal(c byte) (uint64, bool) {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0'), true
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return uint64(c-'A') + 10, true
	}
	return 0, false
}
