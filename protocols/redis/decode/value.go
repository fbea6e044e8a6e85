package decode

import "millrace.dev/protocols/decode"

// value reads the first line of a value.
func (p *parser) value(c *decode.Conn) bool {
	s, d := c.Responses, &p.resp
	b := s.Bytes()
	if len(b) == 0 {
		if !p.cut(c) {
			p.loseReply(c)
		}
		return true
	}
	end := lineEnd(b, max(1, d.scanned))
	if end < 0 {
		if s.Cut() && len(b) <= maxLine && (plausible(b) || b[0] == '.') && p.cut(c) {
			return true
		}
		if len(b) > maxLine || s.Cut() || !plausible(b) && b[0] != '.' {
			p.failures++
			s.SkipToEvent()
			p.loseReply(c)
			return true
		}
		d.scanned = len(b) - 1
		return false
	}
	d.scanned = 0
	if !p.take(c, b[0], b[1:end]) {
		p.failures++
		s.SkipToEvent()
		p.loseReply(c)
		return true
	}
	return true
}

// take acts on the first line of a value: its type and the rest of the line. It reports whether the line can be one.
func (p *parser) take(c *decode.Conn, kind byte, rest []byte) bool {
	s, d := c.Responses, &p.resp
	size := uint64(len(rest)) + 3
	switch kind {
	case '+', ':', '_', ',', '#', '(':
		if kind == ':' && d.leaving && d.depth == 1 && string(rest) == "0" {
			p.subscribed = false
		}
		if d.depth == 0 {
			d.queued = kind == '+' && string(rest) == "QUEUED"
			if kind == '_' && d.executes() {
				p.abort()
			}
		}
		s.Skip(size)
		p.endValue(c)
		return true
	case '-':
		if d.depth == 0 || d.depth == 1 && d.executes() {
			p.fail(rest)
		}
		s.Skip(size)
		p.endValue(c)
		return true
	case '.':
		if d.depth == 0 || !d.frames[d.depth-1].streamed || len(rest) != 0 {
			return false
		}
		s.Skip(size)
		attribute := d.frames[d.depth-1].attribute
		d.depth--
		if !attribute {
			p.endValue(c)
		}
		return true
	}
	streamed := len(rest) == 1 && rest[0] == '?'
	null := string(rest) == "-1"
	n, ok := number(rest)
	if null && d.depth == 0 && d.executes() {
		p.abort()
	}
	if !streamed && !null && !ok || n > 1<<40 {
		return false
	}
	switch kind {
	case '$', '!', '=':
		s.Skip(size)
		switch {
		case null:
			p.endValue(c)
		case streamed:
			d.state = atPiece
		default:
			d.remain, d.state = n+2, inBulk
			switch {
			case kind == '!' && n > 0 && (d.depth == 0 || d.depth == 1 && d.executes()):
				d.state = inBlob
			case d.message.on && d.depth == 1:
				d.state = inWord
			}
		}
		return true
	case '*', '~', '>', '%', '|':
		if kind == '%' || kind == '|' {
			n *= 2
		}
		if null || n == 0 && !streamed {
			s.Skip(size)
			if kind != '|' {
				p.endValue(c)
			}
			return true
		}
		if d.depth == maxDepth {
			return false
		}
		s.Skip(size)
		d.frames[d.depth] = frame{left: n, streamed: streamed, attribute: kind == '|'}
		d.depth++
		return true
	}
	return false
}

// piece reads the header of a piece of a streamed string; an empty one ends it.
func (p *parser) piece(c *decode.Conn) bool {
	s, d := c.Responses, &p.resp
	b := s.Bytes()
	end := lineEnd(b, 1)
	if end < 0 && len(b) > 0 && len(b) < 32 && b[0] == ';' && !s.Cut() {
		return false
	}
	var n uint64
	ok := false
	if end > 0 && b[0] == ';' {
		n, ok = number(b[1:end])
	}
	if !ok || n > 1<<40 {
		if (len(b) == 0 || end < 0 && b[0] == ';') && s.Cut() && p.cut(c) {
			return true
		}
		p.failures++
		s.SkipToEvent()
		p.loseReply(c)
		return true
	}
	s.Skip(uint64(end) + 2)
	if n == 0 {
		p.endValue(c)
	} else {
		d.remain, d.state = n+2, inPiece
	}
	return true
}

// endValue acts on a value that was read to its end: it may end the aggregates around it, and the reply.
func (p *parser) endValue(c *decode.Conn) {
	d := &p.resp
	d.state = atValue
	for d.depth > 0 {
		f := &d.frames[d.depth-1]
		if f.streamed {
			return
		}
		if f.left--; f.left > 0 {
			return
		}
		d.depth--
		if f.attribute {
			return // the value it speaks of follows
		}
	}
	p.endReply(c)
}
