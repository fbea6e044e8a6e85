package decode

import (
	"bytes"

	"millrace.dev/protocols"
	known "millrace.dev/protocols/http1"
)

const (
	maxMethod = known.MaxMethod
	maxLine   = 64 << 10         // longest line (a request's as known.MaxLine) that is held whole
	maxHead   = 4 << 20          // longest head
	maxTarget = known.LongTarget // kept of a target
	maxValue  = 1024             // kept of a header value
)

// beginsRequest reports whether b begins with a request line, or with a part of one behind the method. What was before
// it is not known.
func beginsRequest(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	g := known.Request(b, protocols.Anywhere)
	return g == protocols.Sure || g == protocols.More && bytes.IndexByte(b, ' ') > 0
}

// requestLine splits "method SP target SP HTTP/1.x". The minor version is given as one digit.
func requestLine(line []byte) (method, target []byte, minor byte, ok bool) {
	first := bytes.IndexByte(line, ' ')
	if first < 1 || first > maxMethod {
		return nil, nil, 0, false
	}
	line, method = line[first+1:], line[:first]
	for _, c := range method {
		if !known.IsToken(c) {
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

// longRequest splits the beginning of a request line whose end is not there: a well-known method, and a target that is
// as long as what is kept, or has its end.
func longRequest(b []byte) (method, target []byte, ok bool) {
	method, target, ok = bytes.Cut(b, []byte{' '})
	if !ok || !known.IsMethod(method) || len(target) == 0 || target[0] != '/' && target[0] != 'h' && target[0] != '*' {
		return nil, nil, false
	}
	target = cut(target, maxTarget)
	for i, c := range target {
		if c == ' ' {
			return method, target[:i], true
		}
		if c < ' ' {
			return nil, nil, false
		}
	}
	return method, target, len(target) == maxTarget
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
