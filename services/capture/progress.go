package capture

import (
	"context"
	"time"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/batch"
)

const (
	// tellInterval is how often capture says how far its node is. With what it takes until decoders have told each
	// other, and the enricher, this must stay within what the enricher allows for stragglers: three quarters of its
	// hold time.
	tellInterval = 250 * time.Millisecond
	// flushTimeout bounds the last word.
	flushTimeout = time.Second
)

// settler knows what was read of the kernel side and handed on; a pipeline does.
type settler interface{ Settled() uint64 }

// queue knows what was handed on and is not stored; a sender does.
type queue interface {
	Oldest() (since uint64, waits bool)
}

// teller says how far the node is, by which those who wait for what happened here know whether it may still come. What
// it says is fire and forget: one that does not get through is followed by another.
type teller struct {
	node    string
	epoch   uint64
	read    settler
	waiting queue
	// over is a connection on which nothing large is ahead of what is said; nil until there is one.
	over *bus.Conn
}

// stored is the time before which every event of this node is in the stream or counted as lost; 0 if that is not known.
func (t *teller) stored() uint64 {
	// In this order: what is handed over in between is waiting before it is seen as settled.
	stored := t.read.Settled()
	if oldest, waits := t.waiting.Oldest(); waits {
		stored = min(stored, oldest)
	}
	return stored
}

// lag is how far what is stored is behind the present, in seconds.
func (t *teller) lag() float64 {
	stored := t.stored()
	if stored == 0 {
		return 0
	}
	return float64(batch.Monotonic()-stored) / 1e9
}

// run says it again and again until ctx ends.
func (t *teller) run(ctx context.Context, conn *bus.Conn) {
	var err error
	if t.over, err = conn.Control(ctx); err != nil {
		return // ctx has ended, or the bus was closed, which the sender tells.
	}
	ticker := time.NewTicker(tellInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.tell(false)
		}
	}
}

// end says that no more follows, if all is stored; call it when run has returned. Otherwise others wait for what may
// still come, until they have heard nothing for a while.
func (t *teller) end() {
	if _, waits := t.waiting.Oldest(); waits || t.over == nil {
		return
	}
	t.tell(true)
	_ = t.over.NATS().FlushTimeout(flushTimeout) // As above.
}

func (t *teller) tell(last bool) {
	stored := t.stored()
	if stored == 0 {
		return
	}
	b := &millracev1.RawBatch{
		Version: batch.Version, Node: t.node, Epoch: t.epoch,
		Progress: &millracev1.NodeProgress{SentNs: batch.Monotonic(), StoredNs: stored, Last: last},
	}
	data, _ := b.MarshalVT() // Marshalling fails on no message made here.
	// It fails while the connection is away; another follows, or nobody waits for this node for long.
	_ = t.over.NATS().Publish(bus.RawSubject(bus.NodePartition(t.node, t.over.Partitions()), t.node), data)
}
