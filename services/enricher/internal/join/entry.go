package join

import (
	"strings"

	"millrace.dev/lib/identity"
	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// how says what decided the trace of an exchange. The numbers are stored in snapshots.
type how uint8

const (
	unknown how = iota
	// byContext: the request carried a traceparent.
	byContext
	// byRoot: the client exchange has no cause, so it begins a trace.
	byRoot
	// byCause: the client exchange has the trace of the request that caused it.
	byCause
	// byAssumption: nothing better was known in time.
	byAssumption
)

// traceContext is a valid traceparent.
type traceContext struct {
	trace      [16]byte
	span       uint64
	flags      uint32
	tracestate string
}

// half is one side of an exchange.
type half struct {
	// started: the request was heard of, by a link or the exchange itself.
	started bool
	// done: the span was emitted. givenUp: it was one of an exchange that was given up, and that may still be
	// completed.
	done, givenUp bool
	// again: what waits completes an exchange whose span was emitted when it was given up.
	again bool
	// startedAt and arrivedAt are the times at which the request and the exchange were heard of.
	startedAt, arrivedAt int64
	// exchange is nil until it arrives. It stays after the span was emitted for as long as the entry is open, because
	// the other side's span takes facts of it. It is encoded, in a buffer of the partition: what waits has nothing for
	// the collector to follow, and reading it again for its span costs less than keeping a message object of it.
	exchange []byte
	// names are those of the attributes of exchange; nil if it has none.
	names   *attribute.Names
	process *process
}

// who gives the process of the half under the identity that is known now.
func (h *half) who() *process {
	for h.process.next != nil {
		h.process = h.process.next
	}
	return h.process
}

func (h *half) waiting() bool { return h.exchange != nil && !h.done }

// entry is what is known of one exchange key.
type entry struct {
	key            identity.Key
	client, server half

	how   how
	trace [16]byte
	flags uint32
	// context is nil if the request carried none.
	context *traceContext

	// headRead: an end has read the head of the request, so a context would be known. headCut: an end has not.
	headRead, headCut bool

	// cause of the client side; zero if there is none.
	cause identity.Key
	// causeUnknown: there is none, but what would tell it may have been lost.
	causeUnknown bool
	// uncertain: the trace was decided without knowing the context or the cause.
	uncertain bool
	// answered: the cause's partition told its trace.
	answered    bool
	answer      [16]byte
	answerFlags uint32
	// causeJoined: the cause is known to be in the entry's trace.
	causeJoined bool
	// asked: the question for the cause's trace was repeated.
	asked bool
	// rootless: the server span was emitted with no client span above it.
	rootless bool
	// askers wait for the trace of this exchange.
	askers []identity.Key

	// usedAt is when the entry was last needed.
	usedAt int64

	// queue holds the entry, between previous and next; nil if none does.
	queue          *queue
	previous, next *entry
	// scheduled is the slot of the wheel that will look at the entry; 0 if none will.
	scheduled int64
}

func (e *entry) other(h *half) *half {
	if h == &e.client {
		return &e.server
	}
	return &e.client
}

func (e *entry) waiting() bool { return e.client.waiting() || e.server.waiting() }

// startedAt is when an end of the exchange was first heard of.
func (e *entry) startedAt() int64 {
	switch {
	case !e.server.started:
		return e.client.startedAt
	case !e.client.started:
		return e.server.startedAt
	}
	return min(e.client.startedAt, e.server.startedAt)
}

// contextUnknown: the request may carry a context that no end has seen.
func (e *entry) contextUnknown() bool { return e.context == nil && e.headCut && !e.headRead }

// complete: nothing more is expected of the entry.
func (e *entry) complete() bool {
	return e.how != unknown && len(e.askers) == 0 && e.client.complete() && e.server.complete()
}

func (h *half) complete() bool { return h.started == h.done && !h.givenUp }

// contextOf gives the valid trace context of c, nil if there is none. An all-zero trace or parent id is invalid (W3C
// Trace Context, 3.2.2.3 and 3.2.2.4).
func contextOf(c *millracev1.TraceContext) *traceContext {
	if c == nil || len(c.TraceId) != 16 || c.SpanId == 0 || [16]byte(c.TraceId) == ([16]byte{}) {
		return nil
	}
	return &traceContext{trace: [16]byte(c.TraceId), span: c.SpanId, flags: c.Flags, tracestate: strings.Clone(c.Tracestate)}
}
