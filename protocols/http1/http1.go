package http1

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/websocket"
)

const (
	// MaxMethod is the longest method that is taken for one. The longest that is registered has 17 bytes.
	MaxMethod = 32
	// MaxLine is the longest request line, in bytes, whose end is waited for.
	MaxLine = 64 << 10
	// LongTarget is a length of a target, in bytes, with which a well-known method is a request although the end of its
	// line is not there.
	LongTarget = 8 << 10
	// maxOwnLine is the longest request line of a method that is not well known, while its end is not there.
	maxOwnLine = 8 << 10
)

// Protocol is HTTP/1.x.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_HTTP1,
	Name:      "http",
	Decoded:   true,
	Matches:   matches(),
	Upgraded:  &websocket.Frames,
	Recognise: recognise,
}

// methods are those of IANA's registry and others that servers are known to take. They need less evidence than others:
// anywhere but at the beginning of a connection, "ET / HTTP/1.1" is a GET whose first byte was not seen.
var methods = map[string]bool{}

func init() {
	for _, m := range []string{
		"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
		"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR",
		"MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND",
		"UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
		"PURGE", "BAN", "REFRESH", "LIST", "FLUSH", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "M-SEARCH", "RPC_IN_DATA", "RPC_OUT_DATA",
	} {
		methods[m] = true
	}
}

// matches let through a token of up to 14 bytes, a space, and the first byte of a target. The kernel side sees no more.
func matches() []protocols.Match {
	list := []protocols.Match{protocols.Text("HTTP/1")}
	var own []protocols.Match
	method := protocols.Match{}
	for range protocols.MatchBytes - 2 {
		method = method.Then(0x80, 0)
		target := method.Then(0xff, ' ')
		// '*', '+', '.', '/': origin and asterisk form (RFC 9112, section 3.2).
		list = append(list, target.Then(0xfa, 0x2a))
		if target.Least <= protocols.MatchBytes-2 {
			list = append(list, target.Then(0xdf, 'H').Then(0xdf, 'T')) // http:, https:
		}
		// A letter: absolute form. In many other protocols too a word and a space come before a letter.
		own = append(own, target.Then(0xc0, 0x40).AtOpening())
	}
	list = append(list, protocols.Text("CONNECT "), protocols.Text("BASELINE-CONTROL"), protocols.Text("VERSION-CONTROL "),
		protocols.Text("UPDATEREDIRECTRE"))
	for range protocols.MatchBytes - 14 {
		method = method.Then(0x80, 0)
	}
	// A longer method, and the empty lines that may come before a request (RFC 9112, section 2.2).
	own = append(own, method.AtOpening(), protocols.Text("\n").AtOpening(), protocols.Text("\r\n").AtOpening())
	return append(list, own...)
}

func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	switch from {
	case protocols.Client:
		return Request(b, how)
	case protocols.Server:
		return Response(b)
	default:
		return max(Request(b, how), Response(b))
	}
}

// Response judges whether b begins with a status line: "HTTP/1.x SP 3DIGIT", then a space or the end of the line.
func Response(b []byte) protocols.Guess {
	const pattern = "HTTP/1.0 000\n"
	for i := range min(len(b), len(pattern)) {
		switch c := b[i]; pattern[i] {
		case '0':
			if c < '0' || c > '9' {
				return protocols.No
			}
		case '\n':
			if c != ' ' && c != '\r' && c != '\n' {
				return protocols.No
			}
		default:
			if c != pattern[i] {
				return protocols.No
			}
		}
	}
	if len(b) < len(pattern) {
		return protocols.More
	}
	return protocols.Sure
}

