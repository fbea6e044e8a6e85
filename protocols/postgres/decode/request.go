package decode

import (
	"bytes"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	known "millrace.dev/protocols/postgres"
)

// request reads on in what the client sends. It reports whether there may be more.
func (p *parser) request(c *decode.Conn) bool {
	s, r := c.Requests, &p.requests
	if p.answers > 0 && !r.reading {
		return false // what follows may be encrypted
	}
	if r.lost || s.Joined && r.first {
		r.first = false
		return p.findRequest(c)
	}
	from := s.Offset()
	if !r.reading {
		switch r.peek(s) {
		case waits:
			return false
		case broken:
			p.failures++
			p.loseRequests(c)
			return true
		case missed:
			if x := c.Newest(); r.kind == 'd' && x != nil && x.RequestDone() && !x.ResponseDone() {
				p.missData(c)
			} else {
				p.loseRequests(c)
			}
			return true
		case ready:
		}
		p.beforeRequest(c, r.kind)
		r.take(s)
	}
	got := r.read(s, r.kind != 'd' && r.kind != 'p' && r.kind != 'f' && r.kind != 'F')
	if r.kind == 'd' || r.kind == 'c' || r.kind == 'f' {
		p.copy(c, s.Offset()-from)
	}
	if got == waits {
		return false
	}
	if r.first {
		p.start(r)
		return true
	}
	p.afterRequest(c, r.kind, r.body, r.cut)
	return true
}

// missData goes on behind bytes that are missing in what a client copies in. Up to the next message that is found, all
// is taken for data.
func (p *parser) missData(c *decode.Conn) {
	p.requests.lost, p.requests.reading = true, false
	p.endCopy()
	p.copied = false
	p.cache.forget()
	c.RequestGap()
	from := c.Requests.Offset()
	c.Requests.PassGap()
	p.copy(c, c.Requests.Offset()-from)
}

// findRequest looks for a message behind what is missing.
func (p *parser) findRequest(c *decode.Conn) bool {
	s := c.Requests
	if p.requests.kind == 'd' {
		from := s.Offset()
		defer func() { p.copy(c, s.Offset()-from) }()
	}
	for s.Next() != stream.None {
		if b := s.Bytes(); s.AtEventStart() && len(b) > 0 && known.Protocol.Recognise(b, protocols.Client, protocols.Anywhere) == protocols.Sure {
			p.requests = reader{client: true, body: p.requests.body}
			return true
		}
		s.PassToEvent()
	}
	p.requests.lost = true
	return false
}

// loseRequests gives up the position. Requests may have been missed, so that nothing is known of what waits.
func (p *parser) loseRequests(c *decode.Conn) {
	s := c.Requests
	p.requests.lost, p.requests.reading = true, false
	p.lose(c)
	p.cache.forget()
	c.RequestGap()
	if s.Next() == stream.Bytes {
		s.PassToEvent()
	} else {
		s.PassGap()
	}
}

// beforeRequest acts on the type of a message whose first byte is at the position.
func (p *parser) beforeRequest(c *decode.Conn, kind byte) {
	if p.requests.first {
		return
	}
	if p.unit != nil && p.unit != c.Newest() {
		p.unit = nil // it was ended
	}
	switch kind {
	case 'Q', 'F':
		p.endUnit(c)
		p.begin(c)
	case 'P':
		if p.parsed || p.bound {
			p.endUnit(c)
		}
	case 'B':
		if p.bound {
			p.endUnit(c)
		}
	case 'S', 'H', 'X':
		p.endUnit(c)
	}
	switch kind {
	case 'P', 'B', 'D', 'C', 'E':
		if p.unit == nil {
			p.begin(c)
		}
	}
}

// start reads a first message.
func (p *parser) start(r *reader) {
	if r.code == known.CodeSSL || r.code == known.CodeGSS {
		p.answers++
		return
	}
	r.first, p.starting = false, true
	for b := r.body; len(b) > 0; {
		name, rest, ok := bytes.Cut(b, []byte{0})
		value, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 || len(name) == 0 {
			break
		}
		switch string(name) {
		case "user":
			p.user = append(p.user[:0], value...)
		case "database":
			p.database = append(p.database[:0], value...)
		}
		b = rest
	}
	if len(p.database) == 0 && !r.cut { // as servers do
		p.database = append(p.database, p.user...)
	}
}

// afterRequest acts on a message that was read to its end.
func (p *parser) afterRequest(c *decode.Conn, kind byte, body []byte, cut bool) {
	first, rest, _ := bytes.Cut(body, []byte{0})
	switch kind {
	case 'Q':
		text, whole := textOf(body)
		p.of = p.read(text, cut || !whole)
		if p.of.forgets() || cut && !whole && len(text) < maxText {
			p.cache.clear()
		}
		p.executes(c, kind)
	case 'F':
		p.of = nil
		p.executes(c, kind)
	case 'P':
		text, whole := textOf(rest)
		if p.of, p.parsed = nil, true; whole || !cut || len(text) >= maxText {
			p.of = p.read(text, cut && !whole)
		} // else bytes of it are missing: what other texts it may be is not known
		p.cache.put(first, p.of)
		p.push(c, kind, false)
	case 'B':
		name, _, _ := bytes.Cut(rest, []byte{0})
		p.of, p.bound = p.cache.get(name), true
		p.cache.bind(first, p.of)
		p.push(c, kind, false)
	case 'D', 'C':
		p.named(c, kind, body)
	case 'E':
		p.of = p.cache.portal(first)
		p.executes(c, kind)
	case 'S':
		p.push(c, kind, false)
	case 'c', 'f':
		p.endCopy()
	}
}

// named takes a Describe or a Close.
func (p *parser) named(c *decode.Conn, kind byte, body []byte) {
	if len(body) == 0 {
		p.push(c, kind, false)
		return
	}
	name, _, _ := bytes.Cut(body[1:], []byte{0})
	statement := body[0] == 'S'
	switch {
	case kind == 'C' && statement:
		p.cache.remove(name)
	case kind == 'C':
		p.cache.unbind(name)
	case statement && p.of == nil:
		p.of = p.cache.get(name)
	}
	if kind == 'D' && statement {
		kind = 'd'
	}
	p.push(c, kind, false)
}

// textOf gives a text up to its zero, and whether that is there.
func textOf(b []byte) ([]byte, bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return b, false
	}
	return b[:i], true
}

// executes ends the request of an exchange.
func (p *parser) executes(c *decode.Conn, kind byte) {
	x := p.unit
	p.unit = nil
	if x == nil || x != c.Newest() {
		return
	}
	p.describe(x, p.of)
	p.push(c, kind, true)
	c.Started(x)
	c.EndRequest(x)
}

// copy counts data that a client copies for the exchange that it is for.
func (p *parser) copy(c *decode.Conn, n uint64) {
	if x := c.Newest(); x != nil && x.RequestDone() && !x.ResponseDone() {
		x.RequestBytes += n
		x.RequestEnd = c.Requests.Last().End
		x.LostBytes += c.Requests.TakeLost()
	}
}

// endCopy drops what asks for ReadyForQuery behind an Execute whose data was copied since: servers pass over a Sync
// that comes while they copy.
func (p *parser) endCopy() {
	p.copied = true
	n := len(p.items)
	for n > p.head && p.items[n-1].kind == 'S' {
		n--
	}
	if n > p.head && p.items[n-1].kind == 'E' {
		p.items = p.items[:n]
	}
}
