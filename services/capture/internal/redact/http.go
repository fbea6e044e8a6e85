package redact

import "bytes"

// http reads HTTP/1 (RFC 9112). What it drops it leaves out of the calls to keep; from is the first byte of b that is
// not decided yet.
func (r *Redactor) http(c *Connection, d *direction, b []byte) {
	i, from := 0, 0
	for i < len(b) {
		switch d.phase {
		case phaseStart:
			if b[i] == '\r' || b[i] == '\n' {
				i++ // RFC 9112, section 2.2: empty lines before a request line are ignored.
				continue
			}
			d.beginMessage()
		case phaseToken:
			at := i
			if i = r.token(c, d, b, i); i < 0 {
				r.out.keep(from, at)
				return
			}
		case phaseStatus:
			i = d.statusCode(b, i)
		case phaseScheme, phaseSlashes, phaseAuthority, phaseTarget, phaseKey, phaseParameter:
			i = r.target(d, b, i)
		case phaseLine:
			i = d.line(b, i, phaseName)
		case phaseName:
			i = r.headerName(c, d, b, i)
		case phaseValue:
			i = r.headerValue(d, b, i)
		case phaseEmptyLine:
			if b[i] != '\n' {
				r.out.keep(from, i)
				d.lose()
				return
			}
			i++
			d.endHeaders(c)
		case phaseBody, phaseChunk:
			r.out.keep(from, i)
			n := int(min(d.remaining, uint64(len(b)-i)))
			i += n
			from = i
			if d.remaining -= uint64(n); d.remaining == 0 {
				r.afterCounted(d)
			}
		case phaseChunkSize:
			if i = d.chunkSize(b, i); i < 0 {
				r.out.keep(from, -i-1)
				d.lose()
				return
			}
		case phaseChunkExtension:
			i = r.chunkExtension(d, b, i)
		case phaseChunkEnd:
			switch b[i] {
			case '\r':
			case '\n':
				d.phase, d.number, d.digits = phaseChunkSize, 0, 0
			default:
				r.out.keep(from, i)
				d.lose()
				return
			}
			i++
		default: // Opaque, until close, lost: nothing more is kept.
			r.out.keep(from, i)
			return
		}
	}
	r.out.keep(from, i)
}

// beginMessage clears what belongs to the message before.
func (d *direction) beginMessage() {
	d.phase, d.mode, d.textLength, d.number, d.digits = phaseToken, modeKeep, 0, 0, 0
	d.response, d.hasLength, d.chunked, d.trailer, d.bodyless, d.guess, d.split = false, false, false, false, false, false, false
	d.contentLength, d.status, d.register = 0, 0, 0
	d.methodHead, d.methodTunnel = false, false
}

// token reads the method of a request or the version of a response; negative if it is neither.
func (r *Redactor) token(c *Connection, d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && b[j] > ' ' && b[j] < 0x7f {
		j++
	}
	if !d.append(b[i:j]) {
		d.lose()
		return -1
	}
	if j == len(b) {
		return j
	}
	word := d.text[:d.textLength]
	if b[j] != ' ' || len(word) == 0 {
		d.lose()
		return -1
	}
	if len(word) > 5 && string(word[:5]) == "HTTP/" {
		d.response = true
		d.phase, d.textLength = phaseStatus, 0
		return j + 1
	}
	for _, ch := range word {
		if !letter(ch) && ch != '-' && ch != '_' {
			d.lose()
			return -1
		}
	}
	d.methodHead = string(word) == "HEAD"
	d.methodTunnel = string(word) == "CONNECT"
	d.bodyless = d.methodHead || string(word) == "GET" || string(word) == "DELETE" || string(word) == "OPTIONS"
	c.methods.push(d.methodHead, d.methodTunnel)
	d.phase, d.textLength = phaseTarget, 0
	if !d.methodTunnel {
		d.phase = phaseScheme
	}
	return j + 1
}

