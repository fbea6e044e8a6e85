package redact

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// verdict is what first bytes tell.
type verdict uint8

const (
	verdictNo verdict = iota
	verdictMore
	verdictHTTP
	verdictRedis
)

// requestMethods are the methods with which a connection is taken for HTTP; on a connection that is HTTP any token will
// do.
var requestMethods = []string{
	"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE",
	"LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE", "LINK", "UNLINK", "MERGE", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "QUERY",
}

// inlineCommands are the Redis commands with which an inline command may open a connection that the kernel side has no
// guess about. Lower case is taken only for those that memcached does not have.
var inlineCommands = []string{
	"PING", "AUTH", "HELLO", "INFO", "SELECT", "CLIENT", "CONFIG", "ACL", "ECHO", "EXISTS", "DEL", "KEYS", "DBSIZE", "COMMAND",
	"ping", "auth", "hello", "info", "select", "client", "config", "acl", "exists", "del", "keys", "dbsize", "command",
	"SET", "GET", "INCR", "DECR", "LPUSH", "RPUSH", "HSET", "HGET",
}

// classify decides what the stream speaks and gives the bytes that are still to be consumed. As long as it is
// undecided, the bytes are kept: they are no more than the beginning of a method, version or command name.
func (r *Redactor) classify(c *Connection, d *direction, b []byte) []byte {
	if c.kind != kindUndecided {
		// The other direction knows.
		held := d.text
		n := int(d.textLength)
		d.enter(c.kind)
		r.reread(c, d, held[:n])
		return b
	}
	before := int(d.textLength)
	prefix := b
	if before > 0 {
		if !d.append(b[:min(len(b), maxText-before)]) {
			return nil
		}
		prefix = d.text[:d.textLength]
	}
	switch v := recognise(prefix, d.hint); v {
	case verdictMore:
		if len(prefix) < maxText {
			if before == 0 {
				d.append(b)
			}
			r.out.keep(0, len(b))
			return nil
		}
		fallthrough
	case verdictNo:
		c.kind, d.phase, d.textLength = kindOpaque, phaseOpaque, 0
		return nil
	default:
		c.kind = kindHTTP
		if v == verdictRedis {
			c.kind = kindRedis
		}
		held := d.text
		d.enter(c.kind)
		r.reread(c, d, held[:before])
		return b
	}
}

// enter begins the protocol at the start of a message.
func (d *direction) enter(k kind) {
	d.textLength, d.argument, d.arguments = 0, 0, 0
	d.phase = phaseStart
	if k == kindRedis {
		d.phase = phaseReply
	}
	if k == kindOpaque {
		d.phase = phaseOpaque
	}
}

// reread feeds bytes that were kept while the connection was undecided.
func (r *Redactor) reread(c *Connection, d *direction, b []byte) {
	if len(b) == 0 {
		return
	}
	r.out.muted = true
	r.consume(c, d, b)
	r.out.muted = false
}

// recognise judges the first bytes of a stream.
func recognise(b []byte, hint millracev1.Protocol) verdict {
	if len(b) == 0 {
		return verdictMore
	}
	best := recogniseHTTP(b)
	if best == verdictNo {
		best = recogniseRedis(b) // "GET /x" could be an inline command; as a request it is likelier.
	} else if best == verdictMore && recogniseRedis(b) == verdictRedis {
		best = verdictRedis
	}
	if best == verdictNo && hint == millracev1.Protocol_PROTOCOL_REDIS && letter(b[0]) {
		return verdictRedis
	}
	return best
}

func recogniseHTTP(b []byte) verdict {
	if v := recognisePrefix(b, "HTTP/1."); v != verdictNo {
		return v
	}
	space := bytes.IndexByte(b[:min(len(b), 16)], ' ')
	word := b
	if space >= 0 {
		word = b[:space]
	}
	for _, method := range requestMethods {
		if space < 0 {
			if len(word) <= len(method) && method[:len(word)] == string(word) {
				return verdictMore
			}
			continue
		}
		if method != string(word) {
			continue
		}
		if space+1 == len(b) {
			return verdictMore
		}
		switch c := b[space+1]; {
		case c == '/' || c == '*' || c == 'h' || c == 'H':
			return verdictHTTP
		case method == "CONNECT" && (letter(c) || digit(c) || c == '['):
			return verdictHTTP
		}
		return verdictNo
	}
	return verdictNo
}

