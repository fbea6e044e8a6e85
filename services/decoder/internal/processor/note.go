package processor

import (
	"cmp"
	"slices"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/services/decoder/internal/causality"
)

// note is something that a connection has to say to what it shares with others: the tasks of processes, and the
// output. Notes are taken while connections are parsed, on any core and in any order of connections, and acted on in
// the order of events.
type note struct {
	c     *connection
	x     *decode.Exchange // not used again before the note is acted on; not changed either if it has ended
	actor stream.Actor
	at    int64
	// Range of the worker's arena; at split the cause of a call goes in, or the attributes of an exchange begin.
	from, split, to uint32
	kind            noteKind
	attributes      bool // those of x belong behind what is encoded
}

type noteKind uint8

const (
	noteSaw      noteKind = iota // actor works at the time at
	noteCalled                   // the client's x began; encoded is its link
	noteLink                     // encoded is a link
	noteServe                    // x is being served
	noteServed                   // the response to x was written by actor, if it is known, at the time at
	noteResumed                  // actor read the response to x at the time at
	noteExchange                 // x has ended; encoded is its exchange, but for the cause
	noteAwait                    // c has a gap that may be filled
	noteLost                     // requests may be missing on c
)

// act does what a note of w asks for.
func (p *Processor) act(w *worker, n *note) {
	c, x := n.c, n.x
	partition := c.partition
	if x != nil && x.Flow != 0 {
		partition = bus.ConnectionPartition(x.Flow, p.options.Partitions) // that of its key
	}
	switch n.kind {
	case noteSaw:
		p.actor(c, &n.actor).tasks.Saw(&n.actor, n.at)
	case noteCalled:
		p.called(w, n, partition)
	case noteLink:
		p.asked(c.owner, x.Authority)
		p.out.add(&p.out.links[partition], w.arena[n.from:n.to])
	case noteServe:
		r := causality.Request{Key: c.requestKey(x), Start: x.HeadTime}
		if x.Context.Valid {
			r.Trace, r.Span = x.Context.TraceID, x.Context.SpanID
		}
		p.actor(c, &x.Head).tasks.Serve(causality.Task(x.Task), r)
	case noteServed:
		writer := causality.Task(0)
		if n.actor.Process == x.Head.Process {
			writer = causality.TaskOf(&n.actor)
		}
		p.actor(c, &x.Head).tasks.Served(causality.Task(x.Task), c.requestKey(x), writer, n.at)
	case noteResumed:
		p.actor(c, &n.actor).tasks.Resumed(causality.TaskOf(&n.actor), identity.Key(x.Cause), x.CauseKind&candidate != 0, n.at)
	case noteExchange:
		attributes := w.arena[n.split:n.to]
		if n.attributes {
			attributes = x.Said.Attributes.Encoded()
		}
		p.out.exchange(partition, c, x, w.arena[n.from:n.split], attributes)
	case noteAwait:
		p.await(c)
	case noteLost:
		c.owner.lostAt = p.now
	}
	p.out.spill()
}

// candidate is set in Exchange.CauseKind where Exchange.Cause is a candidate and no more.
const candidate = 0x80

// called finds the cause of a call, and says it to those who resolve traces. A candidate is nothing to them.
func (p *Processor) called(w *worker, n *note, partition int) {
	c, x := n.c, n.x
	call := causality.Call{Socket: c.facts.Socket, At: x.Start}
	if x.Offset == 0 || !c.called { // its protocol may have had a word with the server before
		call.Opened = int64(cmp.Or(c.facts.Connecting, c.facts.Opened))
	}
	c.called = true
	x.HostForwarded = x.Authority != 0 && c.owner.wasAsked(x.Authority)
	key, rest := w.arena[n.from:n.split], w.arena[n.split:n.to]
	var told []byte
	cause, ok := p.cause(p.actor(c, &x.First), &x.First, call)
	cause.Candidate = cause.Candidate || c.isWrittenFor(x, cause)
	switch {
	case !ok:
		p.tally.calls[0]++
		if p.isBlind(p.actor(c, &x.First), c.node) {
			x.CauseUnknown = true
			told = appendFlag(p.out.scratch[:0], 11, true)
			p.out.scratch = told
		}
	case cause.Candidate:
		x.Cause, x.CauseKind = decode.Key(cause.Key), uint8(cause.Kind)|candidate
		p.tally.calls[callCandidate]++
	default:
		p.tally.calls[cause.Kind]++
		x.Cause, x.CauseKind = decode.Key(cause.Key), uint8(cause.Kind)
		x.Forwarded = x.Context.Valid && cause.Span != 0 && cause.Span == x.Context.SpanID && cause.Trace == x.Context.TraceID
		told = append(appendKey(p.out.scratch[:0], 3, identity.Key(x.Cause)), 4<<3, x.CauseKind)
		p.out.scratch = told
		ask := &p.out.links[bus.ConnectionPartition(x.Cause.Flow, p.options.Partitions)]
		p.out.add(ask, linkAsk, key, told)
		p.tally.links++
	}
	p.out.add(&p.out.links[partition], linkClient, key, rest, told)
}

