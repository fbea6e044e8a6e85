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
	sent, duplicates, malformed, refused, failures *prometheus.CounterVec
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

	refusedSpans, failures prometheus.Counter

	log      *slog.Logger
	mu       sync.Mutex
	loggedAt time.Time
}

// Of gives the counters of a destination, which report its failures to log.
func (m *Metrics) Of(name string, log *slog.Logger) *Counters {
	return &Counters{
		Sent: m.sent.WithLabelValues(name), Duplicates: m.duplicates.WithLabelValues(name), Malformed: m.malformed.WithLabelValues(name),
		refusedSpans: m.refused.WithLabelValues(name), failures: m.failures.WithLabelValues(name),
		log: log.With("exporter", name),
	}
}

func (c *Counters) refused(spans int, err error) {
	c.refusedSpans.Add(float64(spans))
	c.report("spans refused for good", "spans", spans, "error", err)
}

func (c *Counters) failed(err error) {
	c.failures.Inc()
	c.report("destination does not take spans, they wait in the stream", "error", err)
}

// report logs at most once in ten seconds: every partition fails when a backend is away.
func (c *Counters) report(message string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.loggedAt) >= 10*time.Second {
		c.loggedAt = now
		c.log.Warn(message, args...)
	}
}
