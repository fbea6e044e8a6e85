package pipeline

import (
	"errors"
	"slices"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/services/capture/internal/batch"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/redact"
)

// connection is the state of a connection end.
type connection struct {
	redact  redact.Connection
	batch   batch.Connection
	owner   *process.Process
	builder *batch.Builder
	// opened waits for the owner: an accepted connection has none until its process reads or writes.
	opened   *kernel.Event
	cause    redact.Cause        // why it was given up
	unframed int                 // directions of it that were given up alone
	taken    *protocols.Protocol // what the kernel side was told that it speaks
	followed [2]bool             // frames behind an upgrade are followed by the kernel side, or not needed
	left     bool                // moved bytes before it was watched
	joined   *kernel.Connection  // what is published of it then
	used     time.Time
	closedAt time.Time
}

// onConnection finds the connection's owner and passes the event on.
func (p *Pipeline) onConnection(ev *kernel.Event) {
	c := p.connections[ev.Connection]
	if c == nil {
		c = &connection{}
		p.connections[ev.Connection] = c
	}
	c.used = p.now
	if c.owner == nil {
		pid := ev.Connection.Owner
		if pid == 0 && (ev.Kind == kernel.Send || ev.Kind == kernel.Receive) {
			pid = ev.PID
		}
		c.owner = p.Inventory.Lookup(pid)
	}
	if c.owner == nil {
		p.withoutOwner(c, ev)
		return
	}
	if c.opened != nil {
		opened := c.opened
		c.opened = nil
		p.pass(c, opened)
	}
	p.pass(c, ev)
	if ev.Kind == kernel.Close || ev.Kind == kernel.Reset {
		c.closedAt = p.now
	}
}

// withoutOwner keeps an opening until there is an owner. A connection that ends without one moved no data for anybody,
// unless the event names who acted.
func (p *Pipeline) withoutOwner(c *connection, ev *kernel.Event) {
	if ev.Kind == kernel.Open {
		opened := *ev
		opened.Payload, opened.Segments = nil, nil
		c.opened = &opened
		return
	}
	c.closedAt = p.now
	c.opened = nil
}

// pass redacts an event of a connection and routes it, unless it is known not to be watched.
func (p *Pipeline) pass(c *connection, ev *kernel.Event) {
	switch c.owner.Selection.State {
	case process.Ignored:
		c.leave(ev)
		return
	case process.Conditional:
		s, ok := p.Rules.Connection(c.owner, p.verdict(c.owner), ev.Connection)
		if !ok {
			c.leave(ev)
			p.wantPorts(c, ev)
			return
		}
		p.selectedBy(c.owner, s)
	case process.Selected, process.Undecided: // route sends or holds.
	}
	payload := len(ev.Payload)
	earlier, pass := p.redactor.Event(&c.redact, ev)
	if len(earlier) > 0 {
		p.horizon.release(earlier[0].TimeNS, true)
	}
	for i := range earlier {
		p.route(c.owner, c, &earlier[i])
	}
	if pass {
		p.route(c.owner, c, ev)
	}
	p.judge(c, ev.Connection)
	p.place(c, ev, payload)
}

// unfollowedBytes is how much payload an event has that is most likely copied because its frames are not followed.
const unfollowedBytes = 8192

// place tells the kernel side where frames begin that follow an upgrade, at each event until it follows them. Meanwhile
// it copies all that moves, as it does where it loses the position.
func (p *Pipeline) place(c *connection, ev *kernel.Event, payload int) {
	if payload > unfollowedBytes {
		c.followed = [2]bool{}
	}
	if c.followed == [2]bool{true, true} {
		return
	}
	next, over, asks, upgraded := c.redact.NextFrames()
	if !upgraded {
		return
	}
	for i := range next {
		if over[i] {
			next[i] = kernel.NextFrame{Skip: true}
		}
	}
	followed, err := p.Source.PlaceFrames(ev.Connection.Socket, c.redact.Taken().Number, asks, next)
	for i := range followed {
		c.followed[i] = followed[i] || over[i]
	}
	if err != nil && !errors.Is(err, kernel.ErrUnknownConnection) {
		p.counters.verdictErrors.Add(1)
	}
}

