package http1

import "bytes"

// http reads HTTP/1 (RFC 9112). What it drops it leaves out of the calls to keep.
//
// from is the first byte of b that is not decided yet. mark is where the start line or chunk header that is being read
// begins in b: if it turns out to be none, nothing of it is kept.
func (r *rules) http(s *scanner, d *direction, b []byte) {
	i, from, mark, whole := 0, 0, 0, false
	for i < len(b) {
		failed := false
		switch d.phase {
		case phaseStart:
			if b[i] == '\r' || b[i] == '\n' {
				i++ // RFC 9112, section 2.2: empty lines before a request line are ignored.
				continue
			}
			if d.doubtful && s.pending.length > 0 {
				// What follows a request that may have a body after all is a request only once that is answered.
				r.out.Keep(from, i)
				d.giveUp()
				return
			}
			mark, whole = i, true
			d.beginMessage()
		case phaseToken:
			i, failed = r.token(s, d, b, i)
		case phaseStatus:
			i, failed = d.statusCode(b, i)
		case phaseReason:
			i = r.reason(d, b, i)
		case phaseTarget, phaseScheme, phaseAuthority, phaseSegment, phaseMatrix, phaseKey, phaseParameter, phaseFragment:
			i, failed = r.target(d, b, i)
		case phaseVersion:
			if i, failed = d.version(b, i); d.phase == phaseName && whole {
				r.ask(d, b[mark:i])
			} else if d.phase == phaseName && d.methodPost {
				r.ask(d, post)
			}
		case phaseNoVersion:
			i, failed = r.noVersion(d, b, i)
		case phaseName:
			i = r.headerLine(s, d, b, i)
		case phaseHalfName:
			i = r.halfName(d, b, i)
		case phaseValue:
			i = r.halfValue(d, b, i)
		case phaseEmptyLine:
			if b[i] == '\n' {
				i++
				r.endHeaders(s, d)
			} else {
				d.malformed, d.phase, d.kind = true, phaseValue, headerNone
			}
		case phaseBody, phaseChunk:
			r.out.Keep(from, i)
			n := int(min(d.remaining, uint64(len(b)-i)))
			if d.body != nil {
				r.readBody(d, b[i:i+n], i)
			}
			i += n
			from, mark = i, i
			if d.remaining -= uint64(n); d.remaining == 0 {
				d.afterCounted()
			}
		case phaseChunkSize:
			i, failed = d.chunkSize(b, i)
		case phaseChunkExtension:
			i = r.chunkExtension(d, b, i)
		case phaseChunkEnd:
			switch {
			case b[i] == '\r' && !d.returned:
				d.returned = true
			case b[i] == '\n':
				d.phase, d.number, d.digits = phaseChunkSize, 0, 0
				mark = i + 1
			default:
				failed = true
			}
			i++
		default: // Opaque, until close, lost: nothing more is kept.
			r.out.Keep(from, i)
			s.read = i
			return
		}
		if failed {
			r.out.Keep(from, max(from, mark))
			if d.inTarget() {
				s.pending.forget()
			}
			d.lose()
			return
		}
	}
	r.out.Keep(from, i)
}

// beginMessage clears what belongs to the message before.
func (d *direction) beginMessage() {
	d.phase, d.mode, d.textLength, d.number, d.digits = phaseToken, modeKeep, 0, 0, 0
	d.response, d.hasLength, d.coded, d.chunked, d.trailer, d.bodyless = false, false, false, false, false, false
	d.guess, d.split, d.malformed, d.misframed, d.doubtful, d.upgrades, d.toHTTP2 = false, false, false, false, false, false, false
	d.toSocket = false
	d.contentLength, d.status, d.register = 0, 0, 0
	d.methodHead, d.methodTunnel, d.methodBody, d.methodPost = false, false, false, false
	d.asks, d.form, d.body, d.halved, d.encoded = 0, 0, nil, false, false
}

// giveUp drops everything that follows, for good: where the next message begins cannot be known for certain, and a
// body may hold what looks like a head.
func (d *direction) giveUp() { d.phase = phaseOpaque }

// token reads the method of a request or the version of a response.
func (r *rules) token(s *scanner, d *direction, b []byte, i int) (next int, failed bool) {
	j := i
	for j < len(b) && tokenByte[b[j]] || j < len(b) && b[j] == '/' {
		j++
	}
	if !d.append(b[i:j]) {
		return i, true
	}
	word := d.text[:d.textLength]
	if j == len(b) {
		// The rest is not there. Only what can become a message is kept.
		return j, !BeginsMethod(word) && !beginsVersion(word) && !s.beginsOwn(word)
	}
	if b[j] != ' ' || len(word) == 0 {
		return i, true
	}
	if len(word) == len("HTTP/1.1") && string(word[:7]) == "HTTP/1." && digit(word[7]) {
		d.response, d.asks = true, s.pending.asked()
		d.phase, d.textLength = phaseStatus, 0
		return j + 1, false
	}
	if !IsMethod(word) && !s.isOwn(word) && !extensionMethod(word, b[j+1:]) {
		return i, true
	}
	d.methodHead = string(word) == "HEAD"
	d.methodTunnel = string(word) == "CONNECT"
	d.methodPost = string(word) == "POST"
	d.methodBody = d.methodPost || string(word) == "PUT" || string(word) == "PATCH"
	d.bodyless = d.methodHead || string(word) == "GET" || string(word) == "DELETE" || string(word) == "OPTIONS"
	s.pending.push(d.methodHead, d.methodTunnel)
	d.phase, d.textLength = phaseTarget, 0
	return j + 1, false
}

