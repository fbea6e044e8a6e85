package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/destination"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// schemaVersion is the highest version of batches that is understood.
const schemaVersion = 1

const (
	// Requests are bounded: gRPC servers take 4 MiB by default, and OTLP is up to twice as large as the batches here.
	requestBytes = 1536 << 10
	// dedupLimit is the number of span ids remembered in a partition. It covers the replay of a predecessor, a few checkpoint
	// intervals of five seconds, at 1,000 spans/s and more in each partition.
	dedupLimit = 64 << 10
	// Pauses between attempts, beyond those of the Collector's own retries.
	firstPause = 500 * time.Millisecond
	lastPause  = 15 * time.Second
)

// Consumer is the part of [destination.Destination] that a processor needs.
type Consumer interface {
	Consume(ctx context.Context, spans ptrace.Traces) error
}

// Processor hands the spans of one partition to one destination. It implements [stage.Processor]; it waits while the backend is away, so that
// the position in the stream advances only with what was taken.
type Processor struct {
	to       Consumer
	counters *Counters
	version  string
	seen     *stage.Dedup[uint64]
	pause    time.Duration
}

// NewProcessor makes a processor with empty state. version is the program's, for the instrumentation scope.
func NewProcessor(to Consumer, counters *Counters, version string) *Processor {
	return &Processor{to: to, counters: counters, version: version, seen: stage.NewDedup[uint64](dedupLimit), pause: firstPause}
}

// Process implements [stage.Processor].
func (p *Processor) Process(ctx context.Context, records []stage.Record, _ stage.Output) error {
	g := newGroup(p.version)
	for i := range records {
		data := records[i].Data
		// The group ends before Process does, so it may alias the records.
		var batch millracev1.SpanBatch
		if err := batch.UnmarshalVTUnsafe(data); err != nil || batch.Version > schemaVersion {
			p.counters.Malformed.Inc()
			continue
		}
		if g.spans > 0 && g.bytes+len(data) > requestBytes {
			if err := p.send(ctx, g); err != nil {
				return err
			}
			g = newGroup(p.version)
		}
		g.add(data, &batch, p.keep)
	}
	return p.send(ctx, g)
}

// keep drops malformed spans and those that came before.
func (p *Processor) keep(s *millracev1.Span) bool {
	if s.SpanId == 0 || len(s.TraceId) != 16 {
		p.counters.Malformed.Inc()
		return false
	}
	if p.seen.Seen(s.SpanId) {
		p.counters.Duplicates.Inc()
		return false
	}
	return true
}

// send hands a group over, as often as it takes.
func (p *Processor) send(ctx context.Context, g *group) error {
	if g.spans == 0 {
		return nil
	}
	for pause := p.pause; ; pause = min(2*pause, lastPause) {
		err := p.to.Consume(ctx, g.traces)
		switch {
		case err == nil:
			p.counters.Sent.Add(float64(g.spans))
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case destination.IsPermanent(err):
			p.counters.refused(g.spans, err)
			return nil
		}
		p.counters.failed(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Tick implements [stage.Processor].
func (p *Processor) Tick(context.Context, time.Time, stage.Output) error { return nil }

const snapshotVersion = 1

// Snapshot implements [stage.Processor].
func (p *Processor) Snapshot(dst []byte) ([]byte, error) {
	return p.seen.Snapshot(append(dst, snapshotVersion)), nil
}

// Restore implements [stage.Processor].
func (p *Processor) Restore(snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] != snapshotVersion {
		return fmt.Errorf("exporter snapshot of an unknown version (expected %d)", snapshotVersion)
	}
	rest, err := p.seen.Restore(snapshot[1:])
	if err != nil {
		return fmt.Errorf("exporter snapshot: %w", err)
	}
	if len(rest) != 0 {
		return errors.New("exporter snapshot: more bytes than expected")
	}
	return nil
}
