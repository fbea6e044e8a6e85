package decode

import (
	"bytes"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/memcached"
)

// maxLine is the longest line of an answer, in bytes.
const maxLine = 8 << 10

// reply is the state of the direction of answers.
type reply struct {
	x     *decode.Exchange // whose answer is being read; nil: of none
	value uint64           // bytes of the value still to come, with its CR LF
	items uint32
	more  bool // the answer goes on behind the line or value at the position
	last  bool // the value ends the answer
	lost  bool
}

func (p *parser) replies(c *decode.Conn) {
	s, d := c.Responses, &p.resp
	for s.Next() != stream.None && !p.opaque {
		if d.x != nil && c.Oldest() != d.x { // ended in the middle of its answer
			p.resp = reply{lost: true}
		}
		switch {
		case d.value > 0:
			if d.value -= s.Skip(d.value); d.value == 0 && d.last {
				p.endReply(c)
			}
		case d.lost:
			if b := s.Bytes(); len(b) > 0 && s.AtEventStart() && memcached.Answers(b) {
				d.lost = false
			} else {
				s.PassToEvent()
			}
		default:
			if !p.replyLine(c) {
				return
			}
		}
	}
}

// replyLine reads a line of an answer. False: wait for more.
func (p *parser) replyLine(c *decode.Conn) bool {
	s, d := c.Responses, &p.resp
	b := s.Bytes()
	if len(b) == 0 && d.items > 0 && s.Next() == stream.Hole {
		p.passEnd(c)
		return true
	}
	end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
	if end < 0 {
		if len(b) < maxLine && !s.Cut() {
			return false
		}
		p.loseReply(c, len(b) >= maxLine)
		return true
	}
	var line memcached.Reply
	message := 0
	for i := 0; i <= end; {
		n, _ := line.Next(b[i : end+1])
		if i += n; message == 0 && line.Word != memcached.Other {
			message = i // behind the first space
		}
	}
	if line.Bad {
		p.loseReply(c, true)
		return true
	}
	if !d.more {
		x, known := p.match(c, &line)
		if !known {
			return false
		}
		if d.x = x; x != nil {
			c.BeginResponse(x)
		}
		d.items, d.more = 0, true
	}
	s.Skip(uint64(end) + 1)
	text := bytes.TrimRight(b[min(message, end):end], "\r")
	p.take(c, &line, text)
	return true
}

// passEnd passes over a hole behind a value that goes on behind it: where it has the size of the end of the items, the
// node has taken it for that.
func (p *parser) passEnd(c *decode.Conn) {
	before := c.Responses.Offset()
	c.Responses.SkipRun()
	if c.Responses.Offset()-before != memcached.EndBytes {
		p.loseReply(c, false)
		return
	}
	if x := p.resp.x; x != nil {
		conclude(x, memcached.EndOfItems, nil, p.resp.items)
	}
	p.endReply(c)
}

// take acts on a line of the answer to d.x.
func (p *parser) take(c *decode.Conn, line *memcached.Reply, message []byte) {
	d := &p.resp
	answer := memcached.OneLine
	if d.x != nil {
		answer = memcached.Answer(d.x.Flags &^ flagQuiet)
	}
	switch {
	case line.Word == memcached.Value:
		d.items++
		d.value, d.last = line.Length+2, false
		return
	case line.Word == memcached.Stat, line.Word == memcached.Item, line.Word == memcached.Prefix, answer == memcached.Lines && line.Word == memcached.Other:
		return
	}
	if d.x != nil {
		conclude(d.x, line.Word, message, d.items)
	}
	if line.HasValue() {
		d.value, d.last = line.Length+2, true
		return
	}
	p.endReply(c)
}

// match finds the exchange that a line answers; nil if its request was not seen. known is false if the request may
// still come.
func (p *parser) match(c *decode.Conn, line *memcached.Reply) (x *decode.Exchange, known bool) {
	for {
		x, orphan := c.Match()
		switch {
		case orphan:
			return nil, true
		case x == nil:
			return nil, false
		case x.Start > c.Responses.Meta().End:
			return nil, true // an error to a command that wanted no answer
		case x.Flags&flagQuiet == 0 || !x.RequestDone() || mayAnswer(x, line):
			return x, true
		}
		c.FinishOneWay(x) // the server left its answer out
	}
}

// mayAnswer reports whether a line may be the answer to a quiet command.
func mayAnswer(x *decode.Exchange, line *memcached.Reply) bool {
	if x.Number != 0 && line.Opaque != 0 {
		return x.Number == line.Opaque
	}
	answer := memcached.Answer(x.Flags &^ flagQuiet)
	switch line.Word {
	case memcached.Error, memcached.ClientError, memcached.ServerError:
		return true
	case memcached.MetaValue:
		return answer == memcached.MetaGet || answer == memcached.MetaArithmetic
	case memcached.MetaHead:
		return answer == memcached.MetaGet
	case memcached.MetaNotStored, memcached.MetaExists:
		return answer == memcached.MetaSet || answer == memcached.MetaArithmetic || answer == memcached.MetaDelete
	case memcached.MetaNotFound: // servers say it also where a success would be left out
		return answer == memcached.MetaSet || answer == memcached.MetaDelete || answer == memcached.MetaArithmetic
	default:
		return false
	}
}

func (p *parser) endReply(c *decode.Conn) {
	x := p.resp.x
	p.resp = reply{}
	if x == nil {
		return
	}
	p.answered, p.failures = true, 0
	c.EndResponse(x)
}

// loseReply gives up the answer that is being read, and looks for the next. With failed, the bytes were not those of an
// answer; otherwise a gap comes next.
func (p *parser) loseReply(c *decode.Conn, failed bool) {
	s := c.Responses
	if failed {
		p.failures++
		s.SkipToEvent()
	} else {
		s.Skip(uint64(len(s.Bytes())))
		s.PassGap()
	}
	c.ResponseGap()
	p.resp = reply{lost: true}
}

func (d *reply) appendState(c *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(c.Index(d.x)))
	w.Uint(d.value)
	w.Uint(uint64(d.items))
	w.Bool(d.more)
	w.Bool(d.last)
	w.Bool(d.lost)
}

func (d *reply) restoreState(c *decode.Conn, r *snapshot.Reader) {
	*d = reply{x: c.At(int(r.Uint())), value: r.Uint(), items: uint32(r.Uint())}
	d.more, d.last, d.lost = r.Bool(), r.Bool(), r.Bool()
}
