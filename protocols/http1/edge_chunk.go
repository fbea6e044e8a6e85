package http1

import "bytes"

// chunkSize reads the hexadecimal size of a chunk.
func (d *direction) chunkSize(b []byte, i int) (next int, failed bool) {
	for ; i < len(b); i++ {
		value, ok := hexadecimal(b[i])
		if ok {
			if d.digits == 15 {
				return i, true
			}
			d.number = d.number<<4 | value
			d.digits++
			continue
		}
		if d.digits == 0 || b[i] != ' ' && b[i] != '\t' && b[i] != ';' && b[i] != '\r' && b[i] != '\n' {
			return i, true
		}
		d.phase = phaseChunkExtension
		return i, false
	}
	return i, false
}

// chunkExtension reads to the end of the line that holds a chunk's size. Extensions are blanked: nobody downstream
// needs them.
func (r *rules) chunkExtension(d *direction, b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case '\n':
			if d.number == 0 {
				d.beginHeaders()
				d.trailer, d.body = true, nil
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

// tail keeps what ends a message whose middle is missing: the reader can then tell that the message is over, and so can
// this direction. It reports whether it did.
func (r *rules) tail(d *direction, b []byte) bool {
	n := len(b)
	switch {
	case d.lost == lostHeaders && n >= 4 && string(b[n-4:]) == "\r\n\r\n":
		r.out.Keep(n-4, n)
		if d.bodyless {
			d.phase = phaseStart
		}
	case d.lost == lostChunks:
		if at := r.lastChunk(b); at >= 0 {
			r.out.Keep(at, n)
			d.phase = phaseStart
		}
	}
	return d.phase == phaseStart
}

// lastChunk finds the last chunk and its trailer section at the end of b, RFC 9112 section 7.1. It gives the position
// of the line end before it, without which a reader could not tell it from data, and blanks the trailers' values; -1 if
// b does not end with one.
func (r *rules) lastChunk(b []byte) int {
	const last = "\r\n0\r\n"
	if string(b) == last[2:]+"\r\n" {
		return 0
	}
	at := bytes.LastIndex(b, []byte(last))
	if at < 0 || !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return -1
	}
	trailers := b[at+len(last) : len(b)-2]
	for rest := trailers; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\r\n"))
		if bytes.IndexByte(line, ':') < 1 {
			return -1
		}
		rest = after
	}
	for rest := trailers; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\r\n"))
		colon := bytes.IndexByte(line, ':')
		r.blank(line[:colon])
		r.blank(line[colon+1:])
		rest = after
	}
	return at
}
