package processor

import (
	"cmp"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/causality"
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/stream"
)

// sink is the processor as parsers see it.
type sink Processor

// maxFree bounds the exchanges kept for reuse.
const maxFree = 4096

// New implements [protocol.Sink].
func (s *sink) New() *protocol.Exchange {
	if n := len(s.free); n > 0 {
		x := s.free[n-1]
		s.free = s.free[:n-1]
		return x
	}
	return &protocol.Exchange{}
}

// Free implements [protocol.Sink].
func (s *sink) Free(x *protocol.Exchange) {
	if len(s.free) < maxFree && cap(x.Detail) <= 4096 {
		s.free = append(s.free, x)
	}
}

// Started implements [protocol.Sink]: it finds the cause of a call, or notes which task serves a request, and says both to those
// who resolve traces.
func (s *sink) Started(pc *protocol.Conn, x *protocol.Exchange) {
	p, c := (*Processor)(s), pc.Owner.(*connection)
	x.ClockOffset = c.node.clockOffset
	x.Retransmits = c.retransmits
	x.Deadline = p.deadline()
	if x.Ignore {
		return
	}
	key := keyOf(pc, c, x)
	if pc.Client {
		x.Task = causality.TaskOf(&x.First).ID()
		var opened int64
		if x.Offset == 0 {
			opened = int64(cmp.Or(c.facts.Connecting, c.facts.Opened))
		}
		if cause, ok := p.actor(c, &x.First).tasks.Cause(&x.First, c.key.socket, x.Start, opened); ok {
			x.Cause, x.CauseKind = cause.Key, uint8(cause.Kind)
			x.Forwarded = x.Context.Valid && cause.Span != 0 && cause.Span == x.Context.SpanID && cause.Trace == x.Context.TraceID
			p.out.link(bus.ConnectionPartition(x.Cause.Flow, p.options.Partitions), millracev1.LinkKind_LINK_KIND_ASK, key, x)
			p.tally.links++
		}
		p.out.link(c.partition, millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, key, x)
	} else {
		x.Task = uint64(c.serving(&x.Head))
		if pc.Oldest() == x {
			p.serve(pc, c, x)
		}
		p.out.link(c.partition, millracev1.LinkKind_LINK_KIND_SERVER_STARTED, key, x)
	}
	p.tally.links++
}

func (p *Processor) deadline() int64 {
	if p.now == 0 {
		return 0 // set by the first tick
	}
	return p.now + int64(p.options.ExchangeTimeout)
}

// actor gives the process of an actor on c.
func (p *Processor) actor(c *connection, a *stream.Actor) *process {
	if a.Process == c.owner.id || a.Process == 0 {
		return c.owner
	}
	return p.processOf(a.Process)
}

func keyOf(pc *protocol.Conn, c *connection, x *protocol.Exchange) identity.Key {
	flow := c.sendFlow
	if !pc.Client {
		flow = identity.Reverse(flow)
	}
	return identity.Key{Flow: flow, Offset: x.Offset, Stream: x.Stream}
}

// serving is the task that serves the request whose head a read to its end. A goroutine that only reads for the one that made it, and
// that uses the connection itself, does not count (net/http reads the first byte of the next request in the background).
func (c *connection) serving(a *stream.Actor) causality.Task {
	if a.Goroutine != 0 && a.Parent != 0 && (a.Parent == c.actors[0] || a.Parent == c.actors[1]) {
		return causality.Goroutine(a.Parent)
	}
	return causality.TaskOf(a)
}

// serve notes that x, the oldest request of its connection, is being served.
func (p *Processor) serve(pc *protocol.Conn, c *connection, x *protocol.Exchange) {
	if x.Serving || x.Ignore {
		return
	}
	x.Serving = true
	r := causality.Request{Key: keyOf(pc, c, x), Start: x.HeadTime}
	if x.Context.Valid {
		r.Trace, r.Span = x.Context.TraceID, x.Context.SpanID
	}
	p.actor(c, &x.Head).tasks.Serve(causality.Task(x.Task), r)
}

// Responded implements [protocol.Sink].
func (s *sink) Responded(pc *protocol.Conn, x *protocol.Exchange) {
	p, c := (*Processor)(s), pc.Owner.(*connection)
	if x.Serving {
		p.served(pc, c, x, x.ResponseTime)
	}
	if pc.Client && x.ResponseTime != 0 {
		p.actor(c, &c.lastActor).tasks.Resumed(causality.TaskOf(&c.lastActor), x.Cause, x.ResponseTime)
	}
}

func (p *Processor) served(pc *protocol.Conn, c *connection, x *protocol.Exchange, at int64) {
	x.Serving = false
	p.actor(c, &x.Head).tasks.Served(causality.Task(x.Task), keyOf(pc, c, x), at)
}

// Finished implements [protocol.Sink].
func (s *sink) Finished(pc *protocol.Conn, x *protocol.Exchange) {
	p, c := (*Processor)(s), pc.Owner.(*connection)
	if x.Serving {
		p.served(pc, c, x, x.End)
	}
	if !x.Ignore {
		p.tally.exchanges[c.protocol&7][x.Outcome&7]++
		p.out.exchange(pc, c, x)
	}
	if next := pc.Oldest(); next != nil {
		if !pc.Client && next != x && next.IsStarted() {
			p.serve(pc, c, next)
		}
	} else {
		c.suspect = false
	}
}
