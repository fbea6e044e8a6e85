package processor

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/decode"
)

// Metrics counts what decoders do. One Metrics serves all partitions of an instance; it is safe for concurrent use.
type Metrics struct {
	batches, batchesLost, batchesAgain, flows prometheus.Counter
	malformed                                 *prometheus.CounterVec
	events                                    prometheus.Counter
	lostBytes, duplicateBytes                 prometheus.Counter
	hiddenBytes                               prometheus.Counter
	exchanges                                 *prometheus.CounterVec
	links                                     prometheus.Counter
	calls                                     *prometheus.CounterVec
	givenUp, forgotten                        *prometheus.CounterVec
	connections                               prometheus.Gauge
	silent                                    prometheus.Counter

	mu    sync.Mutex
	nodes map[*Processor]nodesShown
}

// nodesShown is what one partition knows of the progress of nodes.
type nodesShown struct {
	number int
	lag    int64 // of the one that is furthest behind, ns
}

// NewMetrics makes the counters and registers them with r; r may be nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_decoder_" + name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_decoder_" + name, Help: help}, labels)
	}
	m := &Metrics{
		batches:        counter("batches_total", "Raw batches that were decoded."),
		flows:          counter("flow_samples_total", "Samples of connections' counters that were passed on."),
		batchesLost:    counter("batches_lost_total", "Raw batches that never came, by gaps in their sequence."),
		batchesAgain:   counter("batches_duplicate_total", "Raw batches that came again and were dropped."),
		malformed:      vector("malformed_total", "Input that was refused, by what it was.", "what"),
		events:         counter("events_total", "Kernel events that were decoded."),
		lostBytes:      counter("stream_lost_bytes_total", "Bytes of byte streams that were wanted and never came."),
		hiddenBytes:    counter("stream_hidden_bytes_total", "Bytes that were passed over because what came before them was missing or not understood: messages in them are not seen."),
		duplicateBytes: counter("stream_duplicate_bytes_total", "Bytes of byte streams that came again and were dropped."),
		exchanges:      vector("exchanges_total", "Exchanges that were published, by protocol and outcome.", "protocol", "outcome"),
		links:          counter("links_total", "Links that were published."),
		givenUp:        vector("connections_given_up_total", "Connections that are no longer looked at, by reason and by what they were taken for.", "reason", "protocol"),
		calls:          vector("calls_total", "Calls that began, by how they were tied to the request that caused them.", "cause"),
		forgotten:      vector("state_forgotten_total", "What was forgotten because a partition's state was full, by what it was.", "what"),
		silent:         counter("nodes_silent_total", "Nodes that were waited for no longer because nothing was heard of them."),
		nodes:          map[*Processor]nodesShown{},
		connections:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_decoder_connections", Help: "Connection ends that are tracked."}),
	}
	if r != nil {
		r.MustRegister(m.batches, m.batchesLost, m.batchesAgain, m.flows, m.malformed, m.events, m.lostBytes, m.hiddenBytes, m.duplicateBytes,
			m.exchanges, m.links, m.calls, m.givenUp, m.forgotten, m.connections, m.silent,
			m.ofNodes("nodes", "Nodes that say how far they are in a partition of this instance.",
				func(sum float64, s nodesShown) float64 { return sum + float64(s.number) }),
			m.ofNodes("node_lag_seconds", "How far the one of these nodes that is furthest behind with publishing is behind the stream.",
				func(most float64, s nodesShown) float64 { return max(most, float64(s.lag)/1e9) }))
	}
	return m
}

// ofNodes is a gauge of what all partitions show.
func (m *Metrics) ofNodes(name, help string, add func(float64, nodesShown) float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_decoder_" + name, Help: help}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		all := 0.0
		for _, s := range m.nodes {
			all = add(all, s)
		}
		return all
	})
}

// show takes what a processor knows of nodes.
func (m *Metrics) show(p *Processor, s nodesShown) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.nodes[p] = s
	}
}

