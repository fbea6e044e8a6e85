package redact

import (
	"bytes"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/http1"
)

// enter begins the protocol at the start of a message.
func (d *direction) enter(k kind) {
	d.textLength, d.argument, d.arguments = 0, 0, 0
	switch k {
	case kindHTTP:
		d.phase = phaseStart
	case kindRedis:
		d.phase = phaseReply
	case kindRoom:
		d.phase = phaseScanned
	case kindUndecided, kindOpaque:
		d.phase = phaseOpaque
	}
}

// start begins the protocol at the first byte of a direction, behind a preface.
func (c *Connection) start(d *direction) {
	if c.prefaceEnd > 0 && d.sends == c.prefaceSent {
		d.phase, d.remaining, d.position = phasePreface, uint64(c.prefaceEnd), 0
		return
	}
	d.enter(c.kind)
}

// preface reads what a load balancer says before the first message, and gives what is behind it. Addresses are kept;
// what else there is may name users, hosts and certificates.
func (r *Redactor) preface(c *Connection, d *direction, b []byte) []byte {
	n := int(min(d.remaining, uint64(len(b))))
	for i := range n {
		at := uint32(d.position) + uint32(i)
		switch {
		case at < c.prefaceKeep:
			r.out.Keep(i, i+1)
		case c.prefaceText():
			if at < c.prefaceEnd-2 {
				r.blank(b[i : i+1])
			}
			r.out.Keep(i, i+1)
		}
	}
	d.position += uint64(n)
	if d.remaining -= uint64(n); d.remaining == 0 {
		d.enter(c.kind)
	}
	r.out.Advance(n)
	return b[n:]
}

// prefaceText says that the preface is a line (version 1), whose length shows at its end only.
func (c *Connection) prefaceText() bool { return c.prefaceKeep == keptUnknown }

// keptUnknown is what is kept of a line about an unknown family, "PROXY UNKNOWN ": no other preface keeps so little.
const keptUnknown = 14

// end is the end of the connection that sent the bytes of d.
func (d *direction) end() protocols.End {
	switch {
	case d.sends && d.client || !d.sends && d.server:
		return protocols.Client
	case d.client || d.server:
		return protocols.Server
	}
	return protocols.Either
}

// resync looks whether an event begins with what can only be the start of a message, where the position is not known.
func (r *Redactor) resync(c *Connection, d *direction, b []byte) {
	switch {
	case d.phase == phaseLost && c.kind == kindRoom:
		r.resume(c, d, b)
		return
	case d.phase == phaseLost:
	case d.guess && (d.phase == phaseBody || d.phase == phaseChunk || d.phase == phaseUntilClose):
		// The body is one only if the request was not HEAD, and the request was not seen.
		if http1.Response(b) == protocols.Sure {
			d.phase = phaseStart
		}
		return
	default:
		return
	}
	end := d.end()
	p, guess := all.Among(r.list, b, end, protocols.Anywhere)
	switch {
	case guess == protocols.No || guess == protocols.Likely || p == nil:
		return
	case c.kind == kindUndecided:
		// Replies of Redis are too short to tell it by; what is asked for does.
		if guess != protocols.Sure || p.Confirm != nil && end == protocols.Server {
			return
		}
		r.recognise(c, p)
		if c.kind == kindRoom {
			r.resume(c, d, b)
			return
		}
	case p != c.taken:
		return
	case guess == protocols.More && !begun(b):
		return
	}
	d.enter(c.kind)
}

// begun reports whether b is enough of a message on a connection whose protocol is known: a method and its space, or
// the line with which an array begins.
func begun(b []byte) bool {
	if b[0] == '*' {
		return bytes.IndexByte(b, '\n') > 0
	}
	return bytes.IndexByte(b, ' ') > 0
}

// broke notes that bytes were not of the protocol: the direction is lost until a message begins beyond doubt. A
// connection that was taken for its protocol by a word alone is given up, unless bytes were missing, so that what was
// read may not have been at the place where it was looked for.
func (c *Connection) broke() {
	if c.strict && !c.doubt {
		c.giveUp(CauseBroken)
	}
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }
