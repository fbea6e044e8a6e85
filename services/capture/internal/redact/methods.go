package redact

import (
	"millrace.dev/protocols/http1"
	"millrace.dev/services/capture/internal/secret"
)

// ownMethod is a method that is not well known, with which the first request of a connection began.
type ownMethod struct {
	text   [http1.MaxMethod]byte
	length uint8
}

// learn remembers the method of the request that opened the connection, if it is not a well-known one. Any token may be
// a method, also one that is a credential: what looks like one is not learned, and its request line is dropped.
func (c *Connection) learn(request []byte) {
	for len(request) > 0 && (request[0] == '\r' || request[0] == '\n') {
		request = request[1:]
	}
	n := 0
	for n < len(request) && n < http1.MaxMethod && http1.IsToken(request[n]) {
		n++
	}
	if !http1.IsMethod(request[:n]) && !secret.Text(request[:n]) {
		c.own = &ownMethod{length: uint8(n)}
		copy(c.own.text[:], request[:n])
	}
}

func (c *Connection) isOwn(word []byte) bool {
	return c.own != nil && string(word) == string(c.own.text[:c.own.length])
}

// beginsOwn reports whether the connection's own method begins with word.
func (c *Connection) beginsOwn(word []byte) bool {
	return c.own != nil && len(word) <= int(c.own.length) && string(word) == string(c.own.text[:len(word)])
}
