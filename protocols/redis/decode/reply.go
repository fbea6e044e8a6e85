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
	inWord                           // before a word of a message of publish and subscribe
	lastReplyState = iota            // not a state: what a snapshot holds is below it
)

// reply is the state of the direction of replies.
type reply struct {
	x        *decode.Exchange // nil for what answers nothing
	frames   [maxDepth]frame
	depth    int
	remain   uint64
	scanned  int
	state    replyState
	failed   bool   // the reply is an error
	leaving  bool   // an unsubscription whose count comes last
	queued   bool   // the reply is that of a command of a transaction
	confirms uint32 // confirmations of subscriptions that are still to come, with that which is being read
	message  delivery
}

// begin starts a reply; the frames need no clearing, which would cost more than all the rest.
func (d *reply) begin(x *decode.Exchange, leaving bool) {
	d.x, d.depth, d.scanned, d.state, d.failed, d.leaving, d.queued = x, 0, 0, atValue, false, leaving, false
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
		case inWord:
			b := s.Bytes()
			want := min(d.remain-2, maxArgument)
			if uint64(len(b)) < want && !s.Cut() && (len(b) > 0 || s.Next() == stream.None) {
				return
			}
			d.message.take(b[:min(uint64(len(b)), want)], d.remain-2)
			d.state = inBulk
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
	kind, known := p.unsolicited(c, b)
	if !known {
		return false
	}
	if x := p.resp.x; x != nil { // it was waiting for another confirmation
		if kind == confirm {
			p.resp.begin(x, p.resp.leaving)
			return true
		}
		x.Estimated = true // what was asked for or what has come is not all of it
		c.Doubt()
		p.resp.confirms = 0
		p.endReply(c)
		return true
	}
	if kind == message || kind == other {
		p.resp.begin(nil, p.resp.leaving)
		p.resp.message = delivery{on: kind == message, offset: s.Offset(), begin: *s.Meta(), words: p.resp.message.words}
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
		p.resp.begin(x, p.resp.leaving)
		if p.resp.confirms = 0; kind == confirm {
			if p.resp.confirms = x.Number; x == p.x { // not all of the command has come
				p.resp.confirms = uint32(max(1, uint64(p.index)+p.args-1))
			}
		}
	}
	return true
}

func (p *parser) endReply(c *decode.Conn) {
	x, failed, queued := p.resp.x, p.resp.failed, p.resp.queued
	if p.resp.state = atReply; p.resp.confirms > 1 {
		p.resp.confirms--
		return
	}
	p.resp.x, p.resp.failed, p.resp.leaving, p.resp.confirms = nil, false, false, 0
	if x == nil {
		if p.resp.message.on {
			p.deliver(c)
		}
		return
	}
	p.answered = true
	p.failures = 0
	if x.Flags&flagLate != 0 {
		sayDatabase(x, p.current())
	}
	if x.Flags&flagsChange != 0 && p.changes > 0 {
		p.changes--
	}
	switch {
	case x.Number >= numberDiscard, x.Flags&(flagExec|flagReset) != 0:
		p.transaction(x, failed)
	case p.multi: // the node may have blanked the word
		queued = true
	}
	if x.Flags != 0 && !failed {
		switch {
		case x.Flags&flagUnknown != 0:
			p.database, p.selected, p.multi = -1, -1, false
		case x.Flags&flagSelect != 0 && queued:
			p.selected = int32(x.Number)
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

// current is the database of a command that is answered now, -1 if it is not known.
func (p *parser) current() int32 {
	if p.selected >= 0 {
		return p.selected
	}
	return p.database
}

// transaction acts on the reply that begins or ends a transaction. A database that is selected in one is current from
// its execution on.
func (p *parser) transaction(x *decode.Exchange, failed bool) {
	if x.Number == numberMulti {
		p.multi = p.multi || !failed
		return
	}
	if x.Flags&flagExec != 0 && p.selected >= 0 {
		if p.database = p.selected; failed { // by an abort, or a command of it
			p.database = -1
		}
	}
	p.multi, p.selected = false, -1
}

// abort says that a transaction was not executed, because a key that was watched had changed.
func (p *parser) abort() {
	p.resp.failed = true
	s := &p.resp.x.Said
	s.ErrorType = append(s.ErrorType[:0], "aborted"...)
	s.ErrorMessage = append(s.ErrorMessage[:0], "a watched key was changed"...)
}

// executes reports whether the reply that is being read is that to EXEC, which has the replies to all commands of the
// transaction.
func (d *reply) executes() bool { return d.x != nil && d.x.Flags&flagExec != 0 && !d.failed }

// fail takes the text of an error reply. Of those in the reply to EXEC the first counts.
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
	if p.selected = -1; p.database >= 0 {
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
	w.Bool(d.queued)
	w.Uint(uint64(d.confirms))
	d.message.appendState(w)
}

func (d *reply) restoreState(c *decode.Conn, version uint64, r *snapshot.Reader) {
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
	if version > 1 {
		d.queued, d.confirms = r.Bool(), uint32(r.Uint())
		d.message.restoreState(r)
	}
	if d.state >= lastReplyState || d.scanned < 0 || d.scanned > len(c.Responses.Bytes()) ||
		d.state == cutReply && (d.x == nil || d.remain > 1) ||
		(d.state == inBulk || d.state == inPiece) && d.remain < 1 || (d.state == inBlob || d.state == inWord) && d.remain < 2 {
		r.Fail()
		*d = reply{state: lostReply}
	}
}