func (d *direction) statusCode(b []byte, i int) int {
	for ; i < len(b); i++ {
		if !digit(b[i]) || d.digits == 3 {
			d.status = uint16(d.number)
			d.phase = phaseLine
			return i
		}
		d.number = d.number*10 + uint64(b[i]-'0')
		d.digits++
	}
	return i
}

// line skips to the start of the next line, which is read in phase next.
func (d *direction) line(b []byte, i int, next phase) int {
	j := bytes.IndexByte(b[i:], '\n')
	if j < 0 {
		return len(b)
	}
	d.phase, d.textLength = next, 0
	return i + j + 1
}

// target reads the target of a request: user information of the absolute form and query parameters may be credentials.
func (r *Redactor) target(d *direction, b []byte, i int) int {
	switch d.phase {
	case phaseScheme:
		for ; i < len(b); i++ {
			switch c := b[i]; {
			case c == ':':
				d.phase, d.digits = phaseSlashes, 0
				return i + 1
			case !letter(c):
				d.phase = phaseTarget
				return i
			}
		}
	case phaseSlashes:
		if b[i] != '/' {
			d.phase = phaseTarget
			return i
		}
		if d.digits++; d.digits == 2 {
			d.phase = phaseAuthority
		}
		return i + 1
	case phaseAuthority:
		return r.authority(d, b, i)
	case phaseTarget:
		for ; i < len(b); i++ {
			switch b[i] {
			case '?':
				d.phase, d.textLength = phaseKey, 0
				return i + 1
			case ' ', '\r', '\n':
				d.phase = phaseLine
				return i
			}
		}
	case phaseKey:
		return r.parameterName(d, b, i)
	case phaseParameter:
		j := i
		for j < len(b) && !endsParameter(b[j]) {
			j++
		}
		if d.mode == modeBlank {
			r.blank(b[i:j])
		}
		if j < len(b) {
			d.mode = modeKeep
			return d.afterParameter(b, j)
		}
		return j
	default: // Not within a target.
	}
	return i
}

// authority blanks user information (RFC 3986, section 3.2.1). Its end shows only at '@', so when the authority is cut
// into several runs, all of it is blanked: a port is worth less than a password.
func (r *Redactor) authority(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && b[j] != '/' && b[j] != '?' && b[j] != '#' && b[j] != ' ' && b[j] != '\r' && b[j] != '\n' {
		j++
	}
	at := bytes.LastIndexByte(b[i:j], '@')
	switch {
	case at >= 0:
		r.blank(b[i : i+at])
	case j == len(b) || d.split:
		r.blank(b[i:j])
	}
	if d.split = j == len(b); !d.split {
		d.phase = phaseTarget
	}
	return j
}

func endsParameter(c byte) bool {
	return c == '&' || c == ';' || c == ' ' || c == '#' || c == '\r' || c == '\n'
}

func (r *Redactor) parameterName(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && b[j] != '=' && !endsParameter(b[j]) {
		j++
	}
	name := b[i:j]
	if d.textLength > 0 || j == len(b) {
		// Longer than any credential's name: one byte more than fits tells match so.
		if !d.append(name) {
			d.textLength = maxText
			d.split = true
		}
		name = d.text[:d.textLength]
	}
	if j == len(b) {
		return j
	}
	if b[j] != '=' {
		return d.afterParameter(b, j)
	}
	d.mode = modeKeep
	if d.split && len(name) == maxText || r.rules.parameters.match(name) {
		d.mode = modeBlank
	}
	d.split = false
	d.phase, d.textLength = phaseParameter, 0
	return j + 1
}

// afterParameter goes on at the byte that ended a name or a value.
func (d *direction) afterParameter(b []byte, i int) int {
	d.textLength, d.split = 0, false
	switch b[i] {
	case '&', ';':
		d.phase = phaseKey
		return i + 1
	case '#':
		d.phase = phaseTarget
		return i + 1
	}
	d.phase = phaseLine
	return i
}
