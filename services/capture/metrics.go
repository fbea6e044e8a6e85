package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/pipeline"
	"millrace.dev/services/capture/internal/redact"
	"millrace.dev/services/capture/internal/send"
)

// measured is what the metrics are about.
type measured struct {
	counters *pipeline.Counters
	sender   *send.Sender
	source   interface{ Tables() []kernel.Table }
	lag      func() float64
	features []kernel.Feature
}

// register adds capture's metrics; unregister takes them away again.
func register(registry *prometheus.Registry, m measured) (unregister func(), err error) {
	c, s := m.counters, m.sender
	counter := func(name, help string, value func() uint64, labels prometheus.Labels) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "millrace_capture_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) })
	}
	gauge := func(name, help string, value func() float64, labels prometheus.Labels) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_capture_" + name, Help: help, ConstLabels: labels}, value)
	}
	collectors := []prometheus.Collector{
		counter("events_total", "Events read from the kernel side.", c.Events, nil),
		counter("bytes_total", "Bytes of payload read from the kernel side, before redaction and minimisation.", c.Bytes, nil),
		counter("batches_total", "Batches handed to the send buffer.", c.Batches, nil),
		counter("published_total", "Batches that the stream has stored.", s.Published, nil),
		counter("policy_errors_total", "Processes whose policy the kernel side did not take.", c.PolicyErrors, nil),
		counter("verdict_errors_total", "Connections that the kernel side could not be told about.", c.VerdictErrors, nil),
		counter("connections_forgotten_total", "Connections whose state had to make room for others.", c.Forgotten, nil),
		counter("flow_samples_total", "Samples of connections' counters that were published.", c.Samples, nil),
		counter("flow_samples_without_owner_total", "Samples of connections of which no process is known: nobody moved data on them.", c.SamplesWithoutOwner, nil),
		tables{m.source},
		counter("runtimes_missed_total", "Go processes whose runtime was not looked at, because too many came at once.", c.RuntimesMissed, nil),
		gauge("send_buffer_bytes", "Bytes of batches that wait to be published.", func() float64 { return float64(s.Bytes()) }, nil),
		gauge("unstored_seconds", "Age of the oldest events that may not be in the stream yet.", m.lag, nil),
		gauge("processes", "Processes known.", func() float64 { return float64(c.Processes()) }, nil),
		gauge("connections", "Connections followed.", func() float64 { return float64(c.Connections()) }, nil),
	}
	collectors = append(collectors,
		gauge("pods_awaited", "Containers of pods of which it is not known yet whether they are watched.", func() float64 { return float64(c.PodsAwaited()) }, nil),
		gauge("pods_held_bytes", "Bytes held until pods are decided about.", func() float64 { return float64(c.PodBytes()) }, nil),
		counter("pods_given_up_total", "Containers of pods about which nobody decided within discovery.pod_wait, or before there was no more room.", c.PodsGivenUp, nil),
	)
	for _, outcome := range []pipeline.Outcome{pipeline.Shipped, pipeline.Refused, pipeline.TooLate, pipeline.NoRoom} {
		collectors = append(collectors, counter("pods_held_events_total", "Events held until their pod was decided about, by what became of them.",
			func() uint64 { return c.HeldFor(outcome) }, prometheus.Labels{"outcome": outcome.String()}))
	}
	collectors = append(collectors, objectMetrics(objectsOf())...)
	var causes []int32
	for cause := range millracev1.LossCause_name {
		causes = append(causes, cause)
	}
	slices.Sort(causes)
	for _, cause := range causes {
		name := strings.ToLower(strings.TrimPrefix(millracev1.LossCause_name[cause], "LOSS_CAUSE_"))
		collectors = append(collectors, counter("lost_total", "Events lost, by cause.",
			func() uint64 { return c.Lost(millracev1.LossCause(cause)) }, prometheus.Labels{"cause": name}),
			counter("lost_bytes_total", "Bytes of the events lost, where they are known, by cause.",
				func() uint64 { return c.LostBytes(millracev1.LossCause(cause)) }, prometheus.Labels{"cause": name}))
	}
	for cause := redact.CauseUnknown; cause < redact.CauseUnframed; cause++ {
		for _, taken := range append([]*protocols.Protocol{nil}, all.List...) {
			name := "none"
			if taken != nil {
				name = taken.Name
			}
			if taken != nil && taken.Number == 0 {
				continue // prefaces are no protocol of a connection
			}
			collectors = append(collectors, counter("connections_given_up_total",
				"Connections that capture stopped publishing, by cause and by the protocol that they were taken for.",
				func() uint64 { return c.GivenUp(cause, taken) }, prometheus.Labels{"cause": cause.String(), "protocol": name}))
		}
	}
	for _, taken := range all.List {
		if cause := redact.CauseUnframed; taken.Decoded {
			collectors = append(collectors, counter("directions_given_up_total",
				"Directions of connections that capture stopped publishing while the other direction goes on, by cause and protocol.",
				func() uint64 { return c.DirectionsGivenUp(cause, taken) }, prometheus.Labels{"cause": cause.String(), "protocol": taken.Name}))
		}
	}
	for _, f := range m.features {
		active := 0.0
		if f.Active {
			active = 1
		}
		collectors = append(collectors, gauge("kernel_feature", "Features of the kernel side: 1 if active.",
			func() float64 { return active }, prometheus.Labels{"feature": f.Name}))
	}
	unregister = func() {
		for _, collector := range collectors {
			registry.Unregister(collector)
		}
	}
	var errs []error
	for _, collector := range collectors {
		errs = append(errs, registry.Register(collector))
	}
	if err := errors.Join(errs...); err != nil {
		unregister()
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return unregister, nil
}

// tables collects how full the kernel side's tables are.
type tables struct {
	source interface{ Tables() []kernel.Table }
}

var (
	tableEntries  = prometheus.NewDesc("millrace_capture_table_entries", "Entries of a table of fixed size, where they are counted.", []string{"table"}, nil)
	tableCapacity = prometheus.NewDesc("millrace_capture_table_capacity", "Entries that a table of fixed size holds.", []string{"table"}, nil)
	tableRefused  = prometheus.NewDesc("millrace_capture_table_refused_total",
		"What found no room in a table of fixed size: events for connections, else entries. Part of lost_total of table_full.", []string{"table"}, nil)
)

// Describe implements [prometheus.Collector].
func (t tables) Describe(out chan<- *prometheus.Desc) {
	out <- tableEntries
	out <- tableCapacity
	out <- tableRefused
}

// Collect implements [prometheus.Collector].
func (t tables) Collect(out chan<- prometheus.Metric) {
	for _, table := range t.source.Tables() {
		if table.Entries >= 0 {
			out <- prometheus.MustNewConstMetric(tableEntries, prometheus.GaugeValue, float64(table.Entries), table.Name)
		}
		out <- prometheus.MustNewConstMetric(tableCapacity, prometheus.GaugeValue, float64(table.Capacity), table.Name)
		out <- prometheus.MustNewConstMetric(tableRefused, prometheus.CounterValue, float64(table.Refused.Events), table.Name)
	}
}

// noTables stand in for a kernel side where there is none.
type noTables struct{}

func (noTables) Tables() []kernel.Table { return []kernel.Table{{Name: "none"}} }

// DescribeMetrics registers capture's metrics with nothing behind them, for checks of what refers to them: dashboards
// and alerts.
func DescribeMetrics(registry *prometheus.Registry) error {
	_, err := register(registry, measured{new(pipeline.Counters), send.New(0, ""), noTables{}, func() float64 { return 0 }, []kernel.Feature{{Name: "none"}}})
	return err
}
