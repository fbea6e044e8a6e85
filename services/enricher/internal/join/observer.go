package join

import (
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/attribute"
	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Observer sees every exchange of a partition once, when its span is made: where metrics are aggregated and routes are
// found. It is part of the partition's state, and like it a function of the records: it gets the same calls with the
// same times in the same order in a replay.
type Observer interface {
	// Begin tells the time of the first record since the processor was made, whether the state began from nothing or
	// was restored.
	Begin(at int64)
	// Advance tells the time, nanoseconds since the Unix epoch, before anything that happens at it. What came to its
	// end before is published.
	Advance(now int64, out stage.Output)
	// Forget drops what may have been published by another since the state was restored, and the numbers with it.
	Forget()
	// Finish publishes what was added up so far, since nobody may be there when its time comes.
	Finish(out stage.Output)
	// Observe takes an exchange and says what is to become of its span.
	Observe(j *Joined) Decision
	// ObserveFlow takes what a connection gained.
	ObserveFlow(f *Flow)
	// AppendSnapshot appends the state to dst; Restore is its reverse, on a new observer.
	AppendSnapshot(dst []byte) []byte
	Restore(snapshot []byte) error
}

// Joined is an exchange with what pairing found out. It and what it points to are valid during the call.
type Joined struct {
	Exchange *millracev1.Exchange
	// Attributes are those of the exchange.
	Attributes []attribute.Attribute
	// Process keeps its address for as long as nothing else is known of the process.
	Process *resource.Identity
	// Peer and PeerProcess are the other side, nil if it is not known.
	Peer        *millracev1.Exchange
	PeerProcess *resource.Identity
	// PeerAddress is what the cluster says of the other side's address, where that side is not known. May be nil.
	PeerAddress *millracev1.Identity
	TraceID     [16]byte
	SpanID      uint64
	// Flags of the trace; bit 0 is "sampled".
	Flags uint32
	// ClientSeen: a client of the exchange is watched, even if its side has not come.
	ClientSeen bool
	// Again: the exchange was observed before, when it was given up, and is now complete: it is not counted again.
	Again bool
	// Late: this is the client of an exchange whose server went out as one without a client.
	Late bool
}

// Decision is what becomes of the span of an exchange.
type Decision struct {
	// Route is the low-cardinality form of the path, empty if there is none. Valid until the next call.
	Route string
	// Drop: no span is to be made.
	Drop bool
}
