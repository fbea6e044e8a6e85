package decodertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Progress is what an instance of capture says of its node, stored by the stream at a time. The message's own times are
// of the node's clock.
func Progress(node string, epoch uint64, at time.Time, sent, stored time.Duration, last bool) stage.Record {
	b := &millracev1.RawBatch{
		Version: 1, Node: node, Epoch: epoch,
		Progress: &millracev1.NodeProgress{SentNs: uint64(sent), StoredNs: uint64(stored), Last: last},
	}
	m, err := b.MarshalVT()
	if err != nil {
		panic(fmt.Sprintf("encode progress: %v", err))
	}
	return stage.Record{Subject: bus.RawSubject(0, node), Time: at, Data: m}
}

// Watermarks is what owners of partitions say that these were told, in the stream's time; the zero time stands for
// nothing.
func Watermarks(at time.Time, told map[uint32]time.Time) stage.Record {
	b := &millracev1.ProgressBatch{Version: 1}
	for _, p := range slices.Sorted(maps.Keys(told)) {
		of := &millracev1.Progress{Partition: p}
		if !told[p].IsZero() {
			of.TimeUnixNs = uint64(told[p].UnixNano())
		}
		b.Partitions = append(b.Partitions, of)
	}
	m, err := b.MarshalVT()
	if err != nil {
		panic(fmt.Sprintf("encode watermarks: %v", err))
	}
	return stage.Record{Subject: bus.WatermarkSubject, Time: at, Data: m}
}
