package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/destination"
	"millrace.dev/services/exporter/internal/otlp"
	"millrace.dev/services/exporter/internal/selection"
)

// schemaVersion is the highest version of batches that is understood.
const schemaVersion = 1

const (
	// dedupLimit is the number of span ids remembered in a partition. It covers the replay of a predecessor, a few
	// checkpoint intervals of five seconds, at 1,000 spans/s and more in each partition.
	dedupLimit = 64 << 10
	// maxResources bounds the resources that are remembered without what is left out.
	maxResources = 1024
	// Pauses between attempts, beyond those of the Collector's own retries.
	firstPause = 500 * time.Millisecond
	lastPause  = 15 * time.Second
)

// Destination is the part of [destination.Destination] that a processor needs.
type Destination interface {
	NewRequest() destination.Request
	RequestBytes() int
}

// Processor hands the spans of one partition to one destination. It implements [stage.Processor]; it waits while the
// backend is away, so that the position in the stream advances only with what was taken.
type Processor struct {
	to       Destination
	filter   *selection.Filter
	counters *Counters
	seen     *stage.Dedup[uint64]
	pause    time.Duration

	// resources without the attributes that are left out, by what they are with them.
	resources map[string][]byte
	// Memory that is used again.
	batch otlp.Batch
	span  otlp.Span
}

// NewProcessor makes a processor with empty state. filter says what the destination does not get; nil: it gets
// everything.
func NewProcessor(to Destination, filter *selection.Filter, counters *Counters) *Processor {
	return &Processor{
		to: to, filter: filter, counters: counters, seen: stage.NewDedup[uint64](dedupLimit), pause: firstPause, resources: map[string][]byte{},
	}
}

// Process implements [stage.Processor].
func (p *Processor) Process(ctx context.Context, records []stage.Record, _ stage.Output) error {
	// The request ends before Process does, so it may alias the records.
	request := p.to.NewRequest()
	defer func() { request.Release() }()
	limit := p.to.RequestBytes()
	spans, bytes := 0, 0
	for i := range records {
		data := records[i].Data
		if p.batch.Read(data) != nil || p.batch.Version > schemaVersion {
			p.counters.Malformed.Inc()
			continue
		}
		if p.filter != nil && !p.filter.Service(p.batch.Service()) {
			p.counters.filtered.Add(float64(len(p.batch.Spans)))
			continue
		}
		if spans > 0 && bytes+len(data) > limit {
			if err := p.send(ctx, request, spans); err != nil {
				return err
			}
			request.Release()
			request, spans, bytes = p.to.NewRequest(), 0, 0
		}
		resource := p.resource()
		for _, encoded := range p.batch.Spans {
			if p.keep(encoded) {
				request.Add(resource, &p.span)
				spans++
			}
		}
		bytes += len(data)
	}
	return p.send(ctx, request, spans)
}

// keep reads a span. It drops malformed ones and those that came before.
func (p *Processor) keep(encoded []byte) bool {
	if !p.span.Read(encoded) || p.span.ID == 0 || len(p.span.TraceID) != 16 {
		p.counters.Malformed.Inc()
		return false
	}
	// A span whose exchange was given up, or went on for long, comes again under its id when it is complete.
	id := p.span.ID ^ p.span.End*oddNumber
	if p.span.Completes() {
		id = ^id
	}
	if p.seen.Seen(id) {
		p.counters.Duplicates.Inc()
		return false
	}
	if p.filter != nil {
		p.span.KeepAttributes(p.filter.SpanAttribute)
	}
	return true
}

// resource gives the batch's, without the attributes that are left out.
func (p *Processor) resource() []byte {
	if p.filter.AllSpanAttributes() {
		return p.batch.Resource
	}
	resource, found := p.resources[string(p.batch.Resource)]
	if !found {
		if len(p.resources) >= maxResources {
			clear(p.resources) // Requests refer to the values, not to the map.
		}
		resource = otlp.KeepResourceAttributes(nil, p.batch.Resource, p.filter.ResourceAttribute)
		p.resources[string(p.batch.Resource)] = resource
	}
	return resource
}

// send hands a request over, as often as it takes.
func (p *Processor) send(ctx context.Context, request destination.Request, spans int) error {
	if spans == 0 {
		return nil
	}
	refusal, err := insist(ctx, p.pause, p.counters.failed, request.Send)
	switch {
	case err != nil:
		return err
	case refusal != nil:
		p.counters.refused(spans, refusal)
	default:
		p.counters.Sent.Add(float64(spans))
	}
	return nil
}

// insist calls send until the backend has taken the data, or refused it for good: that is refusal. err says that ctx
// has ended.
func insist(ctx context.Context, pause time.Duration, failed func(error), send func(context.Context) error) (refusal, err error) {
	for ; ; pause = min(2*pause, lastPause) {
		err := send(ctx)
		switch {
		case err == nil:
			return nil, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case destination.IsPermanent(err):
			return err, nil
		}
		failed(err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Tick implements [stage.Processor].
func (p *Processor) Tick(context.Context, time.Time, stage.Output) error { return nil }

// oddNumber spreads the bits of a time.
const oddNumber = 0x9e3779b97f4a7c15

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
