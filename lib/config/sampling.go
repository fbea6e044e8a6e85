package config

import (
	"slices"
	"strconv"
	"time"
)

// Values of sampling.head.
const (
	HeadAuto    = "auto"
	HeadRespect = "respect"
	HeadIgnore  = "ignore"
)

// Sampling keeps whole traces or drops them, once they are complete. Policies are those of the OpenTelemetry
// Collector's tail sampling processor. See sampling.md.
type Sampling struct {
	// DecisionWait is how long after its first span a trace is decided on.
	DecisionWait time.Duration `yaml:"decision_wait" range:"100ms..1h"`
	// NumTraces bounds the traces that wait for a decision in one partition; beyond it the oldest is decided early.
	NumTraces int `yaml:"num_traces" range:"1..100000000"`
	// MaxBytes bounds the memory of the traces that wait for a decision in one partition; beyond it the oldest is
	// decided early.
	MaxBytes ByteSize `yaml:"max_bytes" range:"64KiB..512MiB"`
	// DecisionCache remembers decisions, for spans that come after them.
	DecisionCache DecisionCache `yaml:"decision_cache"`
	// Head is what becomes of a trace whose trace context says that it is not sampled: respect drops it, ignore leaves
	// it to the policies. auto is respect where there are policies; without policies no trace is looked at, unless this
	// is respect.
	Head string `yaml:"head" oneof:"auto respect ignore"`
	// Policies: a trace is kept when one of them wants it. Empty: every trace is kept.
	Policies []SamplingPolicy `yaml:"policies"`
}

// Enabled reports whether spans go through the sampler, so that destinations read what it kept, and only kept traces
// have examples.
func (s *Sampling) Enabled() bool { return len(s.Policies) > 0 || s.Head == HeadRespect }

// RespectsHead reports whether traces whose context says that they are not sampled are dropped.
func (s *Sampling) RespectsHead() bool { return s.Enabled() && s.Head != HeadIgnore }

// Samples reports whether spans go through the sampler: policies of traces, or rules of discovery, ask for it.
func (c *Config) Samples() bool {
	return c.Sampling.Enabled() || slices.ContainsFunc(c.Discovery.Services, func(s Service) bool { return s.Sampling != "" })
}

// SampledShare gives the share of traces that a rule keeps, from 0 to 1; ok is false where it names a policy or
// nothing.
func (s Service) SampledShare() (share float64, ok bool) {
	share, err := strconv.ParseFloat(s.Sampling, 64)
	return share, err == nil
}

// DecisionCache is how many decisions are remembered in one partition.
type DecisionCache struct {
	// SampledCacheSize is the number of kept traces remembered, at least; up to twice as many. 0: none.
	SampledCacheSize int `yaml:"sampled_cache_size" range:"0..10000000"`
	// NonSampledCacheSize is the number of dropped traces remembered, at least; up to twice as many. 0: none.
	NonSampledCacheSize int `yaml:"non_sampled_cache_size" range:"0..10000000"`
}

// SamplingPolicy is one reason to keep a trace, or with type drop to drop it.
type SamplingPolicy struct {
	// Name of the policy, for metrics; each once.
	Name string `yaml:"name" check:"required"`
	// Type of the policy; the section of the same name holds its settings. always_sample and trace_flags (a span's
	// context says that it is sampled) have none.
	Type string `yaml:"type" check:"required" oneof:"always_sample latency numeric_attribute probabilistic status_code string_attribute boolean_attribute rate_limiting bytes_limiting span_count trace_state trace_flags kernel and not drop composite"`
	// Latency keeps traces that took longer.
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
	// BytesLimiting keeps traces up to a rate of bytes.
	BytesLimiting *BytesLimitingPolicy `yaml:"bytes_limiting"`
	// SpanCount keeps traces of a number of spans.
	SpanCount *SpanCountPolicy `yaml:"span_count"`
	// TraceState keeps traces with a value in their tracestate.
	TraceState *TraceStatePolicy `yaml:"trace_state"`
	// Kernel keeps traces with symptoms that the kernel saw.
	Kernel *KernelPolicy `yaml:"kernel"`
	// And keeps traces that all of its policies keep.
	And *AndPolicy `yaml:"and"`
	// Not keeps traces that its policy does not keep.
	Not *NotPolicy `yaml:"not"`
	// Drop drops traces that all of its policies keep, whatever others say. Not inside of another policy.
	Drop *DropPolicy `yaml:"drop"`
	// Composite keeps traces that one of its policies keeps, up to a rate of each. Not inside of another policy.
	Composite *CompositePolicy `yaml:"composite"`
	// OTTLCondition of the Collector is not supported: to set it is an error.
	OTTLCondition map[string]any `yaml:"ottl_condition"`
}