// isWrittenFor reports whether whoever began x on a connection that carries several exchanges at once may have written
// it for somebody else: it was made in the course of the cause and writes there again and again, as the goroutine or
// thread of a connection does for all that use it; or it also writes the answers to the requests of that connection,
// of which the cause is one.
func (c *connection) isWrittenFor(x *decode.Exchange, cause causality.Cause) bool {
	if c.conn.Order != protocols.ByID {
		return false
	}
	again := slices.Contains(c.callers[:], x.Task)
	if !again {
		c.callers = [2]uint64{x.Task, c.callers[0]}
	}
	return again && cause.Made || cause.Key.Flow == identity.Reverse(c.sendFlow)
}

// blindFor is how long after a loss (the stream's time, ns) requests that were in it may still be making calls. Longer
// ones there are, but a mark that is on everything says nothing.
const blindFor = int64(2 * time.Second)

// isBlind reports whether requests of q, on a node, may be missing: some were lost lately, or wait behind a gap. A
// call without a cause may then have one.
func (p *Processor) isBlind(q *process, n *node) bool {
	lately := func(at int64) bool { return at != 0 && p.now-at <= blindFor }
	if lately(q.lostAt) || lately(n.lostAt) {
		return true
	}
	for _, c := range p.waiting { // parsed beyond this note, maybe: only what notes have changed may be asked
		if c.owner == q && c.role != millracev1.Role_ROLE_CLIENT {
			return true
		}
	}
	return false
}

// cause finds what caused what actor a of q began: a request that q serves, or that a process serves which made q for
// it.
func (p *Processor) cause(q *process, a *stream.Actor, c causality.Call) (causality.Cause, bool) {
	found, answer := q.tasks.Cause(a, c)
	for i := 0; answer == causality.Unknown && i < len(q.makers); i++ {
		m := &q.makers[i]
		if maker := p.processes[m.process]; maker != nil {
			found, answer = maker.tasks.CauseOfChild(m.task, m.at, c)
		}
	}
	return found, answer == causality.Found
}

// actor gives the process of an actor on c.
func (p *Processor) actor(c *connection, a *stream.Actor) *process {
	if a.Process == c.owner.id || a.Process == 0 {
		return c.owner
	}
	return p.processOf(a.Process)
}

// requestKey is the key of x: the stream in which it began, and where; or what names it in place of that.
func (c *connection) requestKey(x *decode.Exchange) identity.Key {
	if x.Flow != 0 {
		return identity.Key{Flow: x.Flow, Stream: 1}
	}
	flow := c.sendFlow
	if !c.conn.Asks(x) {
		flow = identity.Reverse(flow)
	}
	return identity.Key{Flow: flow, Offset: x.Offset, Stream: x.Stream}
}

// Beginnings of links.
var (
	linkAsk    = []byte{1 << 3, byte(millracev1.LinkKind_LINK_KIND_ASK)}
	linkClient = []byte{1 << 3, byte(millracev1.LinkKind_LINK_KIND_CLIENT_STARTED)}
	linkServer = []byte{1 << 3, byte(millracev1.LinkKind_LINK_KIND_SERVER_STARTED)}
)
