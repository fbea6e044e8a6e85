package http1

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Edge is the node's half of HTTP/1. Blanked are the values of headers that are not on a list, reason phrases, and what
// may be a credential in targets. Bodies are dropped, and everything behind an upgrade but the
// headers of WebSocket's frames.
//
// Each direction is read once, byte by byte. What is there as a whole is judged as a whole; what the end of an event
// cuts is kept only as far as it cannot be a secret. Where a head leaves open how long the body is, nothing more of the
// direction is kept.
var Edge = edge.Room{Protocol: &Protocol, Prepare: prepare}

func prepare(settings *edge.Rules) (func(seen bool) edge.Scanner, error) {
	r, err := newRules(settings)
	if err != nil {
		return nil, err
	}
	return func(bool) edge.Scanner { return &scanner{rules: r} }, nil
}

// scanner follows a connection.
type scanner struct {
	rules      *rules
	directions [2]direction // of the client, of the server
	pending    pending
	own        *ownMethod
	doubt      bool // heads were missed, so which response answers which request is not certain
	upgraded   bool // the connection has left the protocol
	toHTTP2    bool // for HTTP/2
	read       int  // bytes of the last call of Scan that were of the protocol
	sockets    *sockets
}

// Successor implements [edge.Successor].
func (s *scanner) Successor() (number millracev1.Protocol, read int) {
	if !s.toHTTP2 {
		return 0, 0
	}
	return millracev1.Protocol_PROTOCOL_HTTP2, s.read
}

// Opened implements [edge.Beginner].
func (s *scanner) Opened(client, _ []byte) { s.learn(client) }

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	if s.sockets != nil {
		return s.sockets.scan(from, b, 0, w)
	}
	d := &s.directions[from-protocols.Client]
	if d.guess && w.Begins() && d.inBody() && Response(b) == protocols.Sure {
		d.phase = phaseStart // the body is one only if the request was not HEAD, and the request was not seen
	}
	s.rules.out = w
	s.read = len(b)
	s.rules.http(s, d, b)
	switch {
	case s.sockets != nil:
		return s.sockets.scan(from, b, s.read, w)
	case s.upgraded:
		return edge.Opaque
	case d.phase == phaseOpaque:
		return edge.GivenUp
	case d.phase == phaseLost:
		return edge.Lost
	}
	return edge.Following
}

// Skip implements [edge.Scanner]. A chunk and the line end behind it are one: a hole may cover any of both.
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	if s.sockets != nil {
		return s.sockets.skip(from, n)
	}
	d := &s.directions[from-protocols.Client]
	switch d.phase {
	case phaseUntilClose:
		return true
	case phaseBody, phaseChunk:
		d.skipBody(min(n, d.remaining))
		if n < d.remaining {
			d.remaining -= n
			return true
		}
		n -= d.remaining
		d.afterCounted()
	default: // where the syntax continues is not known, but for a line end
	}
	for n > 0 && d.phase == phaseChunkEnd {
		n--
		if !d.returned {
			d.returned = true
			continue
		}
		d.phase, d.number, d.digits = phaseChunkSize, 0, 0
	}
	if n > 0 {
		d.lose()
	}
	return n == 0
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	if s.sockets != nil {
		return false // no frame can be told from what a message holds
	}
	switch Protocol.Recognise(b, from, protocols.Anywhere) {
	case protocols.Sure:
	case protocols.More:
		if bytes.IndexByte(b, ' ') <= 0 {
			return false // less than a method and its space
		}
	default:
		return false
	}
	d := &s.directions[from-protocols.Client]
	d.phase, d.textLength = phaseStart, 0
	s.doubt = true
	return true
}

// Tail implements [edge.Tailer].
func (s *scanner) Tail(from protocols.End, b []byte, w *edge.Writer, _ bool) bool {
	if s.sockets != nil {
		return false
	}
	d := &s.directions[from-protocols.Client]
	d.lose()
	s.rules.out = w
	return s.rules.tail(d, b)
}
