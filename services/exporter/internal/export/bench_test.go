package export

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/stage/stagebench"
	"millrace.dev/services/exporter/internal/destination"
	"millrace.dev/services/exporter/internal/exportertest"
	"millrace.dev/services/exporter/internal/series"
)

// target is where a benchmark sends to.
type target struct {
	destination.Destination
	// sent is how many bytes came there.
	sent func() int
	// empty removes what is there, outside of the clock.
	empty func()
}

// targets calls run with a file, and with a backend in this process, over loopback, whose work is counted in: it throws
// away what comes.
func targets(b *testing.B, run func(b *testing.B, to target)) {
	b.Run("file", func(b *testing.B) {
		path, removed := filepath.Join(b.TempDir(), "spans.jsonl"), 0
		size := func() int {
			if at, err := os.Stat(path); err == nil {
				return int(at.Size())
			}
			return 0
		}
		run(b, target{
			Destination: start(b, config.Exporters{File: &config.FileExporter{Path: path}}),
			sent:        func() int { return removed + size() },
			empty: func() {
				removed += size()
				_ = os.Remove(path) // It is made anew. There is none before the first line.
			},
		})
	})
	b.Run("otlphttp", func(b *testing.B) {
		var taken atomic.Int64
		backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			taken.Add(n)
		}))
		defer backend.Close()
		run(b, target{start(b, httpSettings(backend.URL)), func() int { return int(taken.Load()) }, func() {}})
	})
}

// BenchmarkStage is the cost of a span through the stage, from the record to what the destination gets.
func BenchmarkStage(b *testing.B) {
	targets(b, func(b *testing.B, to target) {
		spans, n := exportertest.NewSpans(b, 32, noon), 0
		c := counters(b)
		stagebench.Run(b, NewProcessor(to, to.Routing().NewFilter(), c), stagebench.Load{
			// The records of a tenth of a second, as they come together when nothing lags.
			Next: func(time.Time) (records []stage.Record, items int) {
				to.empty()
				for range 10 {
					n++
					more, spans := spans.Next(n)
					records, items = append(records, more...), items+spans
				}
				return records, items
			},
			Warm: 10 * time.Second,
			Sent: to.sent,
		})
	})
}

// BenchmarkMetricsStage is the cost of a delta through the stage, with the points that it makes every ten seconds of a
// thousand series.
func BenchmarkMetricsStage(b *testing.B) {
	targets(b, func(b *testing.B, to target) {
		deltas := exportertest.NewDeltas(b)
		cfg := config.Default().Metrics
		p := NewMetricProcessor(to, series.Options{
			Interval: cfg.ExportInterval, TTL: cfg.TTL, CardinalityLimit: cfg.CardinalityLimit, MaxSeries: cfg.MaxSeries,
		}, seriesCounters(b), "1")
		stagebench.Run(b, p, stagebench.Load{
			Next: func(time.Time) ([]stage.Record, int) {
				to.empty()
				return deltas.Next()
			},
			Warm: 10 * time.Second,
			Sent: to.sent,
		})
	})
}