// judge tells the kernel side what the connection speaks once the redactor knows, and counts what is given up.
// The kernel side goes by the first 16 bytes: where it is wrong, or not sure, it stops or goes on copying with this.
func (p *Pipeline) judge(c *connection, k *kernel.Connection) {
	cause, taken := c.redact.GivenUp(), c.redact.Taken()
	for ; c.unframed < c.redact.DirectionsGivenUp(); c.unframed++ {
		p.counters.giveUpDirection(redact.CauseUnframed, taken)
	}
	verdict, framing, pending := millracev1.Protocol_PROTOCOL_UNSPECIFIED, edge.FramingUsual, false
	if cause != c.cause || taken != c.taken {
		framing = c.redact.Framing()
	}
	switch {
	case cause == c.cause && taken == c.taken:
		return
	case cause == redact.CauseEnded: // there is nothing left to copy
	case cause == redact.CauseNone && framing == edge.FramingPending: // until it is known, all is copied
		return
	case cause != redact.CauseNone:
		verdict = millracev1.Protocol_PROTOCOL_UNKNOWN
		if taken != nil && (!taken.Decoded || taken.OpeningOnly) {
			verdict = taken.Number
		}
	case taken.OpeningOnly: // whose number would stop the copying before its first bytes were read
		pending = k.Hint != millracev1.Protocol_PROTOCOL_UNSPECIFIED || c.taken != nil
	case k.Hint != taken.Number || framing == edge.FramingOther:
		verdict = taken.Number
	}
	if cause != c.cause {
		p.counters.giveUp(cause, taken)
	}
	c.cause, c.taken = cause, taken
	if verdict == millracev1.Protocol_PROTOCOL_UNSPECIFIED && !pending {
		return
	}
	if err := p.Source.SetVerdict(k.Socket, verdict, framing == edge.FramingOther); err != nil && !errors.Is(err, kernel.ErrUnknownConnection) {
		p.counters.verdictErrors.Add(1)
	}
}

// leave notes that an event is not passed on. Should the connection be watched later, it is one that was joined: what
// came before is not lost.
func (c *connection) leave(ev *kernel.Event) {
	c.left = c.left || ev.Kind <= kernel.Receive && ev.Length > 0
}

// facts are what capture publishes about the connection of ev.
func (c *connection) facts(ev *kernel.Event) *kernel.Connection {
	if c.builder == nil && c.left {
		joined := *ev.Connection
		joined.OpenedNS = 0
		c.joined = &joined
	}
	if c.joined != nil {
		return c.joined
	}
	return ev.Connection
}

// wantPorts asks for a look at listening ports when a connection came in on a port that the owner is not known to
// listen on.
func (p *Pipeline) wantPorts(c *connection, ev *kernel.Event) {
	if ev.Kind == kernel.Open && ev.Connection.Role == millracev1.Role_ROLE_SERVER && ev.Connection.Local.IsValid() &&
		!slices.Contains(c.owner.Facts().ListenPorts, uint32(ev.Connection.Local.Port())) {
		p.Inventory.Ports(c.owner.PID)
	}
}

func (p *Pipeline) forget(k *kernel.Connection, c *connection) {
	p.redactor.Forget(&c.redact)
	delete(p.connections, k)
}

// sweep forgets connections that were closed, and the idle ones when there are too many.
func (p *Pipeline) sweep() {
	p.sweptAt = p.now
	for k, c := range p.connections {
		if !c.closedAt.IsZero() && p.now.Sub(c.closedAt) > closedFor {
			p.forget(k, c)
		}
	}
	before := len(p.connections)
	for idle := 10 * time.Minute; len(p.connections) > p.MaxConnections*9/10 && idle > time.Millisecond; idle /= 4 {
		for k, c := range p.connections {
			if p.now.Sub(c.used) > idle {
				p.forget(k, c)
			}
		}
	}
	p.counters.forgotten.Add(uint64(before - len(p.connections)))
}
