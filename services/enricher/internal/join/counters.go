package join

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Counters are the enricher's own metrics. They are shared by partitions and safe for concurrent use.
type Counters struct {
	// Malformed records and facts, by what was wrong.
	Malformed *prometheus.CounterVec
	// Spans emitted, by side and by how the trace was found.
	spans *prometheus.CounterVec
	// Paired and unpaired spans by side.
	pairs *prometheus.CounterVec
	// Pending entries and entries remembered.
	state *prometheus.GaugeVec
	// Seconds by which waits are behind.
	held *prometheus.GaugeVec

	flowsJoined, flowsForgotten, flowsLate prometheus.Counter

	Duplicates, Early, Late, Conflicts, Unfinished, Identities, Unnamed prometheus.Counter

	// Children of the vectors, looked up once: [side][how], [side][paired].
	bySource [3][6]prometheus.Counter
	byPair   [3][2]prometheus.Counter
}

// NewCounters makes the counters and registers them.
func NewCounters(registry prometheus.Registerer) (*Counters, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_enricher_" + name + "_total", Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_enricher_" + name + "_total", Help: help}, labels)
	}
	c := &Counters{
		Malformed:      vector("malformed", "Batches and records that could not be understood, by what was wrong.", "what"),
		spans:          vector("spans", "Spans emitted, by side and by what decided their trace.", "side", "resolved_by"),
		pairs:          vector("paired", "Spans emitted with (true) or without (false) the other side's exchange at hand.", "side", "paired"),
		Duplicates:     counter("duplicates", "Exchanges dropped because that side of them had been seen."),
		Early:          counter("early_decisions", "Exchanges decided before their time because enricher.max_pending was reached."),
		Late:           counter("late_clients", "Client exchanges first heard of after their trace had been assumed."),
		Conflicts:      counter("trace_conflicts", "Traces of causes that came after another trace had been announced."),
		Unfinished:     counter("unfinished", "Requests that started and were not heard of again."),
		flowsJoined:    counter("flows_joined", "Ends of connections that were counted from when they were first heard of on."),
		flowsForgotten: counter("flows_forgotten", "Connections that had to make room because network.cache_max_flows was reached."),
		flowsLate:      counter("flow_samples_late", "Samples of connections that came so late that they may have been counted before."),
		Identities:     counter("identities", "Answers of the cluster about pods and addresses that said something new."),
		Unnamed:        counter("unnamed", "Spans of pods that went out before the cluster had said anything of the pod."),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "millrace_enricher_exchanges", Help: "Exchanges held, by partition and state: pending or remembered.",
		}, []string{"partition", "state"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "millrace_enricher_held_seconds",
			Help: "By how much the waits of a partition are prolonged because a partition of the decoder or a node's capture is behind.",
		}, []string{"partition"}),
	}
	for _, collector := range []prometheus.Collector{
		c.Malformed, c.spans, c.pairs, c.state, c.held, c.Duplicates, c.Early, c.Late, c.Conflicts, c.Unfinished,
		c.Identities, c.Unnamed, c.flowsJoined, c.flowsForgotten, c.flowsLate,
	} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics of the enricher: %w", err)
		}
	}
	for side, name := range map[millracev1.Side]string{millracev1.Side_SIDE_CLIENT: "client", millracev1.Side_SIDE_SERVER: "server"} {
		for i, source := range []string{"", "context", "root", "cause", "assumed", "pair"} {
			if i > 0 {
				c.bySource[side][i] = c.spans.WithLabelValues(name, source)
			}
		}
		c.byPair[side][0], c.byPair[side][1] = c.pairs.WithLabelValues(name, "false"), c.pairs.WithLabelValues(name, "true")
	}
	return c, nil
}

// byPairing is the index in bySource of server spans whose trace came from their client.
const byPairing = 5

func (c *Counters) emitted(e *entry, side millracev1.Side, other *half) {
	source := int(e.how)
	if side == millracev1.Side_SIDE_SERVER && e.client.started && (e.how == byRoot || e.how == byCause) {
		source = byPairing
	}
	c.bySource[side][source].Inc()
	if other.exchange != nil {
		c.byPair[side][1].Inc()
	} else {
		c.byPair[side][0].Inc()
	}
}

// batchMalformed counts a batch, or a part of one, that could not be read, or that has a version which is not
// understood.
func (c *Counters) batchMalformed(version uint32) {
	if version > SchemaVersion {
		c.Malformed.WithLabelValues("version").Inc()
	} else {
		c.Malformed.WithLabelValues("batch").Inc()
	}
}
