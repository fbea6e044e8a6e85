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
// has to look like one beyond doubt, and may be what either end says.
func (w *worker) infer(c *connection) {
	if c.role == millracev1.Role_ROLE_UNSPECIFIED {
		if !w.lookAt(c, &c.send, protocols.Either) {
			w.lookAt(c, &c.receive, protocols.Either)
		}
		return
	}
	if c.attempts == 0 && w.opening(c) {
		return
	}
	asks, answers := c.directions()
	if !w.lookAt(c, asks, protocols.Client) {
		w.lookAt(c, answers, protocols.Server)
	}
}

// directions gives what the end sends that connected, and what the other end does. The role must be known.
func (c *connection) directions() (asks, answers *stream.Stream) {
	if c.role == millracev1.Role_ROLE_CLIENT {
		return &c.send, &c.receive
	}
	return &c.receive, &c.send
}

// lookAt looks for the beginning of a message in s, which from sends. It reports whether that settled what the
// connection is.
func (w *worker) lookAt(c *connection, s *stream.Stream, from protocols.End) bool {
	i := 0
	if s == &c.receive {
		i = 1
	}
	for s.Next() != stream.None {
		found, guess, end := w.look(s, from)
		if guess == protocols.Sure {
			if parser := w.parserOf(found); parser != nil {
				w.attach(c, parser, (s == &c.send) == (end == protocols.Client))
				return true
			}
		}
		if guess == protocols.More || guess == protocols.Likely && end == protocols.Server {
			return false
		}
		if s.Next() == stream.Bytes && from != protocols.Server { // what is asked decides when to give up
			c.guesses[i]++
		}
		if c.guesses[i] >= maxGuesses {
			w.giveUpUnknown(c, found)
			return true
		}
		s.SkipToEvent()
	}
	return false
}

// opening judges a connection whose every byte was seen. It reports whether that is so.
func (w *worker) opening(c *connection) bool {
	asks, answers := c.directions()
	if asks.Offset() > c.preface.length || !asks.Started() || asks.Next() == stream.Hole || asks.Next() == stream.Lost {
		return false
	}
	if asks.Next() == stream.None {
		w.greeting(c, asks, answers)
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
	v := all.JudgeAmong(w.options.speaking, &talk)
	switch {
	case v.Guess == protocols.More:
		return true
	case v.Guess == protocols.Sure:
		if parser := w.parserOf(v.Protocol); parser != nil {
			w.attach(c, parser, asks == &c.send)
			return true
		}
	case talk.ClientCut || talk.ServerCut:
		talk.ClientCut, talk.ServerCut = false, false
		if all.JudgeAmong(w.options.speaking, &talk).Guess != protocols.No { // what is missing would have told
			asks.SkipToEvent()
			return false
		}
	}
	w.giveUpUnknown(c, v.Protocol)
	return true
}

// greeting judges a server that spoke while the client has said nothing yet.
func (w *worker) greeting(c *connection, asks, answers *stream.Stream) {
	if asks.Waiting() || answers.Offset() != 0 || answers.Next() != stream.Bytes {
		return
	}
	talk := all.Talk{Server: answers.Bytes(), ServerFirst: true, Behind: c.preface.length > 0}
	v := all.JudgeAmong(w.options.speaking, &talk)
	switch {
	case v.Guess == protocols.More: // the client's first words may tell
	case v.Guess == protocols.Sure && w.parserOf(v.Protocol) != nil:
		w.attach(c, w.parserOf(v.Protocol), asks == &c.send)
	default:
		w.giveUpUnknown(c, v.Protocol)
	}
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

// look judges the bytes at the position of s, which from sends. end is who sends them: of Either, the one that can.
func (w *worker) look(s *stream.Stream, from protocols.End) (found *protocols.Protocol, guess protocols.Guess, end protocols.End) {
	b := s.Bytes()
	if len(b) == 0 || !s.AtEventStart() {
		return nil, protocols.No, from
	}
	judge := func(from protocols.End) (*protocols.Protocol, protocols.Guess) {
		p, g := all.Among(w.options.speaking, b, from, protocols.Anywhere)
		switch {
		case g == protocols.More && s.Cut(): // what is missing will not come
			g = protocols.No
		case g == protocols.Sure && from == protocols.Server && p.Confirm != nil:
			g = protocols.Likely // answers that say so little have to be of something that was asked
		}
		return p, g
	}
	if from != protocols.Either {
		found, guess = judge(from)
		return found, guess, from
	}
	asked, asks := judge(protocols.Client)
	answered, answers := judge(protocols.Server)
	switch {
	case asks == protocols.Sure && answers == protocols.Sure:
		return asked, protocols.No, from // either may have said it
	case asks == protocols.Sure, answers == protocols.No, answers == protocols.Likely:
		return asked, asks, protocols.Client
	}
	return answered, answers, protocols.Server
}

// parserOf gives the decoder's half of a protocol, nil if there is none.
func (w *worker) parserOf(p *protocols.Protocol) *decode.Protocol {
	if !p.Decoded {
		return nil
	}
	if found := w.options.protocol(p.Number); found != nil && found.New != nil {
		return found
	}
	return nil
}

// giveUpUnknown stops looking at a connection that speaks nothing that is decoded. taken is what it was likely taken
// for, nil for nothing.
func (w *worker) giveUpUnknown(c *connection, taken *protocols.Protocol) {
	reason := given{"unknown protocol", 0}
	if taken != nil {
		reason.protocol = taken.Number
		if taken.Decoded && !taken.OpeningOnly {
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
