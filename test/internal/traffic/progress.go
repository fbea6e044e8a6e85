package traffic

import (
	"context"
	"sync"
	"time"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// tellInterval is how often a node says how far it is, as with capture.
	tellInterval = 250 * time.Millisecond
	flushTimeout = 5 * time.Second
)

// unstored is what a node has published and does not know to be stored. It is safe for concurrent use.
type unstored struct {
	mu      sync.Mutex
	until   int64 // what happened before was published, nanoseconds since the Unix epoch
	waiting []batchOnItsWay
}

type batchOnItsWay struct {
	since  int64 // nothing in it happened before
	future *bus.Future
}

// published notes that everything before until was.
func (u *unstored) published(until int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.until = until
}

func (u *unstored) add(b batchOnItsWay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = append(u.waiting, b)
}

// stored is the time before which everything that happened is stored, 0 if nothing was published yet.
func (u *unstored) stored() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	stored, n := u.until, 0
	for _, b := range u.waiting {
		select {
		case <-b.future.Done():
		default:
			u.waiting[n] = b
			n++
			stored = min(stored, b.since)
		}
	}
	clear(u.waiting[n:])
	u.waiting = u.waiting[:n]
	return stored
}

// tell says how far a node is until ctx ends, and then that no more follows.
func (l *Load) tell(ctx context.Context, n *node) {
	control, err := n.conn.Control(ctx)
	if err != nil {
		return // ctx has ended, or the connection.
	}
	subject := bus.RawSubject(bus.NodePartition(n.name, control.Partitions()), n.name)
	ticker := time.NewTicker(tellInterval)
	defer ticker.Stop()
	for last := false; !last; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last = true
		}
		stored := n.unstored.stored()
		if stored == 0 {
			continue
		}
		b := &millracev1.RawBatch{Version: 1, Node: n.name, Epoch: l.epoch, Progress: &millracev1.NodeProgress{
			SentNs: uint64(time.Now().UnixNano() - n.offset), StoredNs: uint64(stored - n.offset), Last: last,
		}}
		data, _ := b.MarshalVT()                  // It fails on no message made here.
		_ = control.NATS().Publish(subject, data) // Another follows.
	}
	_ = control.NATS().FlushTimeout(flushTimeout) // Without the last word a node is waited for until it was silent for a while.
}
