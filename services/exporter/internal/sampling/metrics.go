package sampling

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the sampler, shared by its partitions and safe for concurrent use. After a crash, what is decided again is
// counted again.
type Metrics struct {
	malformed *prometheus.CounterVec

	duplicates, earlyTraces, earlyBytes, lateKept, lateDropped, spansKept, spansDropped prometheus.Counter

	traces, bytes prometheus.Gauge
	latency       prometheus.Histogram

	// Children of vectors, looked up once: votes by policy, and traces by what decided, kept or not.
	votes   [][votes]prometheus.Counter
	decided [2][]prometheus.Counter
}

var voteNames = [votes]string{"not_sampled", "sampled", "dropped", "inverted_not_sampled", "inverted_sampled"}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer, policies *Policies) (*Metrics, error) {
	var all []prometheus.Collector
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sampler_" + name + "_total", Help: help}, labels)
		all = append(all, v)
		return v
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_sampler_" + name, Help: help})
		all = append(all, g)
		return g
	}
	m := &Metrics{
		malformed: vector("malformed", "Batches and spans that could not be understood, by what was wrong.", "what"),
		traces:    gauge("waiting_traces", "Traces that wait for a decision."),
		bytes:     gauge("waiting_bytes", "Memory of traces that wait for a decision, and of their resources."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "millrace_sampler_decision_seconds", Help: "Time of the stream from a trace's first span to its decision.",
			Buckets: []float64{0.1, 0.5, 1, 2, 5, 8, 10, 10.5, 11, 12, 15, 20, 30, 60, 120, 600},
		}),
	}
	all = append(all, m.latency)
	m.duplicates = vector("duplicates", "Spans dropped because their trace had them.").WithLabelValues()
	early := vector("early_decisions", "Traces decided before their time, by the limit that was reached.", "limit")
	m.earlyTraces, m.earlyBytes = early.WithLabelValues("num_traces"), early.WithLabelValues("max_bytes")
	late := vector("late_spans", "Spans that came after their trace's decision, which they follow.", "decision")
	m.lateKept, m.lateDropped = late.WithLabelValues("kept"), late.WithLabelValues("dropped")
	spans := vector("spans", "Spans by the decision on their trace.", "decision")
	m.spansKept, m.spansDropped = spans.WithLabelValues("kept"), spans.WithLabelValues("dropped")
	decisions := vector("policy_decisions", "What each policy said of traces.", "policy", "decision")
	traces := vector("traces", "Traces by decision and by the policy that decided: head is the trace's context, none that no policy wanted it.",
		"decision", "policy")
	m.votes = make([][votes]prometheus.Counter, len(policies.names))
	for i, name := range policies.names {
		for v := range votes {
			m.votes[i][v] = decisions.WithLabelValues(name, voteNames[v])
		}
	}
	for by := nobodyDecided; by < len(policies.names); by++ {
		reason := policies.reason(decision{by: by})
		m.decided[0] = append(m.decided[0], traces.WithLabelValues("dropped", reason))
		m.decided[1] = append(m.decided[1], traces.WithLabelValues("kept", reason))
	}
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the sampler: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) heard(policy int, v vote) { m.votes[policy][v].Inc() }

// decision counts a trace that was decided on at a time of the stream.
func (m *Metrics) decision(v decision, t *trace, now int64) {
	kept := 0
	if v.kept {
		kept = 1
		m.spansKept.Add(float64(t.spans))
	} else {
		m.spansDropped.Add(float64(t.spans))
	}
	m.decided[kept][v.by-nobodyDecided].Inc()
	m.latency.Observe(float64(now-t.first) / 1e9)
}

// shown is what a sampler adds to the gauges.
type shown struct{ traces, bytes int }

// show replaces a sampler's part of the gauges.
func (m *Metrics) show(old *shown, now shown) {
	if *old != now {
		m.traces.Add(float64(now.traces - old.traces))
		m.bytes.Add(float64(now.bytes - old.bytes))
		*old = now
	}
}

func (s *Sampler) show() {
	s.metrics.show(&s.shown, shown{len(s.waiting.byID), s.waiting.bytes + s.resources.bytes})
}
