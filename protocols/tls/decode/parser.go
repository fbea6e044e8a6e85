package decode

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/tls"
)

// Protocol is TLS.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_TLS,
	StateVersion: 1,
	New:          func(decode.Options) decode.Parser { return &parser{} },
}

// maxHello is how many bytes of a hello wait for its end: its message, in records.
const maxHello = 1<<16 + 4096

// parser takes a hello when all of it is there. Until then it lies in the stream, so that there is no other state.
type parser struct {
	greeted bool // the client's hello was taken
}

// Inherit implements [decode.Heir].
func (p *parser) Inherit(*decode.Conn) {}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, _ decode.Ending) decode.Status {
	if !p.greeted {
		if status, done := p.request(c); done {
			return status
		}
	}
	if !p.greeted {
		return decode.Continue
	}
	c.Requests.Discard() // another hello, if it was asked for, or what is encrypted
	return p.response(c)
}

// read reads a hello at the position of s. It gives the number of bytes to its end.
func read(s *stream.Stream, r *tls.Reader) (n int) {
	for _, b := range s.Bytes() {
		n++
		if r.Next(b); r.State() != tls.Reading {
			break
		}
	}
	return n
}

// waits reports whether what is missing of a hello may still come.
func waits(s *stream.Stream, r *tls.Reader, n int) bool {
	return r.State() == tls.Reading && n < maxHello && !s.Cut() && s.Next() != stream.Hole && s.Next() != stream.Lost
}

func (p *parser) request(c *decode.Conn) (status decode.Status, done bool) {
	s := c.Requests
	r := tls.Reader{From: protocols.Client, Hello: &tls.Hello{}}
	n := read(s, &r)
	if waits(s, &r, n) {
		return decode.Continue, true
	}
	if r.State() != tls.Greeted {
		s.Discard()
		return decode.Opaque, true
	}
	x := c.Begin()
	s.Skip(uint64(n))
	ask(x, r.Hello)
	p.greeted = true
	c.Started(x)
	c.EndRequest(x)
	return decode.Continue, false
}

func (p *parser) response(c *decode.Conn) decode.Status {
	s := c.Responses
	r := tls.Reader{From: protocols.Server, Hello: &tls.Hello{}}
	n := read(s, &r)
	if waits(s, &r, n) {
		return decode.Continue
	}
	x := c.Oldest()
	if x != nil && (r.State() == tls.Greeted || r.State() == tls.Refused) {
		c.BeginResponse(x)
		s.Skip(uint64(n))
		answer(x, r.Hello, r.State(), c.Client)
		c.EndResponse(x)
	}
	return decode.Opaque
}

// AppendState implements [decode.Parser].
func (p *parser) AppendState(_ *decode.Conn, w *snapshot.Writer) { w.Bool(p.greeted) }

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(_ *decode.Conn, _ uint64, r *snapshot.Reader) { p.greeted = r.Bool() }

// Held implements [decode.Parser].
func (p *parser) Held() int { return 0 }
