package decode

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	known "millrace.dev/protocols/postgres"
)

// reply reads on in what the server sends. It reports whether there may be more.
func (p *parser) reply(c *decode.Conn) bool {
	s, r := c.Responses, &p.replies
	if r.lost || s.Joined && s.Next() != stream.None && !p.answered && !r.reading {
		return p.findReply(c)
	}
	if !r.reading {
		if p.answers > 0 {
			return p.answer(c)
		}
		switch r.peek(s) {
		case waits:
			return false
		case broken:
			p.failures++
			p.loseReplies(c)
			return true
		case missed:
			if x := c.Oldest(); x != nil && x.Responding() && !x.ResponseDone() && p.head < len(p.items) {
				p.missMiddle(c)
			} else {
				p.loseReplies(c)
			}
			return true
		case ready:
		}
		if !p.beforeReply(c, r.kind) {
			return false
		}
		r.take(s)
	}
	if r.read(s, r.kind == 'Z' || r.kind == 'C' || r.kind == 'E') == waits {
		return false
	}
	p.afterReply(c, r.kind, r.body)
	return true
}

// answer reads the byte that answers a request for encryption.
func (p *parser) answer(c *decode.Conn) bool {
	s := c.Responses
	switch s.Next() {
	case stream.None:
		return false
	case stream.Bytes:
	default:
		p.answers = 0
		return true
	}
	switch s.Bytes()[0] {
	case 'S', 'G':
		p.opaque, p.encrypted = true, string(s.Bytes()) == "S" // behind the byte it is the client's turn
		s.Skip(1)
	case 'N':
		p.answers--
		s.Skip(1)
	default:
		p.answers = 0 // an error
	}
	return true
}

// missMiddle goes on behind bytes that are missing in the middle of a response, whose end may be found.
func (p *parser) missMiddle(c *decode.Conn) {
	p.replies.lost, p.replies.reading, p.result.gapped = true, false, true
	c.Doubt() // whether what is found belongs to it is not known for certain
	c.Responses.PassGap()
}

// findEnd looks for the end of a response whose middle is missing in the event at the position, and goes on there.
func (p *parser) findEnd(c *decode.Conn) bool {
	tail, before := c.Responses.EventTail()
	at := known.ResponseEnd(tail)
	if at < 0 || !p.result.gapped {
		return false
	}
	// It ends the last exchange before ReadyForQuery; what is known of those before it is nothing.
	last := p.head
	for i := p.head; i < len(p.items) && p.items[i].kind != 'S'; i++ {
		if last = i; p.items[i].kind == 'Q' || p.items[i].kind == 'F' {
			break
		}
	}
	for p.head < last {
		ends := p.items[p.head].last
		if p.pop(); ends {
			return false
		}
	}
	c.Responses.Skip(before + uint64(at))
	p.replies, p.doubted = reader{body: p.replies.body}, true
	return true
}

// findReply looks for a message behind what is missing.
func (p *parser) findReply(c *decode.Conn) bool {
	s := c.Responses
	for s.Next() != stream.None {
		if p.findEnd(c) {
			return true
		}
		if b := s.Bytes(); s.AtEventStart() && len(b) > 0 && known.Protocol.Recognise(b, protocols.Server, protocols.Anywhere) == protocols.Sure {
			p.replies = reader{body: p.replies.body}
			p.answered, p.doubted = true, true
			return true
		}
		s.PassToEvent()
	}
	p.replies.lost = true
	return false
}

func (p *parser) loseReplies(c *decode.Conn) {
	s := c.Responses
	p.replies.lost, p.replies.reading = true, false
	p.lose(c)
	c.ResponseGap()
	if s.Next() == stream.Bytes {
		s.PassToEvent()
	} else {
		s.PassGap()
	}
}

// unasked reports whether messages of a type answer no item: servers send them at any time, or while a client gets in.
func unasked(kind byte) bool {
	switch kind {
	case 'N', 'A', 'S', 'R', 'K', 'v':
		return true
	}
	return false
}

// beforeReply acts on the type of a message whose first byte is at the position. False: its request has not come.
func (p *parser) beforeReply(c *decode.Conn, kind byte) bool {
	p.hidden = true // for nobody
	if unasked(kind) || p.starting {
		return true
	}
	p.settle(c)
	for p.head < len(p.items) && p.items[p.head].kind == 'S' && kind != 'Z' && kind != 'E' && !p.failed {
		p.pop() // its ReadyForQuery was missed
	}
	if p.failed && kind == 'Z' && !p.passOver(c) {
		return false
	}
	if p.head < len(p.items) && p.items[p.head].kind == 'S' || p.failed {
		return true
	}
	if p.head == len(p.items) && kind == 'Z' {
		return true
	}
	x, orphan := c.Match()
	if orphan {
		return true
	}
	p.settle(c)
	if x == nil || p.head == len(p.items) {
		return false
	}
	p.hidden = false
	if !x.Responding() {
		p.result = result{}
		c.BeginResponse(x)
		x.Estimated = x.Estimated || p.doubted
	}
	return true
}

