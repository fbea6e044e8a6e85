package decodertest

import (
	"fmt"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Progress is what an instance of capture says of its node, stored by the stream at a time. The message's own times are of the node's clock.
func Progress(node string, epoch uint64, at time.Time, sent, stored time.Duration, last bool) stage.Record {
	b := &millracev1.RawBatch{
		Version: 1, Node: node, Epoch: epoch,
		Progress: &millracev1.NodeProgress{SentNs: uint64(sent), StoredNs: uint64(stored), Last: last},
	}
	m, err := b.MarshalVT()
	if err != nil {
		panic(fmt.Sprintf("encode progress: %v", err))
	}
	return stage.Record{Subject: bus.NodeProgressSubject(node), Time: at, Data: m}
}
