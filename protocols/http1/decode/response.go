package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
)

// responses reads the responses that have arrived. released says that requests that were held back may go on.
func (p *parser) responses(c *decode.Conn) (released bool) {
	s, d := c.Responses, &p.resp
	for s.Next() != stream.None && !p.switched {
		if d.x != nil && c.Oldest() != d.x { // ended in the middle of its response
			p.resp = side{state: resync}
		}
		switch d.state {
		case atStart:
			if !p.startResponse(c) {
				return released
			}
		case inLine:
			if !p.status(c) {
				return released
			}
		case inHeaders:
			ok, r := p.responseHeader(c)
			released = released || r
			if !ok {
				return released
			}
		case inLongLine:
			if !p.longResponseLine(c) {
				return released
			}
		case resync:
			p.resyncResponse(c)
		default:
			if d.state == blind && p.overtaken(c) {
				p.loseResponse(c)
				continue
			}
			known := d.state != blind
			done := d.readBody(s)
			if d.x != nil {
				d.x.ResponseBodyBytes = d.body
			}
			if known && d.state == blind { // the next response may begin anywhere
				c.Doubt()
			}
			if !done {
				return released
			}
			released = p.endResponse(c) || released
		}
	}
	return released
}

// overtaken reports whether what is at the position answers a later request than the one whose response has lost its
// framing.
func (p *parser) overtaken(c *decode.Conn) bool {
	return c.Open() > 1 && c.Responses.AtEventStart() && looksLikeResponse(c.Responses.Bytes())
}

// startResponse finds the request that the response belongs to. It reports whether to go on.
func (p *parser) startResponse(c *decode.Conn) bool {
	s := c.Responses
	if s.Next() != stream.Bytes {
		p.loseResponse(c)
		return true
	}
	if !looksLikeResponse(s.Bytes()) {
		p.failures++
		p.loseResponse(c)
		return true
	}
	x, orphan := c.Match()
	switch {
	case orphan:
		// Whether it has a body cannot be known without its request (HEAD), so nothing of it is read.
		p.resp = side{state: resync}
		s.SkipToEvent()
		return true
	case x == nil:
		return false
	}
	p.resp.begin(x)
	c.BeginResponse(x)
	return true
}

// status reads the status line.
func (p *parser) status(c *decode.Conn) bool {
	s, d := c.Responses, &p.resp
	content, size, f := d.next(s, false)
	if f == wait {
		return false
	}
	ok := f == line
	if ok {
		d.status, ok = statusLine(content)
	}
	if !ok {
		p.failures++
		s.SkipToEvent() // never look at the same place twice
		p.loseResponse(c)
		return true
	}
	s.Skip(uint64(size))
	d.head = uint64(size)
	d.state = inHeaders
	if d.status >= 200 || d.status == 101 { // now, because the head may be cut
		sayStatus(d.x, c.Client, d.status)
	}
	return true
}

// responseHeader reads one line of the head.
func (p *parser) responseHeader(c *decode.Conn) (more, released bool) {
	s, d := c.Responses, &p.resp
	content, size, f := d.next(s, true)
	switch {
	case f == wait:
		return false, false
	case f == broken && len(s.Bytes()) <= maxLine:
		p.cutResponse(c)
		return true, false
	case f == broken:
		d.state, d.scanned = inLongLine, 0
		return true, false
	case d.head+uint64(size) > maxHead:
		p.loseResponse(c)
		return true, false
	}
	d.head += uint64(size)
	if len(content) > 0 {
		if d.status >= 200 || d.status == 101 {
			d.header(content, false, p.layers)
		}
		s.Skip(uint64(size))
		return true, false
	}
	s.Skip(uint64(size))
	return true, p.responseHead(c)
}

// longResponseLine reads on in a header line that is too long to be held. It reports whether to go on.
func (p *parser) longResponseLine(c *decode.Conn) bool {
	s, d := c.Responses, &p.resp
	done, cut := d.longLine(s)
	switch {
	case cut:
		p.cutResponse(c)
	case d.head > maxHead:
		p.loseResponse(c)
	case done:
		d.state = inHeaders
	default:
		return false
	}
	return true
}

// cutResponse gives up a response with a gap in its head. The gap counts for this response.
func (p *parser) cutResponse(c *decode.Conn) {
	if p.resp.x != nil {
		p.resp.x.Estimated = true
	}
	skipGap(c.Responses)
	p.loseResponse(c)
}

// responseHead acts on a complete head: RFC 9112 section 6.3 says which body follows.
func (p *parser) responseHead(c *decode.Conn) (released bool) {
	d := &p.resp
	x := d.x
	p.failures = 0
	if d.status < 200 && d.status != 101 {
		x.ResponseStart = 0 // the response proper is yet to come
		c.EndInterim(x)
		p.resp = side{state: atStart}
		return false
	}
	if d.status == 101 && d.remain == toHTTP2 && x.RequestDone() {
		// The response proper comes over HTTP/2, in its stream 1 (RFC 7540, section 3.2).
		x.ResponseStart = 0
		x.Said.Attributes.Drop(attrStatus)
		conclude(x, decode.Place{Client: c.Client})
		c.EndInterim(x)
		p.switched, p.toHTTP2 = true, true
		return false
	}
	socket := d.status == 101 && d.remain == toSocket && x.RequestDone()
	d.remain = 0
	p.layers.Answered(x, int(d.status), c.Client)
	d.offer(p.layers, true)
	if socket {
		p.openSocket(c, x)
		return false
	}
	if d.status == 101 || x.Flags&flagConnect != 0 && d.status < 300 {
		p.endResponse(c)
		p.switched = true
		return false
	}
	switch {
	case x.Flags&flagHead != 0 || d.status == 204 || d.status == 304:
		return p.endResponse(c)
	case d.coded && d.chunked:
		d.state = atChunk
	case d.coded:
		d.state = untilClose
	case d.sized && !d.badLength:
		if d.length == 0 {
			return p.endResponse(c)
		}
		d.state, d.remain = inLength, d.length
	default:
		d.state = untilClose
	}
	return false
}

// endResponse ends the response that is being read. It reports whether requests were held back for it.
func (p *parser) endResponse(c *decode.Conn) (released bool) {
	x := p.resp.x
	p.resp = side{state: atStart}
	if x == nil {
		return false
	}
	if p.req.state == held && x == c.Newest() && x.RequestDone() {
		p.req.state = atStart
		released = true
	}
	if !x.RequestDone() && p.req.x == x && (p.req.state == blind || p.req.state == severed) {
		// The end of the request was lost and the answer is there: no need to look for it.
		c.BreakRequest(x)
		p.req = side{state: resync}
	}
	p.layers.Ended(x, c.Client)
	c.EndResponse(x)
	return released
}

// loseResponse gives up the response that is being read, if any, and looks for the next.
func (p *parser) loseResponse(c *decode.Conn) {
	c.ResponseGap()
	p.resp = side{state: resync}
}

// resyncResponse goes to the next event that begins with a status line.
func (p *parser) resyncResponse(c *decode.Conn) {
	s := c.Responses
	for s.Next() != stream.None {
		if s.AtEventStart() && looksLikeResponse(s.Bytes()) {
			p.resp = side{state: atStart}
			return
		}
		s.PassToEvent()
	}
}
