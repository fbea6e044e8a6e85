package decode

import (
	"bytes"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

const (
	maxDepth   = 32  // nesting of a reply
	maxMessage = 256 // kept of an error
)

// frame is an aggregate that is being read.
type frame struct {
	left      uint64 // values still to come; not used if streamed
	streamed  bool   // ends with "."
	attribute bool   // says something of the value behind it, and is none itself
}

type replyState uint8

const (
	atReply        replyState = iota // before a reply
	atValue                          // before a value of a reply
	inBulk                           // in a bulk string
	inBlob                           // before the text of a blob error
	atPiece                          // before a piece of a streamed string
	inPiece                          // in a piece
	lostReply                        //
	cutReply                         // in a reply of which a part is missing, see cut
	lastReplyState = iota            // not a state: what a snapshot holds is below it
)

// reply is the state of the direction of replies.
type reply struct {
	x       *decode.Exchange // nil for what answers nothing
	frames  [maxDepth]frame
	depth   int
	remain  uint64
	scanned int
	state   replyState
	failed  bool // the reply is an error
	leaving bool // an unsubscription whose count comes last
}

// begin starts a reply; the frames need no clearing, which would cost more than all the rest.
func (d *reply) begin(x *decode.Exchange, leaving bool) {
	d.x, d.depth, d.scanned, d.state, d.failed, d.leaving = x, 0, 0, atValue, false, leaving
}

func (p *parser) replies(c *decode.Conn) {
	s, d := c.Responses, &p.resp
	for s.Next() != stream.None && !p.opaque {
		if d.x != nil && c.Oldest() != d.x { // ended in the middle of its reply
			p.resp = reply{state: lostReply}
		}
		ok := true
		switch d.state {
		case atReply:
			ok = p.startReply(c)
		case atValue:
			ok = p.value(c)
		case inBulk, inPiece:
			if d.remain -= s.Skip(d.remain); d.remain == 0 {
				if d.state == inPiece {
					d.state = atPiece
				} else {
					p.endValue(c)
				}
			}
		case inBlob:
			b := s.Bytes()
			want := min(d.remain-2, maxMessage)
			if uint64(len(b)) < want && !s.Cut() && len(b) > 0 {
				return
			}
			p.fail(b[:min(uint64(len(b)), want)])
			d.state = inBulk
		case atPiece:
			ok = p.piece(c)
		case lostReply:
			if b := s.Bytes(); len(b) > 0 && s.AtEventStart() && plausible(b) {
				d.state = atReply
			} else {
				s.PassToEvent()
			}
		case cutReply:
			d.passCut(s)
		}
		if !ok {
			return
		}
	}
}

// plausible reports whether b begins like a value.
func plausible(b []byte) bool {
	switch b[0] {
	case '+', '-':
		return len(b) < 2 || b[1] >= ' '
	case ':', ',', '(':
		return len(b) < 2 || b[1] >= '0' && b[1] <= '9' || b[1] == '-' || b[1] == '+' || b[1] == 'i' || b[1] == 'n'
	case '$', '*', '%', '~', '>', '|', '!', '=':
		return len(b) < 2 || b[1] >= '0' && b[1] <= '9' || b[1] == '-' || b[1] == '?'
	case '_':
		return len(b) < 2 || b[1] == '\r'
	case '#':
		return len(b) < 2 || b[1] == 't' || b[1] == 'f'
	}
	return false
}

// startReply finds what the reply answers.
func (p *parser) startReply(c *decode.Conn) bool {
	s := c.Responses
	b := s.Bytes()
	if len(b) == 0 {
		p.loseReply(c)
		return true
	}
	if !plausible(b) {
		if c.Open() == 0 && p.answered { // nothing is waiting for it: wait whether something asks
			return false
		}
		p.failures++
		p.loseReply(c)
		return true
	}
	pushed, known := p.unsolicited(c, b)
	if !known {
		return false
	}
	if pushed {
		p.resp.begin(nil, p.resp.leaving)
		return true
	}
	x, orphan := c.Match()
	switch {
	case orphan:
		p.resp.begin(nil, false)
	case x == nil:
		return false
	default:
		c.BeginResponse(x)
		p.resp.begin(x, false)
	}
	return true
}

// unsolicited reports whether the message that begins with b answers no command; known is false if more bytes are
// needed.
func (p *parser) unsolicited(c *decode.Conn, b []byte) (pushed, known bool) {
	p.resp.leaving = false
	switch {
	case b[0] == '>':
		return true, true
	case p.monitoring && b[0] == '+':
		if len(b) < 2 {
			return false, c.Responses.Cut()
		}
		return b[1] >= '0' && b[1] <= '9', true
	case !p.subscribed || b[0] != '*':
		return false, true
	}
	// RESP2: messages are arrays that begin with one of a few words.
	end := lineEnd(b, 1)
	if end < 0 || len(b) < end+3 {
		return false, len(b) > 64 || c.Responses.Cut()
	}
	word := b[end+2:]
	if word[0] != '$' {
		return false, true
	}
	end = lineEnd(word, 1)
	n, ok := uint64(0), false
	if end > 0 {
		n, ok = number(word[1:end])
	}
	if !ok || uint64(len(word)-end-2) < n {
		return false, len(b) > 64 || c.Responses.Cut()
	}
	switch string(word[end+2 : end+2+int(n)]) {
	case "message", "pmessage", "smessage", "subscribe", "psubscribe", "ssubscribe":
		return true, true
	case "unsubscribe", "punsubscribe", "sunsubscribe":
		p.resp.leaving = true
		return true, true
	}
	return false, true
}

func (p *parser) endReply(c *decode.Conn) {
	x, failed := p.resp.x, p.resp.failed
	p.resp.x, p.resp.failed, p.resp.leaving, p.resp.state = nil, false, false, atReply
	if x == nil {
		return
	}
	p.answered = true
	p.failures = 0
	if x.Flags&flagLate != 0 {
		sayDatabase(x, p.database)
	}
	if x.Flags&flagsChange != 0 && p.changes > 0 {
		p.changes--
	}
	if x.Flags != 0 && !failed {
		switch {
		case x.Flags&flagUnknown != 0:
			p.database = -1
		case x.Flags&flagSelect != 0:
			p.database = int32(x.Number)
		case x.Flags&flagReset != 0:
			p.database, p.subscribed, p.monitoring, p.silenced = 0, false, false, 0
		case x.Flags&flagMonitor != 0:
			p.monitoring = true
		case x.Flags&flagReplicate != 0:
			p.opaque = true
		}
	}
	c.EndResponse(x)
}

// fail takes the text of an error reply.
func (p *parser) fail(text []byte) {
	p.resp.failed = true
	x := p.resp.x
	if x == nil {
		return
	}
	code, _, _ := bytes.Cut(text, []byte{' '})
	for _, ch := range code {
		if ch >= 'a' && ch <= 'z' || ch < '!' || ch > '~' || ch == '*' {
			code = []byte("ERR") // scripts and modules may leave the prefix out, and the node blanks what is none
			break
		}
	}
	sayError(x, code[:min(len(code), 64)], valid(text[:min(len(text), maxMessage)]))
}

// cut goes on behind a gap in a reply, where what is missing hides how the reply goes on. A client that waits for each
// reply has, with its next request, received all of this one: then the reply ended with the byte before. That is known
// of no client for certain, so a reply that is not the only one waited for, or does not end with a line end, is given
// up. It reports whether the reply is followed.
func (p *parser) cut(c *decode.Conn) bool {
	x := p.resp.x
	if x == nil || c.Open() != 1 || !x.RequestDone() || c.Pipelined() {
		return false
	}
	x.Estimated = true
	c.Doubt()
	p.resp = reply{x: x, state: cutReply}
	p.resp.passCut(c.Responses)
	return true
}

// passCut moves over all that has arrived. remain says whether it ended with a line end.
func (d *reply) passCut(s *stream.Stream) {
	for s.Next() != stream.None {
		d.remain = 0
		if b := s.Bytes(); bytes.HasSuffix(b, []byte("\r\n")) {
			d.remain = 1
		}
		if n := len(s.Bytes()); n > 0 {
			s.Skip(uint64(n))
		} else {
			s.SkipRun()
		}
	}
}

// endCut ends a reply of which a part was missing: the request at the position of Requests is the next.
func (p *parser) endCut(c *decode.Conn) {
	if p.resp.remain == 1 && c.Responses.Next() == stream.None && c.Oldest() == p.resp.x && c.Responses.Last().End <= c.Requests.Meta().Begin {
		p.endReply(c)
		return
	}
	p.loseReply(c)
}

// loseReply gives up the reply that is being read and looks for the next.
func (p *parser) loseReply(c *decode.Conn) {
	c.ResponseGap()
	if p.database >= 0 {
		p.database = -1
	}
	p.resp = reply{state: lostReply}
}

func (d *reply) appendState(c *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(c.Index(d.x)))
	w.Uint(uint64(d.depth))
	for _, f := range d.frames[:d.depth] {
		w.Uint(f.left)
		w.Bool(f.streamed)
		w.Bool(f.attribute)
	}
	w.Uint(d.remain)
	w.Uint(uint64(d.scanned))
	w.Uint(uint64(d.state))
	w.Bool(d.failed)
	w.Bool(d.leaving)
}

func (d *reply) restoreState(c *decode.Conn, r *snapshot.Reader) {
	*d = reply{x: c.At(int(r.Uint()))}
	for i := range r.Items() {
		if i == maxDepth {
			r.Fail()
			return
		}
		d.depth = i + 1
		d.frames[i] = frame{left: r.Uint(), streamed: r.Bool(), attribute: r.Bool()}
		if d.frames[i].left == 0 && !d.frames[i].streamed {
			r.Fail()
		}
	}
	d.remain, d.scanned, d.state = r.Uint(), int(r.Uint()), replyState(r.Uint())
	d.failed, d.leaving = r.Bool(), r.Bool()
	if d.state >= lastReplyState || d.scanned < 0 || d.scanned > len(c.Responses.Bytes()) ||
		d.state == cutReply && (d.x == nil || d.remain > 1) ||
		(d.state == inBulk || d.state == inPiece || d.state == inBlob) && d.remain < 1 || d.state == inBlob && d.remain < 2 {
		r.Fail()
		*d = reply{state: lostReply}
	}
}
