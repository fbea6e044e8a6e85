package http1

import "millrace.dev/protocols/edge/secret"

// ownMethod is a method that is not well known, with which the first request of a connection began.
type ownMethod struct {
	text   [MaxMethod]byte
	length uint8
}

// learn remembers the method of the request that opened the connection, if it is not a well-known one. Any token may be
// a method, also one that is a credential: what looks like one is not learned, and its request line is dropped.
func (s *scanner) learn(request []byte) {
	for len(request) > 0 && (request[0] == '\r' || request[0] == '\n') {
		request = request[1:]
	}
	n := 0
	for n < len(request) && n < MaxMethod && IsToken(request[n]) {
		n++
	}
	if !IsMethod(request[:n]) && !secret.Text(request[:n]) {
		s.own = &ownMethod{length: uint8(n)}
		copy(s.own.text[:], request[:n])
	}
}

func (s *scanner) isOwn(word []byte) bool {
	return s.own != nil && string(word) == string(s.own.text[:s.own.length])
}

// beginsOwn reports whether the connection's own method begins with word.
func (s *scanner) beginsOwn(word []byte) bool {
	return s.own != nil && len(word) <= int(s.own.length) && string(word) == string(s.own.text[:len(word)])
}
