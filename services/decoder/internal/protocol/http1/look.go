package http1

import (
	"bytes"

	"millrace.dev/services/decoder/internal/protocol"
)

const (
	maxMethod = 32       // longest method taken for one; WebDAV's longest is 16
	maxLine   = 64 << 10 // longest request line, header line or chunk header
	maxHead   = 1 << 20  // longest head
	maxTarget = 8192     // kept of a target
	maxValue  = 1024     // kept of a header value
)

// methods are those that RFC 9110, 5789 and WebDAV define; they need less evidence than others.
var methods = []string{
	"GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ",
	"PROPFIND ", "PROPPATCH ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH ", "PURGE ",
}

// look judges whether b begins with a request line.
func look(b []byte, _ bool) protocol.Guess {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') { // RFC 9112 section 2.2: empty lines before a request are ignored
		b = b[1:]
	}
	if len(b) == 0 {
		return protocol.Maybe
	}
	n := 0
	for n < len(b) && n <= maxMethod && tokenByte[b[n]] {
		n++
	}
	switch {
	case n == len(b):
		return protocol.Maybe
	case n == 0 || n > maxMethod || b[n] != ' ':
		return protocol.No
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) < 512 || knownMethod(b) && len(b) < maxLine {
			return protocol.Maybe
		}
		return protocol.No
	}
	if _, _, _, ok := requestLine(trimCR(b[:end])); !ok {
		return protocol.No
	}
	return protocol.Request
}

// beginsRequest reports whether b begins with a request line, or with a part of one whose method is well known.
func beginsRequest(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	g := look(b, true)
	return g == protocol.Request || g == protocol.Maybe && knownMethod(b)
}

func knownMethod(b []byte) bool {
	for _, m := range methods {
		if len(b) >= len(m) && string(b[:len(m)]) == m {
			return true
		}
	}
	return false
}

// requestLine splits "method SP target SP HTTP/1.x". The minor version is given as one digit.
func requestLine(line []byte) (method, target []byte, minor byte, ok bool) {
	first := bytes.IndexByte(line, ' ')
	if first < 1 || first > maxMethod {
		return nil, nil, 0, false
	}
	line, method = line[first+1:], line[:first]
	for _, c := range method {
		if !tokenByte[c] {
			return nil, nil, 0, false
		}
	}
	line = bytes.TrimRight(line, " \t")
	last := len(line) - len("HTTP/1.1")
	if last < 2 || line[last-1] != ' ' || string(line[last:last+7]) != "HTTP/1." || line[last+7] < '0' || line[last+7] > '9' {
		return nil, nil, 0, false
	}
	target = bytes.Trim(line[:last-1], " \t")
	if len(target) == 0 {
		return nil, nil, 0, false
	}
	for _, c := range target {
		if c < ' ' {
			return nil, nil, 0, false
		}
	}
	return method, target, line[last+7], true
}

// statusLine reads "HTTP/1.x SP 3DIGIT".
func statusLine(line []byte) (status uint32, ok bool) {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] < '0' || line[7] > '9' || line[8] != ' ' {
		return 0, false
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, false
		}
		status = status*10 + uint32(c-'0')
	}
	if status < 100 || len(line) > 12 && line[12] != ' ' {
		return 0, false
	}
	return status, true
}

// looksLikeResponse reports whether b begins like a status line, as far as it goes.
func looksLikeResponse(b []byte) bool {
	const prefix = "HTTP/1."
	n := min(len(b), len(prefix))
	return n > 0 && string(b[:n]) == prefix[:n]
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
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
