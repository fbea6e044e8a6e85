package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/mysql"
)

// headBytes is the most bytes of a server's packet that are looked at, see [mysql.Need].
const headBytes = 24

func (p *parser) replies(c *decode.Conn) {
	s, d := c.Responses, &p.resp
	for s.Next() != stream.None && !p.opaque {
		if d.x != nil && c.Oldest() != d.x { // ended in the middle of its answer
			p.forgetReply(lost)
		}
		if p.unwrapped(d, s) && d.state != lost && d.state != cut {
			if p.opaque = s.Next() == stream.Bytes; !p.opaque {
				p.loseReply(c, false)
			}
			continue
		}
		switch d.state {
		case inPayload:
			if d.left -= s.Skip(d.left); d.left == 0 {
				d.state = atHeader
				if p.ended && !d.goesOn {
					p.endReply(c)
				}
			}
		case lost:
			if b := s.Bytes(); len(b) > 0 && s.AtEventStart() && !p.unwrapped(d, s) && mysql.Answers(b) {
				d.state = atHeader
			} else {
				s.PassToEvent()
			}
		case cut:
			p.passCut(s)
		default:
			if !p.reply(c) {
				return
			}
		}
	}
}

// reply reads the beginning of a packet of the server. False: wait for more.
func (p *parser) reply(c *decode.Conn) bool {
	s, d := c.Responses, &p.resp
	b := s.Bytes()
	if len(b) < mysql.HeaderBytes {
		if s.Cut() {
			p.loseReply(c, false)
			return true
		}
		return false
	}
	length, sequence := mysql.Length(b), b[3]
	first := byte(0)
	if !d.goesOn && length > 0 {
		if len(b) == mysql.HeaderBytes && !s.Cut() {
			return false
		}
		first = peek(b)
	}
	class := mysql.ClassData
	head := b[mysql.HeaderBytes:min(len(b), mysql.HeaderBytes+headBytes, mysql.HeaderBytes+int(length))]
	switch {
	case d.goesOn:
	case p.login && !p.greeted:
		if uint32(len(b)) < mysql.HeaderBytes+min(length, 128) && !s.Cut() {
			return false
		}
		p.greeted = true
		if g, ok := mysql.ReadGreeting(b[mysql.HeaderBytes:]); ok {
			p.mariadb, p.offered = mysql.IsMariaDB(g.Version), g.Capabilities
		}
	default:
		switch {
		case !p.active:
			if ok, again := p.beginReply(c, length, sequence, first); !ok {
				return again
			}
		case sequence != p.next && !p.free:
			p.loseReply(c, true)
			return true
		case p.free && d.x != nil && sequence != p.expect:
			d.x.Estimated = true // a part of the file was not seen
		}
		if p.active && length > 0 && (len(head) > 0 || p.answer.InRows()) {
			class = p.answer.Class(length, first)
			if need := needed(class, head, length); len(head) < need {
				if !s.Cut() {
					return false
				}
				if class != mysql.ClassCount && class != mysql.ClassPrepared {
					p.loseReply(c, false)
					return true
				}
			}
		}
		p.take(class, head)
	}
	p.next, d.goesOn = sequence+1, length == mysql.MaxPacket
	d.left, d.state = uint64(length)+mysql.HeaderBytes, inPayload
	return true
}

// needed is how many bytes of a packet are needed, as far as head tells.
func needed(class mysql.Class, head []byte, length uint32) int {
	n := 0
	for {
		need := mysql.Need(class, head[:min(n, len(head))], length)
		if need <= n || n > len(head) {
			return need
		}
		n = need
	}
}

