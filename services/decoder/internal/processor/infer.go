package processor

import (
	"net/netip"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/proxy"
)

// Limits of guessing a protocol.
const (
	// maxGuesses is how many events of a direction may look like nothing before the connection is no longer looked at.
	maxGuesses = 32
	// maxAttempts is how many wrong guesses are put up with.
	maxAttempts = 2
)

// preface is what a load balancer said before the first request.
type preface struct {
	length uint64
	// client is the address of the client that the balancer connected for, if it said.
	client netip.AddrPort
}

func (p *preface) appendState(w *snapshot.Writer) {
	w.Uint(p.length)
	if p.length > 0 {
		w.Bytes(p.client.Addr().AsSlice())
		w.Uint(uint64(p.client.Port()))
	}
}

func restorePreface(r *snapshot.Reader) (p preface) {
	if p.length = r.Uint(); p.length == 0 {
		return p
	}
	address, ok := netip.AddrFromSlice(r.Bytes())
	port := r.Uint()
	if ok {
		p.client = netip.AddrPortFrom(address, uint16(port))
	}
	if p.length > proxy.MaxBytes || port >= 1<<16 {
		r.Fail()
	}
	return p
}

// infer looks for what the connection speaks. What begins a connection is the beginning of a message; anywhere else it
// has to look like one beyond doubt.
func (w *worker) infer(c *connection) {
	if c.role != millracev1.Role_ROLE_UNSPECIFIED && c.attempts == 0 && w.opening(c) {
		return
	}
	for i, s := range [2]*stream.Stream{&c.send, &c.receive} {
		client := i == 0
		if c.role != millracev1.Role_ROLE_UNSPECIFIED && client != (c.role == millracev1.Role_ROLE_CLIENT) {
			continue
		}
		for s.Next() != stream.None {
			found, guess := look(s)
			if guess == protocols.Sure {
				if parser := w.parserOf(found); parser != nil {
					w.attach(c, parser, client)
					return
				}
			}
			if guess == protocols.More {
				break
			}
			if s.Next() == stream.Bytes {
				c.guesses[i]++
			}
			if c.guesses[i] >= maxGuesses {
				w.giveUpUnknown(c, found)
				return
			}
			s.SkipToEvent()
		}
	}
}

// opening judges a connection whose every byte was seen. It reports whether that is so.
func (w *worker) opening(c *connection) bool {
	client := c.role == millracev1.Role_ROLE_CLIENT
	asks, answers := &c.receive, &c.send
	if client {
		asks, answers = answers, asks
	}
	if asks.Offset() > c.preface.length || asks.Next() == stream.Hole || asks.Next() == stream.Lost {
		return false
	}
	if asks.Next() == stream.None {
		return true
	}
	if c.preface.length == 0 {
		p, g := proxy.Read(asks.Bytes())
		switch {
		case g == protocols.Sure && asks.Received() < uint64(p.Length):
			return true
		case g == protocols.Sure:
			asks.Skip(uint64(p.Length))
			c.preface = preface{uint64(p.Length), p.Client}
			return w.opening(c)
		}
	}
	talk := talkOf(asks, answers, c.preface.length > 0)
	v := all.Judge(&talk)
	switch {
	case v.Guess == protocols.More:
		return true
	case v.Guess == protocols.Sure:
		if parser := w.parserOf(v.Protocol); parser != nil {
			w.attach(c, parser, client)
			return true
		}
	case talk.ClientCut || talk.ServerCut:
		talk.ClientCut, talk.ServerCut = false, false
		if all.Judge(&talk).Guess != protocols.No { // what is missing would have told
			asks.SkipToEvent()
			return false
		}
	}
	w.giveUpUnknown(c, v.Protocol)
	return true
}

// talkOf is how the two ends began to speak. The client's bytes are there.
func talkOf(asks, answers *stream.Stream, behind bool) all.Talk {
	t := all.Talk{Client: asks.Bytes(), ClientCut: asks.Cut(), Behind: behind}
	if answers.Offset() != 0 || answers.Next() == stream.None {
		return t
	}
	t.Server, t.ServerCut = answers.Bytes(), answers.Cut()
	asked, answered := asks.Meta(), answers.Meta()
	t.ServerFirst = answered.Begin < asked.Begin && answered.End < asked.Begin
	return t
}

// look judges the bytes at the position of s.
func look(s *stream.Stream) (*protocols.Protocol, protocols.Guess) {
	b := s.Bytes()
	if len(b) == 0 || !s.AtEventStart() {
		return nil, protocols.No
	}
	found, guess := all.Recognise(b, protocols.Client, protocols.Anywhere)
	if guess == protocols.More && s.Cut() {
		return found, protocols.No // what is missing will not come
	}
	return found, guess
}

// parserOf gives the decoder's half of a protocol, nil if there is none.
func (w *worker) parserOf(p *protocols.Protocol) *decode.Protocol {
	if !p.Decoded {
		return nil
	}
	return w.options.protocol(p.Number)
}

// giveUpUnknown stops looking at a connection that speaks nothing that is decoded. taken is what it was likely taken
// for, nil for nothing.
func (w *worker) giveUpUnknown(c *connection, taken *protocols.Protocol) {
	reason := given{"unknown protocol", 0}
	if taken != nil {
		reason.protocol = taken.Number
		if taken.Decoded {
			reason.reason = "not confirmed"
		}
	}
	count(&w.tally.givenUp, reason, 1)
	c.turnOpaque()
}

// giveUp takes back a wrong guess.
func (w *worker) giveUp(c *connection) {
	c.conn.Drop()
	c.parser = nil
	c.send.Discard()
	c.receive.Discard()
	if c.attempts++; c.attempts >= maxAttempts {
		count(&w.tally.givenUp, given{"wrong guess", c.protocol}, 1)
		c.turnOpaque()
	}
}