// Request judges whether b begins with a request line, "method SP target SP HTTP/1.x", to its end: only there it
// differs from those of RTSP, SIP, ICAP and ICE. At the opening of a connection any token is a method, elsewhere those
// that are well known.
func Request(b []byte, how protocols.Evidence) protocols.Guess {
	if how != protocols.Anywhere {
		b = bytes.TrimLeft(b, "\r\n")
	}
	if len(b) == 0 {
		return protocols.More
	}
	n := 0
	for n < len(b) && n <= MaxMethod && IsToken(b[n]) {
		n++
	}
	known := false
	switch {
	case n == len(b):
		if n > MaxMethod || how == protocols.Anywhere && !BeginsMethod(b) {
			return protocols.No
		}
		return protocols.More
	case n == 0 || n > MaxMethod || b[n] != ' ':
		return protocols.No
	default:
		known = methods[string(b[:n])]
	}
	if !known && how == protocols.Anywhere {
		return protocols.No
	}
	line, end := b[n+1:], false
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line, end = line[:i], true
	} else if known && len(line) >= LongTarget && bytes.IndexByte(line[:LongTarget], ' ') < 0 {
		return requestTarget(line[:LongTarget], false, string(b[:n]) == "CONNECT", how)
	} else if len(b) > MaxLine || !known && len(b) > maxOwnLine {
		return protocols.No
	}
	return requestRest(line, end, string(b[:n]) == "CONNECT", how)
}

// requestRest judges what follows the method and its space, up to the line's end or as far as it goes.
func requestRest(line []byte, end, connect bool, how protocols.Evidence) protocols.Guess {
	target, rest, spaced := bytes.Cut(line, []byte{' '})
	if g := requestTarget(target, spaced || end, connect, how); g != protocols.Sure || !spaced {
		if end && g != protocols.No {
			return protocols.No // HTTP/0.9, or what is none
		}
		return min(g, protocols.More)
	}
	const version = "HTTP/1."
	n := min(len(rest), len(version))
	if string(rest[:n]) != version[:n] {
		return protocols.No
	}
	rest = rest[n:]
	if len(rest) > 0 && (rest[0] < '0' || rest[0] > '9') {
		return protocols.No
	}
	for i, c := range rest {
		if i > 0 && c != ' ' && c != '\t' && (c != '\r' || i != len(rest)-1) {
			return protocols.No
		}
	}
	switch {
	case !end:
		return protocols.More
	case len(rest) == 0:
		return protocols.No
	}
	return protocols.Sure
}

// requestTarget judges a target, RFC 9112 section 3.2. With whole it is complete. The node blanks targets of forms that
// few servers take; what begins like a scheme and goes on in '*' is one of those.
func requestTarget(t []byte, whole, connect bool, how protocols.Evidence) protocols.Guess {
	if len(t) == 0 {
		if whole {
			return protocols.No
		}
		return protocols.More
	}
	for _, c := range t {
		if c < ' ' || c == 0x7f {
			return protocols.No
		}
	}
	switch {
	case t[0] == '/':
		return protocols.Sure
	case t[0] == '*':
		return blanked(t)
	case connect:
		return authority(t)
	case !isLetter(t[0]), how == protocols.Anywhere && (t[0]|0x20 != 'h' || len(t) > 1 && t[1]|0x20 != 't'):
		return protocols.No // in the middle of a connection, only http and https
	}
	for i, c := range t {
		switch {
		case c == ':':
			return protocols.Sure
		case c == '*':
			return blanked(t[i:])
		case !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.':
			return protocols.No
		}
	}
	if whole {
		return protocols.No
	}
	return protocols.More
}

// blanked judges the rest of a target that begins with '*'.
func blanked(t []byte) protocols.Guess {
	if len(bytes.TrimLeft(t, "*")) > 0 {
		return protocols.No
	}
	return protocols.Sure
}

// authority judges the target of CONNECT, RFC 9110 section 7.2.
func authority(t []byte) protocols.Guess {
	for _, c := range t {
		if !isLetter(c) && (c < '0' || c > '9') && bytes.IndexByte([]byte("-._~%:[]!$&'()*+,;="), c) < 0 {
			return protocols.No
		}
	}
	return protocols.Sure
}

// BeginsMethod reports whether a well-known method begins with b.
func BeginsMethod(b []byte) bool {
	for m := range methods {
		if len(b) <= len(m) && m[:len(b)] == string(b) {
			return true
		}
	}
	return false
}

// IsMethod reports whether b is a method that is well known.
func IsMethod(b []byte) bool {
	switch string(b) {
	case "GET", "POST", "PUT", "DELETE", "HEAD": // nearly all there are, without hashing
		return true
	}
	return methods[string(b)]
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// IsToken reports whether c is a byte of a token, RFC 9110 section 5.6.2.
func IsToken(c byte) bool { return tokenByte[c] }

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
