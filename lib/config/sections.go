package config

import "time"

// Metrics is which metrics are made, of every exchange, before any sampling.
type Metrics struct {
	// Features are the groups of metrics: application, application_host, application_process, application_span,
	// application_service_graph. network and network_inter_zone are accepted and have no effect yet. An empty list: no metrics.
	Features []string `yaml:"features" oneof:"application application_host application_process application_span application_service_graph network network_inter_zone"`
	// Interval is the length of the windows over which exchanges are added up before they are sent on.
	Interval time.Duration `yaml:"interval" range:"1s..10m"`
	// HistogramAggregation is how measurements are counted: by explicit_bucket_histogram or base2_exponential_bucket_histogram.
	HistogramAggregation string `yaml:"histogram_aggregation" oneof:"explicit_bucket_histogram base2_exponential_bucket_histogram"`
	// Buckets are the upper bounds of histograms with explicit buckets.
	Buckets Buckets `yaml:"buckets"`
	// CardinalityLimit bounds the series of one metric of one service in a window. What goes beyond is counted in a series of its own with the
	// attribute otel.metric.overflow.
	CardinalityLimit int `yaml:"cardinality_limit" range:"1..1000000"`
	// MaxSeries bounds the series of one partition in a window, in the same way.
	MaxSeries int `yaml:"max_series" range:"100..10000000"`
}

// Buckets are the upper bounds of explicit buckets, ascending.
type Buckets struct {
	// DurationHistogram has the bounds of durations, in seconds.
	DurationHistogram []float64 `yaml:"duration_histogram"`
	// RequestSizeHistogram has the bounds of sizes of requests, in bytes.
	RequestSizeHistogram []float64 `yaml:"request_size_histogram"`
	// ResponseSizeHistogram has the bounds of sizes of responses, in bytes.
	ResponseSizeHistogram []float64 `yaml:"response_size_histogram"`
}

// Network is flows between addresses, below the level of requests.
type Network struct {
	// Enable network flows.
	Enable bool `yaml:"enable" inactive:"true"`
	// Source of flows: socket_filter or tc.
	Source string `yaml:"source" inactive:"true" oneof:"socket_filter tc"`
	// Direction of flows: both, ingress or egress.
	Direction string `yaml:"direction" inactive:"true" oneof:"both ingress egress"`
}

// Attributes of spans and metrics.
type Attributes struct {
	// Kubernetes metadata.
	Kubernetes KubernetesAttributes `yaml:"kubernetes"`
	// Select attributes per metric: the key is the metric's name in either spelling, or a glob over names. Of several that match, the one
	// that names the metric wins, then the longest.
	Select map[string]AttributeSelection `yaml:"select"`
}

// KubernetesAttributes is metadata of pods and what owns them.
type KubernetesAttributes struct {
	// Enable Kubernetes metadata: autodetect (where there is a Kubernetes API), true or false.
	Enable string `yaml:"enable" inactive:"true" oneof:"autodetect true false"`
}

// AttributeSelection is which attributes a metric has. Names may be written with dots or with underscores; docs/metrics.md lists them.
type AttributeSelection struct {
	// Include these attributes; globs are allowed. Empty: the metric's default attributes.
	Include []string `yaml:"include"`
	// Exclude these of the included attributes; globs are allowed.
	Exclude []string `yaml:"exclude"`
}

// Routes say how http.route is found where the application does not tell.
type Routes struct {
	// Patterns of paths: /user/:id or /user/{id} for any one segment, /static/* for any segments at the end.
	Patterns []string `yaml:"patterns"`
	// IgnoredPatterns of paths of which no telemetry is made.
	IgnoredPatterns []string `yaml:"ignored_patterns"`
	// IgnoreMode is what is not made of ignored paths: all, metrics or traces.
	IgnoreMode string `yaml:"ignore_mode" oneof:"all metrics traces"`
	// Unmatched is the route of other paths: unset (none), path (the path itself), wildcard (/**), heuristic (segments that look like ids are
	// replaced), or low-cardinality (so are segments with too many values).
	Unmatched string `yaml:"unmatched" oneof:"unset path wildcard heuristic low-cardinality"`
	// WildcardChar replaces variable segments in heuristic and low-cardinality mode; one character.
	WildcardChar string `yaml:"wildcard_char"`
	// MaxPathSegmentCardinality is how many values a segment may have in low-cardinality mode before it becomes a wildcard.
	MaxPathSegmentCardinality int `yaml:"max_path_segment_cardinality" range:"1..100000"`
}

// EBPF holds keys of other eBPF agents that keep their meaning.
type EBPF struct {
	// HeuristicSQLDetect looks for SQL in connections of unknown protocol.
	HeuristicSQLDetect bool `yaml:"heuristic_sql_detect" inactive:"true"`
	// MySQLPreparedStatementsCacheSize is how many prepared statements of a MySQL connection are remembered.
	MySQLPreparedStatementsCacheSize int `yaml:"mysql_prepared_statements_cache_size" inactive:"true" range:"1..1000000"`
	// PostgresPreparedStatementsCacheSize is how many prepared statements of a PostgreSQL connection are remembered.
	PostgresPreparedStatementsCacheSize int `yaml:"postgres_prepared_statements_cache_size" inactive:"true" range:"1..1000000"`
	// ContextPropagation writes trace context into traffic: disabled, headers, ip, http, tcp or all. Millrace joins traces without it.
	ContextPropagation string `yaml:"context_propagation" inactive:"true" oneof:"disabled headers ip http tcp all"`
}

// Sampling keeps whole traces or drops them, once they are complete. Policies are those of the OpenTelemetry Collector's tail sampling
// processor.
type Sampling struct {
	// DecisionWait is how long after its first span a trace is decided on.
	DecisionWait time.Duration `yaml:"decision_wait" inactive:"true" range:"100ms..1h"`
	// NumTraces bounds the traces that wait for a decision.
	NumTraces int `yaml:"num_traces" inactive:"true" range:"1..100000000"`
	// Policies: a trace is kept when one of them wants it. Empty: every trace is kept.
	Policies []SamplingPolicy `yaml:"policies" inactive:"true"`
}

// SamplingPolicy is one reason to keep a trace.
type SamplingPolicy struct {
	// Name of the policy, for metrics.
	Name string `yaml:"name" check:"required"`
	// Type of the policy; the section of the same name holds its settings.
	Type string `yaml:"type" check:"required" oneof:"always_sample latency numeric_attribute probabilistic status_code string_attribute boolean_attribute rate_limiting"`
	// Latency keeps traces that took at least so long.
	Latency *LatencyPolicy `yaml:"latency"`
	// NumericAttribute keeps traces with an attribute in a range.
	NumericAttribute *NumericAttributePolicy `yaml:"numeric_attribute"`
	// Probabilistic keeps a share of the traces.
	Probabilistic *ProbabilisticPolicy `yaml:"probabilistic"`
	// StatusCode keeps traces with a span of one of these states.
	StatusCode *StatusCodePolicy `yaml:"status_code"`
	// StringAttribute keeps traces with an attribute of one of these values.
	StringAttribute *StringAttributePolicy `yaml:"string_attribute"`
	// BooleanAttribute keeps traces with an attribute of this value.
	BooleanAttribute *BooleanAttributePolicy `yaml:"boolean_attribute"`
	// RateLimiting keeps traces up to a rate of spans.
	RateLimiting *RateLimitingPolicy `yaml:"rate_limiting"`
}

// LatencyPolicy is by duration.
type LatencyPolicy struct {
	// ThresholdMS is the shortest duration that is kept, in milliseconds.
	ThresholdMS int `yaml:"threshold_ms" range:"0..86400000"`
	// UpperThresholdMS is the longest that is kept, in milliseconds. 0: no limit.
	UpperThresholdMS int `yaml:"upper_threshold_ms" range:"0..86400000"`
}

// NumericAttributePolicy is by a numeric attribute.
type NumericAttributePolicy struct {
	// Key of the attribute.
	Key string `yaml:"key" check:"required"`
	// MinValue that is kept.
	MinValue int64 `yaml:"min_value"`
	// MaxValue that is kept.
	MaxValue int64 `yaml:"max_value"`
}

// ProbabilisticPolicy is by chance.
type ProbabilisticPolicy struct {
	// SamplingPercentage of the traces that are kept.
	SamplingPercentage float64 `yaml:"sampling_percentage" range:"0..100"`
}

// StatusCodePolicy is by status.
type StatusCodePolicy struct {
	// StatusCodes: OK, ERROR, UNSET.
	StatusCodes []string `yaml:"status_codes" check:"required" oneof:"OK ERROR UNSET"`
}

// StringAttributePolicy is by a string attribute.
type StringAttributePolicy struct {
	// Key of the attribute.
	Key string `yaml:"key" check:"required"`
	// Values that are kept.
	Values []string `yaml:"values" check:"required"`
	// EnabledRegexMatching reads values as regular expressions.
	EnabledRegexMatching bool `yaml:"enabled_regex_matching"`
	// InvertMatch keeps traces without such an attribute.
	InvertMatch bool `yaml:"invert_match"`
}

// BooleanAttributePolicy is by a boolean attribute.
type BooleanAttributePolicy struct {
	// Key of the attribute.
	Key string `yaml:"key" check:"required"`
	// Value that is kept.
	Value bool `yaml:"value"`
}

// RateLimitingPolicy is by rate.
type RateLimitingPolicy struct {
	// SpansPerSecond that are kept at most.
	SpansPerSecond int `yaml:"spans_per_second" range:"1..1000000000"`
}
