package metrics

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Counters are the aggregation's own metrics. They are shared by partitions and safe for concurrent use.
type Counters struct {
	batches, deltas, overflow prometheus.Counter
	series, ended             *prometheus.GaugeVec
}

// gauges are the counters of one partition.
type gauges struct {
	batches, deltas, overflow prometheus.Counter
	series, ended             prometheus.Gauge
}

// NewCounters makes the counters and registers them.
func NewCounters(registry prometheus.Registerer) (*Counters, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_enricher_metric_" + name + "_total", Help: help})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_enricher_metric_" + name, Help: help}, []string{"partition"})
	}
	c := &Counters{
		batches: counter("batches", "Batches of metric deltas published."),
		deltas:  counter("deltas", "Deltas of series published."),
		overflow: counter("overflow", "Measurements counted in overflow series, because metrics.cardinality_limit or metrics.max_series was "+
			"reached."),
		series: gauge("series", "Series in the window published last."),
		ended: gauge("window_end_seconds",
			"End of the window published last, in the stream's time, seconds since the Unix epoch. The present time minus this is the lag."),
	}
	for _, collector := range []prometheus.Collector{c.batches, c.deltas, c.overflow, c.series, c.ended} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics of the aggregation: %w", err)
		}
	}
	return c, nil
}

func (c *Counters) of(partition int) *gauges {
	label := strconv.Itoa(partition)
	return &gauges{
		batches: c.batches, deltas: c.deltas, overflow: c.overflow,
		series: c.series.WithLabelValues(label), ended: c.ended.WithLabelValues(label),
	}
}
