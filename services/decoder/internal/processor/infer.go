package processor

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/stream"
)

// Limits of guessing a protocol.
const (
	// maxGuesses is how many events of a direction may look like nothing before the connection is no longer looked at.
	maxGuesses = 32
	// maxAttempts is how many wrong guesses are put up with.
	maxAttempts = 2
)

// infer looks for the beginning of a request.
func (w *worker) infer(c *connection) {
	for i, s := range [2]*stream.Stream{&c.send, &c.receive} {
		client := i == 0
		known := c.role != millracev1.Role_ROLE_UNSPECIFIED
		if known && client != (c.role == millracev1.Role_ROLE_CLIENT) {
			continue
		}
		// What begins a connection is the beginning of a message; anywhere else it has to look like one beyond doubt.
		fresh := s.Offset() == 0 && c.attempts == 0
		for s.Next() != stream.None {
			guess, found := w.look(s, known && fresh)
			if guess == protocol.Request {
				c.attach(found, client, w.options.KeepStatements)
				return
			}
			if guess == protocol.Maybe {
				break
			}
			if s.Next() == stream.Bytes {
				c.guesses[i]++
			}
			if known && fresh && s.Next() == stream.Bytes || c.guesses[i] >= maxGuesses {
				count(&w.tally.givenUp, "unknown protocol", 1)
				c.turnOpaque()
				return
			}
			s.SkipToEvent()
			fresh = false
		}
	}
}

// look judges the bytes at the position of s.
func (w *worker) look(s *stream.Stream, roleKnown bool) (protocol.Guess, *protocol.Protocol) {
	b := s.Bytes()
	if len(b) == 0 || !s.AtEventStart() {
		return protocol.No, nil
	}
	best := protocol.No
	for i := range w.options.Protocols {
		switch w.options.Protocols[i].Look(b, roleKnown) {
		case protocol.Request:
			return protocol.Request, &w.options.Protocols[i]
		case protocol.Maybe:
			best = protocol.Maybe
		case protocol.No:
		}
	}
	if best == protocol.Maybe && s.Cut() {
		return protocol.No, nil // what is missing will not come
	}
	return best, nil
}

// giveUp takes back a wrong guess.
func (w *worker) giveUp(c *connection) {
	c.conn.Drop()
	c.parser = nil
	c.send.Discard()
	c.receive.Discard()
	if c.attempts++; c.attempts >= maxAttempts {
		count(&w.tally.givenUp, "wrong guess", 1)
		c.turnOpaque()
	}
}