// LatencyPolicy is by the time from the first start to the last end of a trace's spans.
type LatencyPolicy struct {
	// ThresholdMS is the duration above which traces are kept, in milliseconds.
	ThresholdMS int `yaml:"threshold_ms" range:"0..86400000"`
	// UpperThresholdMS is the longest that is kept, in milliseconds. 0: no limit.
	UpperThresholdMS int `yaml:"upper_threshold_ms" range:"0..86400000"`
}

// NumericAttributePolicy is by a numeric attribute of a span or its resource.
type NumericAttributePolicy struct {
	// Key of the attribute.
	Key string `yaml:"key" check:"required"`
	// MinValue that is kept. 0: no limit.
	MinValue int64 `yaml:"min_value"`
	// MaxValue that is kept. 0: no limit.
	MaxValue int64 `yaml:"max_value"`
	// InvertMatch keeps traces without such an attribute, and drops those with it whatever other policies say.
	InvertMatch bool `yaml:"invert_match"`
}

// ProbabilisticPolicy is by chance: a hash of the trace id.
type ProbabilisticPolicy struct {
	// SamplingPercentage of the traces that are kept.
	SamplingPercentage float64 `yaml:"sampling_percentage" range:"0..100"`
	// HashSalt makes the choice another one. With the same salt and percentage the Collector chooses the same traces.
	// Empty: the Collector's default.
	HashSalt string `yaml:"hash_salt"`
}

// StatusCodePolicy is by the status of spans.
type StatusCodePolicy struct {
	// StatusCodes: OK, ERROR, UNSET.
	StatusCodes []string `yaml:"status_codes" check:"required" oneof:"OK ERROR UNSET"`
}

// StringAttributePolicy is by a string attribute of a span or its resource.
type StringAttributePolicy struct {
	// Key of the attribute.
	Key string `yaml:"key" check:"required"`
	// Values that are kept.
	Values []string `yaml:"values" check:"required"`
	// EnabledRegexMatching reads values as regular expressions, which match any part of the attribute unless they have
	// ^ and $.
	EnabledRegexMatching bool `yaml:"enabled_regex_matching"`
	// CacheMaxSize is how many results of regular expressions are remembered. 0: 128.
	CacheMaxSize int `yaml:"cache_max_size" range:"0..1000000"`
	// InvertMatch keeps traces without such an attribute, and drops those with it whatever other policies say.
	InvertMatch bool `yaml:"invert_match"`
}

// BooleanAttributePolicy is by a boolean attribute of a span or its resource.
type BooleanAttributePolicy struct {
	// Key of the attribute.
	Key string `yaml:"key" check:"required"`
	// Value that is kept.
	Value bool `yaml:"value"`
	// InvertMatch keeps traces without such an attribute, and drops those with it whatever other policies say.
	InvertMatch bool `yaml:"invert_match"`
}

// RateLimitingPolicy is by the rate of spans, over all partitions.
type RateLimitingPolicy struct {
	// SpansPerSecond that are kept at most, on average.
	SpansPerSecond int64 `yaml:"spans_per_second" range:"1..1000000000"`
	// BurstCapacity is how many spans may be kept at once. A trace of more is never kept. 0: twice spans_per_second.
	BurstCapacity int64 `yaml:"burst_capacity" range:"0..1000000000"`
}

// BytesLimitingPolicy is by the rate of bytes of spans as they are on the bus, over all partitions.
type BytesLimitingPolicy struct {
	// BytesPerSecond that are kept at most, on average.
	BytesPerSecond int64 `yaml:"bytes_per_second" range:"1..1000000000000"`
	// BurstCapacity is how many bytes may be kept at once. A larger trace is never kept. 0: twice bytes_per_second.
	BurstCapacity int64 `yaml:"burst_capacity" range:"0..1000000000000"`
}