// beginReply finds what a packet answers. ok: the packet can be read. Otherwise again says whether there is something
// else to read.
func (p *parser) beginReply(c *decode.Conn, length uint32, sequence, first byte) (ok, again bool) {
	if p.login {
		p.answer.Begin(mysql.Login)
		p.active, p.next = true, sequence
		return true, false
	}
	if p.answer.Trails(length, sequence, first) { // read as what answers nothing
		p.answer.DeprecateEOF = mysql.No
		return true, false
	}
	x, orphan := c.Match()
	switch {
	case orphan:
		p.loseReply(c, false)
		return false, true
	case x == nil:
		return false, false
	}
	c.BeginResponse(x)
	p.resp.x = x
	p.answer.Begin(mysql.Kind(x.Flags & kindBits))
	p.active, p.free, p.next = true, false, sequence
	return true, false
}

// take acts on a packet.
func (p *parser) take(class mysql.Class, head []byte) {
	if !p.active {
		return
	}
	p.free = class == mysql.ClassFile || class == mysql.ClassOther
	p.ended = p.answer.Take(class, head)
	if p.login && p.ended {
		p.login, p.active, p.ended = class != mysql.ClassOK, false, false
	}
}

// endReply acts on the end of an answer.
func (p *parser) endReply(c *decode.Conn) {
	x := p.resp.x
	p.resp.x, p.active, p.ended = nil, false, false
	if x == nil {
		return
	}
	p.answered, p.failures = true, 0
	a := &p.answer
	conclude(x, a)
	switch {
	case a.Failed:
		if x.Flags&flagPrepare != 0 {
			c.Started(x)
		}
	case x.Flags&flagPrepare != 0:
		x.Ignore = true
		t := p.pending
		if p.pendingAt != x.Offset { // several were prepared in a pipeline
			if t = nil; len(x.Scratch) > 0 {
				t = p.read(x.Scratch, false)
			}
		}
		if t != nil {
			p.prepared.add(a.Statement, t)
		}
	}
	if x.Flags&flagLate != 0 {
		x.Said.Attributes.Text(attrNamespace, valid(p.database))
	}
	if !a.Failed {
		if x.Flags&flagReset != 0 {
			p.prepared.clear()
		}
		if x.Flags&flagNamespace != 0 {
			p.use(x.Scratch)
		}
	}
	c.EndResponse(x)
}

// forgetReply leaves the answer that is being read.
func (p *parser) forgetReply(s state) {
	p.resp = direction{state: s}
	p.active, p.ended, p.free = false, false, false
	p.answer.Forget()
}

// loseReply gives up the answer that is being read, and looks for the next. With failed, the bytes were not those of a
// packet that may come here; otherwise a gap comes next. A client that waits for each answer has, with its next
// command, received all of this one: where only one is waited for, that ends it.
func (p *parser) loseReply(c *decode.Conn, failed bool) {
	s := c.Responses
	if failed {
		p.failures++
	}
	p.login = false // whether the client was let in may be in what is missing
	if x := p.resp.x; !failed && x != nil && x == c.Oldest() && c.Open() == 1 && x.RequestDone() && !c.Pipelined() {
		x.Estimated = true
		c.Doubt()
		p.forgetReply(cut)
		p.resp.x = x
		p.passCut(s)
		return
	}
	if failed {
		s.SkipToEvent()
	} else {
		s.Skip(uint64(len(s.Bytes())))
		s.PassGap()
	}
	c.ResponseGap()
	p.database = p.database[:0]
	p.forgetReply(lost)
}

// passCut moves over all that has arrived of an answer of which a part is missing.
func (p *parser) passCut(s *stream.Stream) {
	for s.Next() != stream.None {
		s.SkipRun()
	}
}

// endCut ends an answer of which a part was missing: the command at the position of Requests is the next.
func (p *parser) endCut(c *decode.Conn) {
	x := p.resp.x
	if x == nil || c.Oldest() != x || c.Responses.Next() != stream.None || c.Responses.Last().End > c.Requests.Meta().Begin {
		p.loseReply(c, true)
		return
	}
	p.forgetReply(atHeader)
	if x.Flags&flagPrepare != 0 {
		x.Ignore = true
	}
	c.EndResponse(x)
}
