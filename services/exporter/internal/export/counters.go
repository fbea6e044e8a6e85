package export

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all destinations.
type Metrics struct {
	sent, duplicates, malformed, refused, failures, filtered *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	var all []prometheus.Collector
	vector := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_exporter_" + name + "_total", Help: help}, []string{"exporter"})
		all = append(all, v)
		return v
	}
	m := &Metrics{
		sent:       vector("spans", "Spans that the destination took."),
		duplicates: vector("duplicates", "Spans dropped because they had been handed over before."),
		malformed:  vector("malformed", "Batches and spans that could not be understood."),
		refused:    vector("refused_spans", "Spans dropped because the destination refused them for good."),
		failures:   vector("failures", "Attempts that failed and are repeated."),
		filtered:   vector("filtered_spans", "Spans that the destination does not get by its filter."),
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the exporter: %w", err)
		}
	}
	return m, nil
}

// Counters are the metrics of one destination, safe for concurrent use.
type Counters struct {
	Sent, Duplicates, Malformed prometheus.Counter

	refusedSpans, failures, filtered prometheus.Counter

	reports reports
}

// Of gives the counters of a destination, which report its failures to log.
func (m *Metrics) Of(name string, log *slog.Logger) *Counters {
	return &Counters{
		Sent: m.sent.WithLabelValues(name), Duplicates: m.duplicates.WithLabelValues(name), Malformed: m.malformed.WithLabelValues(name),
		refusedSpans: m.refused.WithLabelValues(name), failures: m.failures.WithLabelValues(name),
		filtered: m.filtered.WithLabelValues(name),
		reports:  reports{log: log.With("exporter", name)},
	}
}

func (c *Counters) refused(spans int, err error) {
	c.refusedSpans.Add(float64(spans))
	c.reports.warn("spans refused for good", "spans", spans, "error", err)
}

func (c *Counters) failed(err error) {
	c.failures.Inc()
	c.reports.warn("destination does not take data, it waits in the stream", "error", err)
}

// reports of failures go to the log at most once in ten seconds: every partition fails when a backend is away.
type reports struct {
	log *slog.Logger

	mu       sync.Mutex
	loggedAt time.Time
}

func (r *reports) warn(message string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.loggedAt) >= 10*time.Second {
		r.loggedAt = now
		r.log.Warn(message, args...)
	}
}
