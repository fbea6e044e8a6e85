package scrape

import (
	"context"
	"sync"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/export"
	"millrace.dev/services/exporter/internal/series"
)

// Processor keeps the series of one partition for scrapes. It implements [stage.Processor], [stage.Follower] and
// [io.Closer].
type Processor struct {
	server    *Server
	partition int
	gauge     export.SeriesGauge

	mu    sync.Mutex // of what follows: scrapes read while records come
	store *series.Store
	// owned is set when the state may be seen.
	owned func() bool
}

// NewProcessor makes a processor with empty state. Its series are served from when it has caught up.
func NewProcessor(server *Server, partition int, options series.Options, counters *export.SeriesCounters) *Processor {
	return &Processor{server: server, partition: partition, gauge: export.NewSeriesGauge(counters), store: series.New(options)}
}

// Process implements [stage.Processor].
func (p *Processor) Process(_ context.Context, records []stage.Record, _ stage.Output) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range records {
		if err := p.advance(records[i].Time); err != nil {
			return err
		}
		export.Apply(p.store, &records[i])
	}
	p.gauge.Update(p.store)
	return nil
}

// Tick implements [stage.Processor].
func (p *Processor) Tick(_ context.Context, now time.Time, _ stage.Output) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.advance(now)
}

// advance passes boundaries of time: idle series end there, and exemplars come whose trace was kept.
func (p *Processor) advance(now time.Time) error {
	if now.UnixNano() <= 0 {
		return nil // No time is known yet.
	}
	return p.store.Advance(uint64(now.UnixNano()), func() error {
		p.gauge.Update(p.store)
		return nil
	})
}

// CaughtUp implements [stage.Follower].
func (p *Processor) CaughtUp(owned func() bool) {
	p.mu.Lock()
	p.owned = owned
	p.mu.Unlock()
	p.server.show(p)
}

// Close implements [io.Closer]. Its series are not served any more.
func (p *Processor) Close() error {
	p.server.hide(p)
	p.gauge.Clear()
	return nil
}

// Snapshot implements [stage.Processor].
func (p *Processor) Snapshot(dst []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.Snapshot(dst), nil
}

// Restore implements [stage.Processor].
func (p *Processor) Restore(snapshot []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.gauge.Update(p.store)
	return p.store.Restore(snapshot)
}

// view calls read with the series, if they may be seen now.
func (p *Processor) view(read func(*series.Store)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owned() {
		read(p.store)
	}
}
