package join

import (
	"slices"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// decide does for an entry what can be done now; with force, everything.
func (p *Partition) decide(e *entry, force bool) {
	p.viewed = [2]bool{}
	p.resolve(e, force)
	if e.how != unknown && (force || p.nameDue(e) == 0) {
		if e.server.waiting() && (force || p.serverReady(e)) {
			p.emit(e, &e.server, &e.client)
		}
		if e.client.waiting() && (force || p.clientReady(e)) {
			p.emit(e, &e.client, &e.server)
		}
	}
	p.settle(e)
}

// serverReady: the parent is known, and the client's facts have come or are not worth a longer wait.
func (p *Partition) serverReady(e *entry) bool {
	if e.client.started {
		return e.client.exchange != nil || e.client.done || p.clock >= e.server.arrivedAt+p.hold
	}
	return p.clock >= p.rootDue(e)
}

// rootDue is when a server span goes out without a client. A client that sends a large request in one blocking call is
// heard of when the call returns, which may be long after the server began to read: so also a request that was served
// for longer than the hold time waits a little at its end.
func (p *Partition) rootDue(e *entry) int64 {
	return max(e.server.startedAt+p.hold, e.server.arrivedAt+p.hold/endFraction)
}

// clientReady: the server's facts have come, or it is not watched.
func (p *Partition) clientReady(e *entry) bool {
	return e.server.exchange != nil || e.server.done || p.clock >= p.clientDue(e)
}

func (p *Partition) clientDue(e *entry) int64 {
	if e.server.started {
		return e.client.arrivedAt + p.hold
	}
	return e.client.startedAt + p.hold
}

// nextLook is when the entry needs attention although nothing is heard of it.
func (p *Partition) nextLook(e *entry) int64 {
	due := e.usedAt + e.openFor()
	if e.how == unknown {
		if e.contextUnknown() && p.clock < e.startedAt()+p.hold {
			return min(due, e.startedAt()+p.hold)
		}
		switch {
		case e.client.started && e.asked:
			due = min(due, e.client.startedAt+answerHolds*p.hold)
		case e.client.started:
			due = min(due, e.client.startedAt+p.hold)
		case e.server.started:
			due = min(due, e.server.startedAt+p.hold)
		}
		return due
	}
	if named := p.nameDue(e); named != 0 {
		return min(due, named)
	}
	if e.client.waiting() {
		due = min(due, p.clientDue(e))
	}
	if e.server.waiting() {
		if e.client.started {
			due = min(due, e.server.arrivedAt+p.hold)
		} else {
			due = min(due, p.rootDue(e))
		}
	}
	return due
}

// openFor is how long after its last use the entry stays open, if nothing waits in it.
func (e *entry) openFor() int64 {
	if e.client.started == e.client.done && e.server.started == e.server.done {
		return givenUpFor
	}
	return openFor
}

// settle files the entry: finished ones are remembered, others looked at again in time.
func (p *Partition) settle(e *entry) {
	if e.complete() {
		p.close(e)
		return
	}
	if !e.waiting() && len(e.askers) == 0 && p.clock >= e.usedAt+e.openFor() {
		if e.openFor() == openFor {
			p.counters.Unfinished.Inc()
		}
		p.close(e)
		return
	}
	p.wheel.schedule(e, p.nextLook(e))
}

// close lets go of everything but the entry's trace and which spans were emitted.
func (p *Partition) close(e *entry) {
	p.askers -= len(e.askers)
	p.forget(e)
	if e.how != unknown {
		e.usedAt = p.now // Memories are in the order of their times.
		p.done.put(memoryOf(e))
	}
	p.free(e)
}

// view reads the exchange of one half of the entry that is being decided, once.
func (p *Partition) view(e *entry, h *half) *view {
	i := 0
	if h == &e.server {
		i = 1
	}
	if !p.viewed[i] {
		p.views[i].read(h.exchange, h.names) // It was well formed when it came.
		p.views[i].convert()
		p.viewed[i] = true
	}
	return p.views[i]
}

// emit sends the span of one half. Every exchange passes here exactly once.
func (p *Partition) emit(e *entry, h, other *half) {
	v := p.view(e, h)
	x := &v.x
	h.done = true
	own := h.who()
	if own.named != nil && own.named.identity == nil {
		p.counters.Unnamed.Inc()
	}
	in := spans.Input{
		Exchange: x, Attributes: v.attributes, TraceID: e.trace, SpanID: identity.Span(e.key, x.Side), Flags: e.flags,
		// A server without a watched client is a root as a matter of course; with one its trace should have been known.
		Assumed:   e.how == byAssumption && e.client.started,
		Uncertain: e.uncertain, Completes: h.again,
	}
	if e.context != nil && e.context.trace == e.trace {
		in.Tracestate = e.context.tracestate
	}
	if x.Side == millracev1.Side_SIDE_SERVER {
		in.ParentID = serverParent(e)
		e.rootless = !e.client.started
	} else {
		in.ParentID, in.DetachedCause = clientParent(e, x.ContextForwarded)
		if candidate := identity.KeyOf(x.CauseCandidate); !candidate.IsZero() && in.DetachedCause == 0 {
			in.DetachedCause = identity.Span(candidate, millracev1.Side_SIDE_SERVER)
		}
		in.Late = e.rootless
	}
	joined := &p.joined
	*joined = Joined{
		Exchange: x, Attributes: v.attributes, Process: own.identity, TraceID: e.trace, SpanID: in.SpanID, Flags: e.flags,
		ClientSeen: e.client.started, Late: in.Late, Again: h.again,
	}
	h.again = false
	var peer spans.Peer
	if other.exchange != nil {
		peer = spans.Peer{Exchange: &p.view(e, other).x, Service: other.who().service, Cluster: other.who().identity.Cluster}
		joined.Peer, joined.PeerProcess = peer.Exchange, other.process.identity
		in.Peer = &peer
	} else if id := p.peerIdentity(x); id != nil {
		peer = spans.Peer{Service: id.ServiceName, Cluster: id}
		joined.PeerAddress = id
		in.Peer = &peer
	}
	p.counters.emitted(e, x.Side, other)
	if p.observer != nil {
		decision := p.observer.Observe(joined)
		if decision.Drop {
			return
		}
		in.Route = decision.Route
	}
	partition := bus.TracePartition(e.trace, p.settings.Partitions)
	p.pages.add(p, own, partition, p.encoder.Encode(&in))
	for number := range byte(spans.Parts) {
		if part := p.encoder.EncodePart(&in, number); part != nil {
			p.pages.add(p, own, partition, part)
		}
	}
}

// serverParent is the paired client span, else the span that the request names.
func serverParent(e *entry) uint64 {
	switch {
	case e.client.started:
		return identity.Span(e.key, millracev1.Side_SIDE_CLIENT)
	case e.context != nil && e.context.trace == e.trace:
		return e.context.span
	}
	return 0
}

// clientParent is the span that the request names, if the application made it; else the span of the request that caused
// this one. A cause in another trace cannot be the parent and is given apart.
func clientParent(e *entry, forwarded bool) (parent, detached uint64) {
	named := e.context != nil && e.context.trace == e.trace
	switch {
	case named && !forwarded:
		return e.context.span, 0
	case !e.cause.IsZero():
		cause := identity.Span(e.cause, millracev1.Side_SIDE_SERVER)
		// A header that was forwarded unchanged puts both into the trace that it names.
		if e.causeJoined || named {
			return cause, 0
		}
		return 0, cause
	case named:
		return e.context.span, 0
	}
	return 0, 0
}

// pages are the span batches under construction, one for each process and span partition. Traces spread over all span
// partitions, so what one call emits is a span or two for each of them, and a message costs as much as several spans:
// they are gathered over calls.
type pages struct {
	dirty []page
	// flushedAt is the stream's time at which they were published last.
	flushedAt int64
}

// gather is how long spans wait for others of their page. After a pause the first ones do not wait.
const gather = int64(100 * time.Millisecond)

// spanFraming is more than a span needs in a batch besides its own bytes.
const spanFraming = 16

type page struct {
	process   *process
	partition int
}

func (g *pages) add(p *Partition, process *process, partition int, span []byte) {
	batch := process.batches[partition]
	if len(batch) == 0 {
		batch = append(batchBuffers.grow(nil, len(process.head)+len(span)+spanFraming), process.head...)
		g.dirty = append(g.dirty, page{process, partition})
	}
	batch = spans.AppendSpan(batchBuffers.grow(batch, len(span)+spanFraming), span)
	process.batches[partition] = batch
	if len(batch) >= maxBatchBytes {
		p.publishPage(page{process, partition})
	}
}

func (p *Partition) publishPage(g page) {
	batch := g.process.batches[g.partition]
	if len(batch) == 0 {
		return
	}
	g.process.batches[g.partition] = nil
	// Readers drop spans that come twice by their ids, so the message needs none.
	p.out.Publish(g.process.subject(g.partition), "", batch)
	batchBuffers.put(batch)
}

// flush publishes what was made: links at once, since others wait for them, spans when it is time.
func (p *Partition) flush(ticked bool) {
	if len(p.pages.dirty) > 0 && (ticked || p.now-p.pages.flushedAt >= gather) {
		p.pages.flushedAt = p.now
		for _, g := range p.pages.dirty {
			p.publishPage(g)
		}
		p.pages.dirty = p.pages.dirty[:0]
	}
	slices.Sort(p.telling)
	for _, partition := range p.telling {
		p.out.Publish(bus.LinkSubject(partition), "", p.links[partition])
		p.links[partition] = p.links[partition][:0]
	}
	p.telling = p.telling[:0]
}
