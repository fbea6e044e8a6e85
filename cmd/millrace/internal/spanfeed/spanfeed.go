// Package spanfeed follows the spans on the bus as they are published, without a place in the stream: it misses what was published
// before, and a slow reader loses spans (counted), never the publisher.
package spanfeed

import (
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Feed is a running subscription.
type Feed struct {
	subscription *nats.Subscription
	malformed    atomic.Uint64
}

// maxBatch bounds a decompressed batch.
const maxBatch = 64 << 20

// Subscribe calls handle with each batch of spans, one at a time, until Close. The batch must not be kept.
func Subscribe(conn *bus.Conn, handle func(*millracev1.SpanBatch)) (*Feed, error) {
	f := &Feed{}
	var scratch []byte
	subscription, err := conn.NATS().Subscribe("millrace.span.>", func(m *nats.Msg) {
		plain, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), scratch[:0], m.Data, maxBatch)
		if err != nil {
			f.malformed.Add(1)
			return
		}
		scratch = plain
		var batch millracev1.SpanBatch
		if err := batch.UnmarshalVT(plain); err != nil || batch.GetVersion() != 1 {
			f.malformed.Add(1)
			return
		}
		handle(&batch)
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to spans: %w", err)
	}
	f.subscription = subscription
	return f, nil
}

// Lost gives how many batches could not be read and how many messages the reader was too slow for.
func (f *Feed) Lost() (malformed, dropped uint64) {
	if n, err := f.subscription.Dropped(); err == nil && n > 0 {
		dropped = uint64(n)
	}
	return f.malformed.Load(), dropped
}

// Close ends the subscription.
func (f *Feed) Close() {
	// The error is ErrConnectionClosed or ErrBadSubscription: ended either way.
	_ = f.subscription.Unsubscribe()
}