// SpanCountPolicy is by the number of spans.
type SpanCountPolicy struct {
	// MinSpans is the least number that is kept.
	MinSpans int `yaml:"min_spans" range:"0..1000000000"`
	// MaxSpans is the greatest number that is kept. 0: no limit.
	MaxSpans int `yaml:"max_spans" range:"0..1000000000"`
}

// TraceStatePolicy is by an entry of the W3C tracestate.
type TraceStatePolicy struct {
	// Key of the entry.
	Key string `yaml:"key" check:"required"`
	// Values that are kept.
	Values []string `yaml:"values" check:"required"`
}

// KernelPolicy is by what the kernel saw of a trace's requests. A trace is kept when one span shows one of the symptoms
// that are set; 0 and an empty list do not look.
type KernelPolicy struct {
	// MinRetransmits is the least number of TCP segments retransmitted during a request (millrace.tcp.retransmits).
	MinRetransmits int `yaml:"min_retransmits" range:"0..1000000000"`
	// MinSRTTMS is the least smoothed round-trip time of the connection, in milliseconds (millrace.tcp.srtt).
	MinSRTTMS float64 `yaml:"min_srtt_ms" range:"0..86400000"`
	// MinNetworkMS is the least time between the two ends of a request, in milliseconds (millrace.network.duration),
	// without its wait in the server's socket. Needs capture.arrival_times at both ends.
	MinNetworkMS float64 `yaml:"min_network_ms" range:"0..86400000"`
	// MinNetworkShare is the least share of that time in the client's duration, from 0 to 1. With min_network_ms both
	// must hold for one span.
	MinNetworkShare float64 `yaml:"min_network_share" range:"0..1"`
	// MinQueueMS is the least time that a request waited in the server's socket until the server read it, in
	// milliseconds (millrace.server.queue.duration). Needs capture.arrival_times at the server, and traces.anatomy.
	MinQueueMS float64 `yaml:"min_queue_ms" range:"0..86400000"`
	// Outcomes: how a request ended that got no complete response (millrace.outcome).
	Outcomes []string `yaml:"outcomes" oneof:"closed reset lost expired one_way"`
	// MinLostBytes is the least number of bytes of a request that capture lost (millrace.lost_bytes).
	MinLostBytes int64 `yaml:"min_lost_bytes" range:"0..1000000000000"`
}

// AndPolicy is all of several.
type AndPolicy struct {
	// Policies, of any type but drop and composite.
	Policies []SamplingPolicy `yaml:"and_sub_policy" check:"required"`
}

// NotPolicy is the opposite of one.
type NotPolicy struct {
	// Policy, of any type but drop and composite.
	Policy *SamplingPolicy `yaml:"not_sub_policy"`
}

// DropPolicy is all of several.
type DropPolicy struct {
	// Policies, of any type but drop and composite.
	Policies []SamplingPolicy `yaml:"drop_sub_policy" check:"required"`
}

// CompositePolicy is the first of several that keeps a trace, within a rate.
type CompositePolicy struct {
	// MaxTotalSpansPerSecond that are kept at most, over all partitions.
	MaxTotalSpansPerSecond int64 `yaml:"max_total_spans_per_second" range:"1..1000000000"`
	// PolicyOrder is the names of the policies in the order in which they are asked; those not named come after, as
	// they are written.
	PolicyOrder []string `yaml:"policy_order"`
	// Policies, of any type but drop and composite.
	Policies []SamplingPolicy `yaml:"composite_sub_policy" check:"required"`
	// RateAllocation is how much of the total each policy gets. Not named, or 0 percent: an equal part.
	RateAllocation []RateAllocation `yaml:"rate_allocation"`
}

// RateAllocation is the share of one policy.
type RateAllocation struct {
	// Policy by its name.
	Policy string `yaml:"policy" check:"required"`
	// Percent of max_total_spans_per_second.
	Percent int64 `yaml:"percent" range:"0..100"`
}