func recognisePrefix(b []byte, want string) verdict {
	if len(b) < len(want) {
		if want[:len(b)] == string(b) {
			return verdictMore
		}
		return verdictNo
	}
	if string(b[:len(want)]) == want {
		return verdictHTTP
	}
	return verdictNo
}

func recogniseRedis(b []byte) verdict {
	switch {
	case b[0] == '*':
		return recogniseCount(b)
	case b[0] == '-':
		// A server that refuses a connection says so first.
		if len(b) < 4 {
			if "-ERR"[:len(b)] == string(b) {
				return verdictMore
			}
			return verdictNo
		}
		if string(b[:4]) == "-ERR" {
			return verdictRedis
		}
	case letter(b[0]):
		end := 0
		for end < len(b) && end < 16 && letter(b[end]) {
			end++
		}
		for _, command := range inlineCommands {
			switch {
			case end == len(b) && end <= len(command) && command[:end] == string(b):
				return verdictMore
			case end < len(b) && command == string(b[:end]) && (b[end] == ' ' || b[end] == '\r' || b[end] == '\n'):
				if b[end] == ' ' && end+1 == len(b) {
					return verdictMore // An HTTP target may follow.
				}
				return verdictRedis
			}
		}
	}
	return verdictNo
}

// recogniseCount judges a type byte, a number and a line end.
func recogniseCount(b []byte) verdict {
	i := 1
	if i < len(b) && b[i] == '-' {
		i++
	}
	for i < len(b) && i < 12 && digit(b[i]) {
		i++
	}
	switch {
	case i == len(b):
		return verdictMore
	case !digit(b[i-1]) || b[i] != '\r':
		return verdictNo
	case i+1 == len(b):
		return verdictMore
	case b[i+1] != '\n':
		return verdictNo
	}
	return verdictRedis
}

// resync looks whether an event begins with what can only be the start of a message, where the position is not known.
func (r *Redactor) resync(c *Connection, d *direction, b []byte) {
	switch {
	case d.phase == phaseLost:
	case d.guess && (d.phase == phaseBody || d.phase == phaseChunk || d.phase == phaseUntilClose):
		// The body is one only if the request was not HEAD, and the request was not seen.
		if startsResponse(b) {
			d.phase = phaseStart
		}
		return
	default:
		return
	}
	switch {
	case c.kind != kindRedis && (startsResponse(b) || recogniseHTTP(b) == verdictHTTP && !startsVersion(b)):
		c.kind = kindHTTP
	case c.kind != kindHTTP && d.startsRESP(b):
		c.kind = kindRedis
	default:
		return
	}
	d.enter(c.kind)
}

func startsVersion(b []byte) bool { return len(b) >= 7 && string(b[:7]) == "HTTP/1." }

func startsResponse(b []byte) bool {
	return len(b) >= 13 && startsVersion(b) && digit(b[7]) && b[8] == ' ' && digit(b[9]) && digit(b[10]) && digit(b[11]) &&
		(b[12] == ' ' || b[12] == '\r' || b[12] == '\n')
}

// startsRESP is strict where a password could follow: a bulk string on its own is taken only for a reply.
func (d *direction) startsRESP(b []byte) bool {
	request := d.sends && d.client || !d.sends && d.server
	reply := d.sends && d.server || !d.sends && d.client
	if request {
		return b[0] == '*' && recogniseCount(b) == verdictRedis
	}
	switch b[0] {
	case '*', '%', '~', '>', ':':
		return recogniseCount(b) == verdictRedis
	case '$':
		return reply && recogniseCount(b) == verdictRedis
	case '+':
		return bytes.HasPrefix(b, []byte("+OK\r\n")) || bytes.HasPrefix(b, []byte("+PONG\r\n")) || bytes.HasPrefix(b, []byte("+QUEUED\r\n"))
	case '-':
		return bytes.HasPrefix(b, []byte("-ERR ")) || bytes.HasPrefix(b, []byte("-WRONGTYPE ")) || bytes.HasPrefix(b, []byte("-MOVED "))
	case '_':
		return bytes.HasPrefix(b, []byte("_\r\n"))
	}
	return false
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }
