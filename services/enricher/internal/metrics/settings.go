package metrics

import (
	"math"
	"slices"
	"strings"
	"time"

	"millrace.dev/lib/catalog"
	"millrace.dev/lib/config"
	"millrace.dev/services/enricher/internal/route"
)

// Settings are what the configuration says, in the form that aggregating needs. They are immutable and shared by
// partitions.
type Settings struct {
	// podLevel is the least detail of resources: levelPod where metrics are of pods.
	podLevel         level
	partitions       int
	interval         int64
	cardinalityLimit int
	maxSeries        int
	// metrics by their index.
	metrics []*metric
	// policies of discovery rules by name and namespace, and that of all other services.
	policies map[[2]string]*policy
	general  *policy
	// fields are attributes of exchanges that some metric has, by name; slots are their places in facts.found plus 1,
	// by the numbers of their names.
	fields map[string]*field
	slots  []uint8
	flows  flowRules
}

// metric is one of the catalog as it is aggregated.
type metric struct {
	index uint32
	name  string
	unit  string
	form  form
	// bounds of explicit buckets, and the same in the integer unit of measurements (nanoseconds, bytes). Exponential
	// histograms choose exemplars by them.
	bounds []float64
	limits []uint64
	// exemplars are kept.
	exemplars bool
}

// form of a metric's deltas. The numbers are stored in snapshots.
type form uint8

const (
	counter form = iota
	explicit
	exponentialForm
	gauge
	forms
)

// scale is how many units of measurement make one of the metric's.
func (m *metric) scale() float64 {
	if m.unit == catalog.Seconds {
		return 1e9
	}
	return 1
}

// flowBounds are the bounds of times of connections, in seconds: round-trip times within a machine are 10 microseconds.
var flowBounds = []float64{
	0, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600, 3600,
}

// policy is what is made of the services of one discovery rule.
type policy struct {
	routes         *route.Rules
	spans, metrics bool
	// level of detail of the resource of metrics that have one.
	level level
	// plans by kind and side (0 server, 1 client); nil where nothing is measured.
	plans [kinds][2]*plan
	// infos are given once in a window for each resource.
	infos []info
	// flows is what is measured of connections.
	flows []flowMeter
}

// info is a metric of the constant 1 about a resource.
type info struct {
	metric *metric
	level  level
	// host: the name of the host is an attribute.
	host bool
}

// NewSettings compiles the configuration, which must be valid.
func NewSettings(cfg *config.Config, partitions int) *Settings {
	s := &Settings{
		partitions: partitions, interval: max(int64(cfg.Metrics.Interval), int64(time.Second)),
		cardinalityLimit: cfg.Metrics.CardinalityLimit, maxSeries: cfg.Metrics.MaxSeries,
		policies: map[[2]string]*policy{}, fields: map[string]*field{}, flows: newFlowRules(&cfg.Network),
	}
	if cfg.Attributes.Kubernetes.Metrics == "pod" {
		s.podLevel = levelPod
	}
	for _, name := range slotted {
		s.attributeField(name)
	}
	for i := range catalog.All() {
		s.metrics = append(s.metrics, newMetric(uint32(i), &catalog.All()[i], &cfg.Metrics))
	}
	c := compiler{settings: s, config: cfg}
	s.general = c.policy(config.Service{})
	for _, rule := range cfg.Discovery.Services {
		key := [2]string{rule.Name, rule.Namespace}
		if _, found := s.policies[key]; !found && rule.Overrides() {
			s.policies[key] = c.policy(rule)
		}
	}
	return s
}

func newMetric(index uint32, c *catalog.Metric, cfg *config.Metrics) *metric {
	m := &metric{index: index, name: c.Name, unit: c.Unit}
	switch c.Kind {
	case catalog.Counter:
		m.form = counter
		return m
	case catalog.Info:
		m.form = gauge
		return m
	case catalog.Histogram:
		m.form = explicit
		if cfg.HistogramAggregation == config.ExponentialBuckets {
			m.form = exponentialForm
		}
	}
	switch {
	case slices.Contains(c.Features, catalog.Stats):
		m.bounds = flowBounds
	case c.Unit == catalog.Seconds:
		m.bounds, m.exemplars = cfg.Buckets.DurationHistogram, true
	case strings.Contains(c.Name, "response"):
		m.bounds = cfg.Buckets.ResponseSizeHistogram
	default:
		m.bounds = cfg.Buckets.RequestSizeHistogram
	}
	for _, bound := range m.bounds {
		m.limits = append(m.limits, uint64(math.Round(bound*m.scale())))
	}
	return m
}

// selection gives the attributes of a metric: as attributes.select says, of several entries that match as the one that
// names it says, else the longest.
func selection(m *catalog.Metric, selections map[string]config.AttributeSelection) []string {
	best := ""
	found := false
	for name := range selections {
		if m.Named(name) && (!found || moreSpecific(name, best)) {
			best, found = name, true
		}
	}
	if !found {
		return m.Selected(nil, nil)
	}
	return m.Selected(selections[best].Include, selections[best].Exclude)
}

func moreSpecific(a, b string) bool {
	if globA, globB := strings.ContainsAny(a, "*?["), strings.ContainsAny(b, "*?["); globA != globB {
		return globB
	}
	return len(a) > len(b) || len(a) == len(b) && a < b
}

// compiler makes policies.
type compiler struct {
	settings *Settings
	config   *config.Config
	policies uint32
	plans    uint32
}

func (c *compiler) policy(rule config.Service) *policy {
	p := &policy{
		routes: route.NewRules(c.policies, c.config.Routes, rule.Routes),
		spans:  rule.Exports == nil || slices.Contains(rule.Exports, "traces"),
	}
	c.policies++
	features := c.config.Metrics.Features
	if rule.Metrics.Features != nil {
		features = rule.Metrics.Features
	}
	if c.config.Network.Enable {
		features = append(slices.Clone(features), string(catalog.Network))
	}
	p.metrics = len(features) > 0 && (rule.Exports == nil || slices.Contains(rule.Exports, "metrics"))
	if !p.metrics {
		return p
	}
	p.level = levelOf(features, c.settings.podLevel)
	p.flows = c.flowMeters(features)
	var enabled []instrument
	for i := range catalog.All() {
		m := &catalog.All()[i]
		if !slices.ContainsFunc(m.Features, func(f catalog.Feature) bool { return slices.Contains(features, string(f)) }) {
			continue
		}
		if m.Kind == catalog.Info {
			p.infos = append(p.infos, info{
				metric: c.settings.metrics[i], level: c.level(m, p), host: slices.Contains(m.Attributes, "host.name"),
			})
		}
		for _, in := range instruments {
			if in.metric == m.Name {
				enabled = append(enabled, in)
			}
		}
	}
	for k := range kinds {
		for i, s := range []side{server, client} {
			p.plans[k][i] = c.plan(p, enabled, k, s)
		}
	}
	return p
}

// level of the resource of a metric: metrics of spans and edges are of services.
func (c *compiler) level(m *catalog.Metric, p *policy) level {
	if slices.Contains(m.Features, catalog.ApplicationSpan) || slices.Contains(m.Features, catalog.ApplicationServiceGraph) {
		return levelService
	}
	return p.level
}

// policyOf finds the rule of a process by the names that capture gave it.
func (s *Settings) policyOf(name, namespace string) *policy {
	if name != "" {
		if p := s.policies[[2]string{name, namespace}]; p != nil {
			return p
		}
	}
	return s.general
}
