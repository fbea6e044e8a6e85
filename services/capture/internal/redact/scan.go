package redact

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/edge"
	"millrace.dev/services/capture/internal/kernel"
)

// roleOf is which end k is, as far as the socket tells.
func roleOf(k *kernel.Connection) protocols.End {
	switch {
	case k == nil:
		return protocols.Either
	case k.Role == millracev1.Role_ROLE_CLIENT:
		return protocols.Client
	case k.Role == millracev1.Role_ROLE_SERVER:
		return protocols.Server
	}
	return protocols.Either
}

// from is the end that sends the bytes of d; Either as long as that is not known.
func (c *Connection) from(d *direction) protocols.End {
	if d.sends || c.role == protocols.Either {
		return c.role
	}
	return other(c.role)
}

func other(end protocols.End) protocols.End { return protocols.Client + protocols.Server - end }

// recognise says what the connection speaks.
func (r *Redactor) recognise(c *Connection, p *protocols.Protocol) {
	c.taken = p
	served, ok := r.rooms[p]
	if !ok {
		c.giveUp(CauseUnknown)
		return
	}
	c.scanner = served.scanner(!c.joined)
}

// scan reads bytes that follow what was read before.
func (r *Redactor) scan(c *Connection, d *direction, b []byte) {
	if d.state == stateNew {
		c.start(d)
	}
	if d.state == statePreface {
		if b = r.readPreface(c, d, b); len(b) == 0 {
			return
		}
	}
	if d.state != stateFollowed {
		return
	}
	switch c.scanner.Scan(c.from(d), b, &r.out) {
	case edge.Following:
	case edge.Lost:
		d.lose()
	case edge.GivenUp:
		d.state = stateOver
		c.unframed++
		if c.directions[0].state == stateOver && c.directions[1].state == stateOver {
			c.giveUp(CauseBroken)
		}
	case edge.Opaque:
		if r.succeed(c, d, b) {
			return
		}
		d.state = stateOver
		c.giveUp(CauseUpgraded)
	case edge.Broken:
		if d.lose(); !c.doubt { // else what was read may not have been at the place where it was looked for
			d.state = stateOver
			c.giveUp(CauseBroken)
		}
	}
}

// succeed lets a connection that has left its protocol go on as the one that follows, with what the scanner left of b.
// It reports whether there is one.
func (r *Redactor) succeed(c *Connection, d *direction, b []byte) bool {
	s, ok := c.scanner.(edge.Successor)
	if !ok {
		return false
	}
	number, read := s.Successor()
	next := all.Of(int32(number))
	served, ok := r.rooms[next]
	if !ok {
		return false
	}
	c.taken, c.scanner, c.succeeded = next, served.scanner(!c.joined && !c.doubt), true
	if r.out.Advance(read); read < len(b) {
		r.scan(c, d, b[read:])
	}
	return true
}

// Framing is how the messages of the connection begin, as far as its scanner says.
func (c *Connection) Framing() edge.Framing {
	if f, ok := c.scanner.(edge.Framer); ok {
		return f.Framing()
	}
	return edge.FramingUsual
}

// NextFrames gives where frames begin that follow an upgrade, of what is sent and of what is received. over: nothing
// more is read of a direction. asks: this end is the client. False: nothing was upgraded.
func (c *Connection) NextFrames() (next [2]kernel.NextFrame, over [2]bool, asks, upgraded bool) {
	placer, ok := c.scanner.(edge.Placer)
	if !ok || c.cause != CauseNone || c.role == protocols.Either {
		return next, over, false, false
	}
	for i := range c.directions {
		d := &c.directions[i]
		if over[i] = d.state == stateOver || d.state == stateLost; d.state != stateFollowed {
			continue
		}
		if behind, needed, known := placer.NextFrame(c.from(d)); known {
			next[i], upgraded = kernel.NextFrame{Offset: d.next + behind, Skip: !needed}, true
		}
	}
	return next, over, c.role == protocols.Client, upgraded && (c.succeeded || c.taken.Upgraded != nil)
}

// skip passes over n bytes that are not there.
func (c *Connection) skip(d *direction, n uint64) {
	if d.state == statePreface {
		if n = c.preface.skip(n); !c.preface.over() {
			return
		}
		d.state = stateFollowed
	}
	switch d.state {
	case stateFollowed:
		if n > 0 && !c.scanner.Skip(c.from(d), n) {
			d.lose()
		}
	case stateNew:
		d.lose()
	default: // dropped already
	}
}

// resume looks whether an event begins with what can only be the start of a message, where the position is not known.
func (r *Redactor) resume(c *Connection, d *direction, b []byte) {
	if c.scanner == nil {
		end := c.from(d)
		p, guess := all.Among(r.list, b, end, protocols.Anywhere)
		if guess != protocols.Sure {
			return
		}
		// Where a protocol needs the answer to what is asked for, what the server says is too short to tell it by.
		if p.Confirm != nil && (end == protocols.Server || p.Recognise(b, protocols.Client, protocols.Anywhere) != protocols.Sure) {
			return
		}
		if r.recognise(c, p); c.scanner == nil {
			return
		}
	}
	if c.role == protocols.Either {
		r.learnRole(c, d, b)
	}
	if from := c.from(d); from != protocols.Either && c.scanner.Resume(from, b) {
		d.state = stateFollowed
	}
}

// learnRole finds out which end this is, where the socket does not tell, by a message that only one end can send.
func (r *Redactor) learnRole(c *Connection, d *direction, b []byte) {
	if c.taken.Recognise(b, protocols.Either, protocols.Anywhere) != protocols.Sure {
		return
	}
	asks := c.taken.Recognise(b, protocols.Client, protocols.Anywhere) == protocols.Sure
	answers := c.taken.Recognise(b, protocols.Server, protocols.Anywhere) == protocols.Sure
	from := protocols.Either
	switch sender := r.rooms[c.taken].Sender; {
	case asks && !answers:
		from = protocols.Client
	case answers && !asks:
		from = protocols.Server
	case asks && sender != nil:
		from = sender(b)
	}
	if from != protocols.Either && !d.sends {
		from = other(from)
	}
	c.role = from
}

// tail lets the scanner keep the end of a message that is lost. within says that it was lost within b.
func (r *Redactor) tail(c *Connection, d *direction, b []byte, within bool) {
	t, ok := c.scanner.(edge.Tailer)
	if from := c.from(d); ok && from != protocols.Either && t.Tail(from, b, &r.out, within) {
		d.state = stateFollowed
	}
}
