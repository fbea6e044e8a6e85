package join

import (
	"cmp"
	"encoding/binary"
	"slices"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/wire"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// clientStarted notes that the client side exists and what it said of its trace. causeUnknown and contextUnknown say
// that none was seen, but may exist.
func (p *Partition) clientStarted(e *entry, cause identity.Key, causeUnknown bool, c *millracev1.TraceContext, contextUnknown bool) {
	if !e.client.started {
		e.client.started, e.client.startedAt = true, p.now
		if e.rootless || e.how == byAssumption {
			p.counters.Late.Inc()
		}
	}
	if e.cause.IsZero() {
		e.cause = cause
	}
	e.causeUnknown = e.cause.IsZero() && (e.causeUnknown || causeUnknown)
	p.noteContext(e, c, contextUnknown)
}

// serverStarted notes that the server side exists and what it said of its trace.
func (p *Partition) serverStarted(e *entry, c *millracev1.TraceContext, contextUnknown bool) {
	if !e.server.started {
		e.server.started, e.server.startedAt = true, p.now
	}
	p.noteContext(e, c, contextUnknown)
}

func (p *Partition) noteContext(e *entry, c *millracev1.TraceContext, unknown bool) {
	e.headCut = e.headCut || unknown
	e.headRead = e.headRead || !unknown
	if c == nil || e.context != nil {
		return
	}
	e.context = contextOf(c)
	if e.context == nil {
		p.counters.Malformed.WithLabelValues("context").Inc()
	}
}

// resolved notes the trace of the entry's cause.
func (p *Partition) resolved(e *entry, trace [16]byte, flags uint32) {
	e.answered, e.answer, e.answerFlags = true, trace, flags
	if e.how != unknown {
		p.join(e)
	}
}

// join compares the trace of the cause with the entry's: only within one trace can the cause be the parent.
func (p *Partition) join(e *entry) {
	switch {
	case e.answer == e.trace:
		e.causeJoined = true
	case e.how != byContext:
		// Another trace was announced before the answer came.
		p.counters.Conflicts.Inc()
	}
}

// ask answers key's question for the trace of cause, now or when it is known.
func (p *Partition) ask(key, cause identity.Key) {
	if key.Flow == 0 || cause.Flow == 0 {
		p.counters.Malformed.WithLabelValues("key").Inc()
		return
	}
	e := p.entry(cause)
	if e.how == unknown {
		// What caused a request is a server exchange in progress, even if its start was not heard of.
		e.server.started, e.server.startedAt = true, cmp.Or(e.server.startedAt, p.now)
	}
	e.askers = append(e.askers, key)
	p.askers++
	p.decide(e, false)
	p.bound()
}

// resolve decides the entry's trace if that can be done, or must be because force is set, and tells those who asked.
func (p *Partition) resolve(e *entry, force bool) {
	if e.how == unknown {
		p.decideTrace(e, force)
		if e.how != unknown && e.answered {
			p.join(e)
		}
	}
	if e.how == unknown || len(e.askers) == 0 {
		return
	}
	for _, asker := range e.askers {
		p.tell(asker, e)
	}
	p.askers -= len(e.askers)
	e.askers = e.askers[:0]
}

func (p *Partition) decideTrace(e *entry, force bool) {
	switch {
	case e.context != nil:
		e.how, e.trace, e.flags = byContext, e.context.trace, e.context.flags
	case e.contextUnknown() && !force && p.clock-e.startedAt() < p.hold: // The other end may know.
	case e.answered && (e.client.started || force):
		e.uncertain = e.contextUnknown()
		e.how, e.trace, e.flags = byCause, e.answer, e.answerFlags
	case e.client.started && e.cause.IsZero():
		e.uncertain = e.causeUnknown || e.contextUnknown()
		e.how, e.trace, e.flags = byRoot, identity.Trace(e.key), 1
	case e.client.started:
		waited := p.clock - e.client.startedAt
		switch {
		case force || waited >= answerHolds*p.hold:
			// The best guess at the cause's trace is that the cause began it.
			e.how, e.trace, e.flags, e.causeJoined = byAssumption, identity.Trace(e.cause), 1, true
		case waited >= p.hold && !e.asked:
			// The decoder asked already; the question or its answer may have been lost.
			e.asked = true
			p.tellPartition(e.cause.Flow, &millracev1.Link{
				Kind: millracev1.LinkKind_LINK_KIND_ASK, Key: e.key.Proto(), Cause: e.cause.Proto(),
			})
		}
	case e.server.started && (force || p.clock-e.server.startedAt >= p.hold):
		// No client is watched.
		e.uncertain = e.contextUnknown()
		e.how, e.trace, e.flags = byAssumption, identity.Trace(e.key), 1
	}
}

// tell answers asker with the trace of e.
func (p *Partition) tell(asker identity.Key, e *entry) {
	p.tellPartition(asker.Flow, &millracev1.Link{
		Kind: millracev1.LinkKind_LINK_KIND_RESOLVED, Key: asker.Proto(), TraceId: append([]byte(nil), e.trace[:]...),
		Assumed: e.how == byAssumption, TraceFlags: e.flags,
	})
}

func (p *Partition) tellPartition(flow uint64, link *millracev1.Link) {
	partition := bus.ConnectionPartition(flow, p.settings.Partitions)
	if len(p.links[partition]) == 0 {
		p.links[partition] = []byte{1<<3 | wire.Varint, SchemaVersion}
		p.telling = append(p.telling, partition)
	}
	p.links[partition] = appendLink(p.links[partition], link)
}

// appendLink adds a link to the bytes of a batch.
func appendLink(batch []byte, link *millracev1.Link) []byte {
	size := link.SizeVT()
	batch = binary.AppendUvarint(append(batch, 2<<3|wire.Length), uint64(size))
	end := len(batch) + size
	batch = slices.Grow(batch, size)[:end]
	_, _ = link.MarshalToSizedBufferVT(batch[end-size:]) // Marshalling fails on no message made here.
	return batch
}
