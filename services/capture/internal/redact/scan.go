package redact

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/services/capture/internal/kernel"
)

// roleOf is which end k is, as far as the socket tells.
func roleOf(k *kernel.Connection) protocols.End {
	switch k.Role {
	case millracev1.Role_ROLE_CLIENT:
		return protocols.Client
	case millracev1.Role_ROLE_SERVER:
		return protocols.Server
	default:
		return protocols.Either
	}
}

// from is the end that sends the bytes of d; Either as long as that is not known.
func (c *Connection) from(d *direction) protocols.End {
	if d.sends || c.role == protocols.Either {
		return c.role
	}
	return other(c.role)
}

func other(end protocols.End) protocols.End { return protocols.Client + protocols.Server - end }

// scan passes bytes to the connection's scanner.
func (r *Redactor) scan(c *Connection, d *direction, b []byte) {
	switch c.scanner.Scan(c.from(d), b, &r.out) {
	case edge.Following:
	case edge.Lost:
		d.lose()
	case edge.Opaque:
		c.giveUp(CauseUpgraded)
		d.phase = phaseOpaque
	case edge.Broken:
		if c.doubt {
			d.lose() // what was read may not have been at the place where it was looked for
			return
		}
		c.giveUp(CauseBroken)
		d.phase = phaseOpaque
	}
}

// resume looks whether an event of a direction that is lost begins with the start of a message.
func (r *Redactor) resume(c *Connection, d *direction, b []byte) {
	if c.role == protocols.Either {
		c.learnRole(d, b)
	}
	if from := c.from(d); from != protocols.Either && c.scanner.Resume(from, b) {
		d.phase = phaseScanned
	}
}

// learnRole finds out which end this is, where the socket does not tell, by a message that only one end can send.
func (c *Connection) learnRole(d *direction, b []byte) {
	asks := c.taken.Recognise(b, protocols.Client, protocols.Anywhere) == protocols.Sure
	answers := c.taken.Recognise(b, protocols.Server, protocols.Anywhere) == protocols.Sure
	if asks == answers {
		return
	}
	from := protocols.Client
	if answers {
		from = protocols.Server
	}
	if c.role = from; !d.sends {
		c.role = other(from)
	}
}