// hide takes away what a processor has shown.
func (m *Metrics) hide(p *Processor) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.nodes, p)
	}
}

// maxProtocols and maxOutcomes are more than the highest number of each that there is. What is beyond counts as
// unspecified; a test fails when a schema outgrows them.
const (
	maxProtocols = 64
	maxOutcomes  = 8
)

// ended counts an exchange.
func (t *tally) ended(p millracev1.Protocol, o decode.Outcome) {
	if p < 0 || p >= maxProtocols {
		p = 0
	}
	if o >= maxOutcomes {
		o = 0
	}
	t.exchanges[p][o]++
}

// tally counts in plain memory until the end of a call of the processor.
type tally struct {
	batches, batchesLost, batchesAgain, events, links, flows uint64
	silent                                                   uint64
	lostBytes, hiddenBytes, duplicateBytes                   uint64
	connections                                              int
	exchanges                                                [maxProtocols][maxOutcomes]uint64
	calls                                                    [callCauses]uint64
	malformed                                                map[string]uint64
	givenUp                                                  map[given]uint64
	forgotten                                                map[string]uint64
}

// given is why a connection is no longer looked at, and what it was taken for.
type given struct {
	reason   string
	protocol millracev1.Protocol
}

// takenFor is the name of a protocol in metrics of connections; "none" if it was taken for none.
func takenFor(number millracev1.Protocol) string {
	if p := all.Of(int32(number)); p != nil {
		return p.Name
	}
	return "none"
}

func count[K comparable](m *map[K]uint64, key K, n uint64) {
	if *m == nil {
		*m = map[K]uint64{}
	}
	(*m)[key] += n
}

func (m *Metrics) add(t *tally) {
	if m == nil {
		*t = tally{}
		return
	}
	plain := func(c prometheus.Counter, n uint64) {
		if n > 0 {
			c.Add(float64(n))
		}
	}
	plain(m.batches, t.batches)
	plain(m.batchesLost, t.batchesLost)
	plain(m.flows, t.flows)
	plain(m.batchesAgain, t.batchesAgain)
	plain(m.events, t.events)
	plain(m.links, t.links)
	plain(m.silent, t.silent)
	plain(m.lostBytes, t.lostBytes)
	plain(m.hiddenBytes, t.hiddenBytes)
	plain(m.duplicateBytes, t.duplicateBytes)
	for number := range t.exchanges {
		for outcome, n := range t.exchanges[number] {
			if n > 0 {
				m.exchanges.WithLabelValues(protocolName(number), outcomeName(outcome)).Add(float64(n))
			}
		}
	}
	for cause, n := range t.calls {
		if n > 0 {
			m.calls.WithLabelValues(callCause(cause)).Add(float64(n))
		}
	}
	for what, n := range t.malformed {
		m.malformed.WithLabelValues(what).Add(float64(n))
	}
	for g, n := range t.givenUp {
		m.givenUp.WithLabelValues(g.reason, takenFor(g.protocol)).Add(float64(n))
	}
	for what, n := range t.forgotten {
		m.forgotten.WithLabelValues(what).Add(float64(n))
	}
	m.connections.Add(float64(t.connections))
	*t = tally{}
}

func protocolName(n int) string {
	if p := all.Of(int32(n)); p != nil {
		return p.Name
	}
	return "other"
}

// callCandidate follows the values of CauseKind in tally.calls: calls with a candidate and no cause.
const (
	callCandidate = int(millracev1.CauseKind_CAUSE_KIND_INFERRED) + 1
	callCauses    = callCandidate + 1
)

func callCause(n int) string {
	return [callCauses]string{"none", "same_task", "child_task", "handoff", "inferred", "candidate"}[n]
}

func outcomeName(n int) string {
	names := [...]string{"", "complete", "closed", "reset", "lost", "expired", "one_way"}
	if n < len(names) {
		return names[n]
	}
	return "other"
}
