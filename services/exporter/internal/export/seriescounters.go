package export

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/services/exporter/internal/series"
)

// SeriesMetrics are the metrics about series of all destinations.
type SeriesMetrics struct {
	points, refused, failures *prometheus.CounterVec
	series, bytes             *prometheus.GaugeVec
	counts                    []*prometheus.CounterVec
}

// counted are the counts of a store, each with its metric.
var counted = []struct {
	name, help string
	of         func(c *series.Counts) uint64
}{
	{"metric_batches", "Batches of metric deltas that were counted.", func(c *series.Counts) uint64 { return c.Batches }},
	{"metric_duplicates", "Batches of metric deltas dropped because they had been counted before.", func(c *series.Counts) uint64 { return c.Duplicates }},
	{"metric_lost_batches", "Batches of metric deltas that are missing by their numbers.", func(c *series.Counts) uint64 { return c.Lost }},
	{"metric_malformed", "Batches and deltas that could not be understood.", func(c *series.Counts) uint64 { return c.Malformed }},
	{"metric_deltas", "Deltas that were added to series.", func(c *series.Counts) uint64 { return c.Deltas }},
	{"metric_overflow", "Deltas added to a series of overflow, because a limit was reached.", func(c *series.Counts) uint64 { return c.Overflow }},
	{"metric_filtered", "Deltas that the destination does not get by its filter.", func(c *series.Counts) uint64 { return c.Filtered }},
	{"metric_expired_series", "Series removed after metrics.ttl without a delta.", func(c *series.Counts) uint64 { return c.Expired }},
	{"metric_resets", "Series that began anew because their buckets changed.", func(c *series.Counts) uint64 { return c.Resets }},
	{"metric_dropped_exemplars", "Exemplars dropped: their trace was not kept, or too many waited.", func(c *series.Counts) uint64 { return c.ExemplarsDropped }},
}

// NewSeriesMetrics makes the metrics and registers them.
func NewSeriesMetrics(registry prometheus.Registerer) (*SeriesMetrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_exporter_" + name + "_total", Help: help}, []string{"exporter"})
		all = append(all, v)
		return v
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_exporter_" + name, Help: help}, []string{"exporter"})
		all = append(all, v)
		return v
	}
	m := &SeriesMetrics{
		points:   counter("metric_points", "Points that the destination took."),
		refused:  counter("metric_refused_points", "Points dropped because the destination refused them for good."),
		failures: counter("metric_failures", "Attempts to send metrics that failed and are repeated."),
		series:   gauge("metric_series", "Series that are kept."),
		bytes:    gauge("metric_series_bytes", "Size of the series in a checkpoint, at most."),
	}
	for _, c := range counted {
		m.counts = append(m.counts, counter(c.name, c.help))
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the exporter: %w", err)
		}
	}
	return m, nil
}

// SeriesCounters are the metrics about the series of one destination, safe for concurrent use.
type SeriesCounters struct {
	points, refusedPoints, failures prometheus.Counter
	series, bytes                   prometheus.Gauge
	counts                          []prometheus.Counter
	reports                         reports
}

// Of gives the counters of a destination, which report its failures to log.
func (m *SeriesMetrics) Of(name string, log *slog.Logger) *SeriesCounters {
	c := &SeriesCounters{
		points: m.points.WithLabelValues(name), refusedPoints: m.refused.WithLabelValues(name), failures: m.failures.WithLabelValues(name),
		series: m.series.WithLabelValues(name), bytes: m.bytes.WithLabelValues(name), reports: reports{log: log.With("exporter", name)},
	}
	for _, counts := range m.counts {
		c.counts = append(c.counts, counts.WithLabelValues(name))
	}
	return c
}

func (c *SeriesCounters) refused(points int, err error) {
	c.refusedPoints.Add(float64(points))
	c.reports.warn("points refused for good", "points", points, "error", err)
}

func (c *SeriesCounters) failed(err error) {
	c.failures.Inc()
	c.reports.warn("destination does not take metrics, they wait in the stream", "error", err)
}

// SeriesGauge tells the share of one store in the metrics of its destination. It is not safe for concurrent use.
type SeriesGauge struct {
	of            *SeriesCounters
	series, bytes int
	counts        series.Counts
}

// NewSeriesGauge makes one of nothing.
func NewSeriesGauge(of *SeriesCounters) SeriesGauge { return SeriesGauge{of: of} }

// Update tells how the store is now.
func (g *SeriesGauge) Update(s *series.Store) {
	g.set(s.Len(), s.Bytes())
	if s.Counts == g.counts {
		return
	}
	for i := range counted {
		// A store that was restored counts from 0 again.
		if now, before := counted[i].of(&s.Counts), counted[i].of(&g.counts); now > before {
			g.of.counts[i].Add(float64(now - before))
		}
	}
	g.counts = s.Counts
}

// Clear tells that the store is gone.
func (g *SeriesGauge) Clear() { g.set(0, 0) }

func (g *SeriesGauge) set(n, bytes int) {
	if n != g.series {
		g.of.series.Add(float64(n - g.series))
	}
	if bytes != g.bytes {
		g.of.bytes.Add(float64(bytes - g.bytes))
	}
	g.series, g.bytes = n, bytes
}