func beginsVersion(word []byte) bool {
	const version = "HTTP/1."
	n := min(len(word), len(version))
	return string(word[:n]) == version[:n] && (len(word) <= n || len(word) == n+1 && digit(word[n]))
}

// extensionMethod reports whether word is the method of a request line that is there as a whole, though the method is
// not a well-known one. rest is what follows the word's space.
func extensionMethod(word, rest []byte) bool {
	if len(word) > 24 {
		return false
	}
	for _, c := range word {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		return false
	}
	line := bytes.TrimRight(rest[:end], "\r")
	version := len(line) - len(" HTTP/1.1")
	if version < 1 || string(line[version:version+8]) != " HTTP/1." || !digit(line[version+8]) {
		return false
	}
	switch line[0] {
	case '/', '*', 'h', 'H':
		return true
	}
	return false
}

func (d *direction) statusCode(b []byte, i int) (next int, failed bool) {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case digit(c) && d.digits < 3:
			d.number = d.number*10 + uint64(c-'0')
			d.digits++
		case d.digits == 3 && d.number >= 100 && (c == ' ' || c == '\r' || c == '\n'):
			d.status = uint16(d.number)
			d.phase = phaseReason
			return i, false
		default:
			return i, true
		}
	}
	return i, false
}

// reason blanks the reason phrase of a status line: it is free text.
func (r *rules) reason(d *direction, b []byte, i int) int {
	j := bytes.IndexByte(b[i:], '\n')
	end := len(b)
	if j >= 0 {
		end = i + j
	}
	r.blankText(b[i:end])
	if j < 0 {
		return end
	}
	d.beginHeaders()
	return end + 1
}

func (d *direction) beginHeaders() {
	d.phase, d.textLength, d.split, d.kind = phaseName, 0, false, headerNone
}

// version reads the version at the end of a request line. What is none belongs to the target, which servers allow to
// hold spaces.
func (d *direction) version(b []byte, i int) (next int, failed bool) {
	const version = "HTTP/1."
	for ; i < len(b); i++ {
		switch c, k := b[i], int(d.digits); {
		case c == '\n':
			if k < 8 {
				return i, true // HTTP/0.9 has none.
			}
			d.beginHeaders()
			return i + 1, false
		case k == 9:
			return i, true // A carriage return within the line.
		case k == 0 && c == ' ', k == 8 && (c == ' ' || c == '\t'):
		case k == 8 && c == '\r':
			d.digits = 9
		case k < len(version) && c == version[k], k == len(version) && digit(c):
			d.digits++
		case c < ' ' || c == 0x7f:
			return i, true
		default:
			d.phase = phaseNoVersion
			return i, false
		}
	}
	return i, false
}

// noVersion blanks up to the next space what stands where the version should.
func (r *rules) noVersion(d *direction, b []byte, i int) (next int, failed bool) {
	j := i
	for j < len(b) && b[j] > ' ' && b[j] != 0x7f {
		j++
	}
	r.blank(b[i:j])
	if j == len(b) {
		return j, false
	}
	if b[j] != ' ' {
		return j, true
	}
	d.phase, d.digits = phaseVersion, 0
	return j + 1, false
}

// endHeaders decides how long the body is: RFC 9112, section 6.3.
func (r *rules) endHeaders(s *scanner, d *direction) {
	d.phase = phaseStart
	if d.trailer {
		if d.malformed {
			d.giveUp()
		}
		return
	}
	if !d.response {
		r.begin(s, d)
		switch {
		case d.malformed || d.misframed || d.coded && !d.chunked:
			d.giveUp()
		case d.chunked:
			d.phase, d.number, d.digits = phaseChunkSize, 0, 0
		case d.contentLength > 0:
			d.phase, d.remaining = phaseBody, d.contentLength
		default:
			d.doubtful = d.methodTunnel || d.upgrades || d.methodBody && !d.hasLength
		}
		return
	}
	if d.status/100 == 1 && d.status != 101 {
		if d.malformed || d.misframed {
			d.giveUp()
		}
		return // The final response to the same request follows.
	}
	d.guess = s.pending.length == 0 || s.pending.unsure
	head, tunnel := s.pending.pop()
	r.beginAnswer(s, d)
	switch {
	case d.status == 101, tunnel && d.status/100 == 2:
		// From here on it is another protocol, in both directions.
		s.upgraded, s.toHTTP2, d.phase = true, d.toHTTP2 && d.status == 101, phaseOpaque
		if d.toSocket && d.status == 101 && !d.malformed {
			s.sockets = newSockets()
		}
	case d.malformed || d.misframed:
		d.giveUp()
	case head, d.status == 204, d.status == 304:
	case d.chunked:
		d.phase, d.number, d.digits = phaseChunkSize, 0, 0
	case d.coded:
		d.phase = phaseUntilClose
	case d.hasLength:
		if d.contentLength > 0 {
			d.phase, d.remaining = phaseBody, d.contentLength
		}
	default:
		d.phase = phaseUntilClose
	}
}
