package export

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/points"
	"millrace.dev/services/exporter/internal/series"
)

// keptPrefix begins the subjects of notices of kept traces.
const keptPrefix = "millrace.kept."

// MetricDestination is the part of a destination that a [MetricProcessor] needs.
type MetricDestination interface {
	SendMetrics(ctx context.Context, metrics pmetric.Metrics) error
}

// MetricProcessor keeps the series of one partition and hands their points to one destination at each boundary of the
// stream's time. It implements [stage.Processor]; it waits while the backend is away.
type MetricProcessor struct {
	to       MetricDestination
	counters *SeriesCounters
	gauge    SeriesGauge
	store    *series.Store
	builder  *points.Builder
	pause    time.Duration
	sent     bool   // since the newest snapshot
	now      uint64 // the time that was told last, nanoseconds since the Unix epoch
}

// NewMetricProcessor makes a processor with empty state. version is the program's.
func NewMetricProcessor(to MetricDestination, options series.Options, counters *SeriesCounters, version string) *MetricProcessor {
	return &MetricProcessor{
		to: to, counters: counters, gauge: SeriesGauge{of: counters}, store: series.New(options), builder: points.NewBuilder(version, options.Delta),
		pause: firstPause,
	}
}

// Process implements [stage.Processor].
func (p *MetricProcessor) Process(ctx context.Context, records []stage.Record, _ stage.Output) error {
	defer p.gauge.Update(p.store)
	for i := range records {
		if err := p.advance(ctx, records[i].Time); err != nil {
			return err
		}
		Apply(p.store, &records[i])
	}
	return nil
}

// Apply gives the store a record of the stream of metrics.
func Apply(store *series.Store, record *stage.Record) {
	if strings.HasPrefix(record.Subject, keptPrefix) {
		store.Kept(record.Data)
	} else {
		store.Apply(record.Data, uint64(record.Time.UnixNano()))
	}
}

// Tick implements [stage.Processor].
func (p *MetricProcessor) Tick(ctx context.Context, now time.Time, _ stage.Output) error {
	return p.advance(ctx, now)
}

// advance hands over the points of the boundaries that were passed.
func (p *MetricProcessor) advance(ctx context.Context, now time.Time) error {
	if now.UnixNano() <= 0 {
		return nil // No time is known yet.
	}
	p.now = uint64(now.UnixNano())
	return p.store.Advance(p.now, func() error { return p.send(ctx) })
}

// Finish implements [stage.Finisher]: the points so far go out before their boundary.
func (p *MetricProcessor) Finish(ctx context.Context, _ bool, _ stage.Output) error {
	return p.store.Finish(p.now, func() error { return p.send(ctx) })
}

// send hands over the points of the store's newest boundary.
func (p *MetricProcessor) send(ctx context.Context) error {
	defer p.gauge.Update(p.store)
	return p.builder.Build(p.store, func(request pmetric.Metrics, n int) error {
		p.sent = true // Also what the backend took without an answer.
		refusal, err := insist(ctx, p.pause, p.counters.failed, func(ctx context.Context) error { return p.to.SendMetrics(ctx, request) })
		switch {
		case err != nil:
			return err
		case refusal != nil:
			p.counters.refused(n, refusal)
		default:
			p.counters.points.Add(float64(n))
		}
		return nil
	})
}

// Snapshot implements [stage.Processor].
func (p *MetricProcessor) Snapshot(dst []byte) ([]byte, error) {
	p.sent = false
	return p.store.Snapshot(dst), nil
}

// Sent implements [stage.Sender].
func (p *MetricProcessor) Sent() bool { return p.sent }

// Restore implements [stage.Processor].
func (p *MetricProcessor) Restore(snapshot []byte) error {
	defer p.gauge.Update(p.store)
	return p.store.Restore(snapshot)
}

// Close implements [io.Closer].
func (p *MetricProcessor) Close() error {
	p.gauge.Clear()
	return nil
}
