// Package spanfeed follows the spans on the bus as they are published, without a place in the stream: it misses what
// was published before, and a slow reader loses spans (counted), never the publisher.
package spanfeed

import (
	"errors"
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

// errVersion: the batch is of a schema that is not known.
var errVersion = errors.New("unknown version")

// Subscribe calls handle with each batch of spans, one at a time, until Close. The batch must not be kept.
func Subscribe(conn *bus.Conn, handle func(*millracev1.SpanBatch)) (*Feed, error) {
	return SubscribeEncoded(conn, func(encoded []byte) error {
		var batch millracev1.SpanBatch
		if err := batch.UnmarshalVT(encoded); err != nil {
			return err
		}
		if batch.GetVersion() != 1 {
			return errVersion
		}
		handle(&batch)
		return nil
	})
}

// SubscribeEncoded is Subscribe for readers that do not need all of a batch: it calls handle with encoded ones, which
// must not be kept. Those that handle gives an error for count as malformed.
func SubscribeEncoded(conn *bus.Conn, handle func(encoded []byte) error) (*Feed, error) {
	f := &Feed{}
	var scratch []byte
	subscription, err := conn.NATS().Subscribe("millrace.span.>", func(m *nats.Msg) {
		encoding := m.Header.Get(bus.HeaderEncoding)
		plain, err := bus.Decompress(encoding, scratch[:0], m.Data, maxBatch)
		if err == nil {
			if encoding != "" { // Otherwise it is the message's own.
				scratch = plain
			}
			err = handle(plain)
		}
		if err != nil {
			f.malformed.Add(1)
		}
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