// passOver drops what the server passed over behind an error, up to the Sync. It reports whether that has come.
func (p *parser) passOver(c *decode.Conn) bool {
	at := p.head
	for at < len(p.items) && p.items[at].kind != 'S' {
		at++
	}
	if at == len(p.items) {
		return false
	}
	for p.head < at {
		last := p.items[p.head].last
		if p.pop(); !last {
			continue
		}
		if x := c.Oldest(); x != nil {
			x.Ignore = true
			c.Abandon(x, decode.Lost, c.Responses.Last().End)
		}
	}
	p.failed = false
	return true
}

// afterReply acts on a message that was read to its end.
func (p *parser) afterReply(c *decode.Conn, kind byte, body []byte) {
	if kind == 'W' {
		p.opaque = true
		return
	}
	if kind == 'Z' {
		p.doubted = false
	}
	if p.starting {
		p.starting = kind != 'Z' && kind != 'E'
		p.answered = true
		return
	}
	if unasked(kind) {
		return
	}
	if p.hidden {
		if kind == 'Z' && p.head < len(p.items) && p.items[p.head].kind == 'S' {
			p.pop()
			p.answered = true
		}
		return
	}
	x := c.Oldest()
	if x == nil || p.head == len(p.items) {
		return
	}
	switch it := p.items[p.head]; it.kind {
	case 'Q', 'F':
		p.simple(c, x, kind, body)
	default:
		p.extended(c, x, it, kind, body)
	}
}

// simple takes a message of the response to a query or a function call.
func (p *parser) simple(c *decode.Conn, x *decode.Exchange, kind byte, body []byte) {
	switch kind {
	case 'Z':
		p.finish(c, x)
	case 'E':
		if p.fails(body); p.result.fatal {
			p.finish(c, x)
		}
	case 'T', 'D', 'C', 'd':
		p.results(kind, body)
	case 'G':
		p.result.copies = true
	case 'I', 'H', 'c', 'V':
	default:
		p.mismatch(c)
	}
}

// extended takes a message of the response to one of the extended protocol.
func (p *parser) extended(c *decode.Conn, x *decode.Exchange, it item, kind byte, body []byte) {
	done := false
	switch it.kind {
	case 'P':
		done = kind == '1'
	case 'B':
		done = kind == '2'
	case 'C':
		done = kind == '3'
	case 'D', 'd':
		if done = kind == 'n' || kind == 'T'; kind == 't' {
			return
		}
	case 'E':
		switch kind {
		case 'C', 's', 'I':
			p.results(kind, body)
			done = true
		case 'D', 'd', 'T':
			p.results(kind, body)
			return
		case 'G':
			p.result.copies = true
			return
		case 'H', 'c':
			return
		}
	}
	switch {
	case kind == 'E':
		p.fails(body)
		x.Ignore = false
		p.failed = true
		for !it.last && p.head+1 < len(p.items) { // the rest of the exchange
			p.pop()
			it = p.items[p.head]
		}
		if !it.last { // its request goes on, for nothing
			if x == p.unit {
				p.endUnitFailed(c, x)
			}
		}
		p.finish(c, x)
	case !done:
		p.mismatch(c)
	case it.last:
		p.finish(c, x)
	default:
		p.answered = true
		p.pop()
	}
}

// endUnitFailed ends the request of an exchange that failed before all of it was sent.
func (p *parser) endUnitFailed(c *decode.Conn, x *decode.Exchange) {
	p.describe(x, p.of)
	p.items[p.head].last = true
	p.unit = nil
	x.Estimated = true // the rest of its request is not waited for
	c.EndRequest(x)
}

// finish ends an exchange, whose item is the oldest.
func (p *parser) finish(c *decode.Conn, x *decode.Exchange) {
	p.answered = true
	if p.head < len(p.items) {
		p.pop()
	}
	p.conclude(x)
	p.result = result{}
	c.EndResponse(x)
}

// mismatch acts on a response that does not answer what waits.
func (p *parser) mismatch(c *decode.Conn) {
	if p.failures++; p.answered {
		p.failures = min(p.failures, maxFailures)
	}
	p.lose(c)
	c.ResponseGap()
}
