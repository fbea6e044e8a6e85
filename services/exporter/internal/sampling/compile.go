package sampling

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"

	"millrace.dev/lib/config"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// compiler makes evaluators of the configuration.
type compiler struct {
	p          *Policies
	partitions int
}

// bucket makes a bucket of that name.
func (c *compiler) bucket(name string) int {
	c.p.buckets = append(c.p.buckets, name)
	return len(c.p.buckets) - 1
}

// compile makes a policy. above is the path of names of the policies that it is inside of.
func (c *compiler) compile(cfg *config.SamplingPolicy, above string) (evaluator, error) {
	path := above + "/" + cfg.Name
	switch cfg.Type {
	case "always_sample":
		return always{}, nil
	case "trace_flags":
		return traceFlags{}, nil
	case "latency":
		return latency{uint64(cfg.Latency.ThresholdMS), uint64(cfg.Latency.UpperThresholdMS)}, nil
	case "span_count":
		return spanCount{cfg.SpanCount.MinSpans, cfg.SpanCount.MaxSpans}, nil
	case "probabilistic":
		return newChance(cfg.Probabilistic), nil
	case "status_code":
		return newStatus(cfg.StatusCode), nil
	case "numeric_attribute":
		return c.numeric(cfg.NumericAttribute)
	case "string_attribute":
		return c.text(cfg.StringAttribute)
	case "boolean_attribute":
		return c.boolean(cfg.BooleanAttribute)
	case "trace_state":
		return c.traceState(cfg.TraceState)
	case "kernel":
		return c.kernel(cfg.Kernel)
	case "rate_limiting":
		l := newLimit(cfg.RateLimiting.SpansPerSecond, cfg.RateLimiting.BurstCapacity, c.partitions)
		return &rateLimiting{limit: l, bucket: c.bucket(path)}, nil
	case "bytes_limiting":
		l := newLimit(cfg.BytesLimiting.BytesPerSecond, cfg.BytesLimiting.BurstCapacity, c.partitions)
		return &rateLimiting{limit: l, bucket: c.bucket(path), bytes: true}, nil
	case "and":
		return c.all(cfg.And.Policies, sampled, path)
	case "drop":
		return c.all(cfg.Drop.Policies, dropped, path)
	case "not":
		e, err := c.compile(cfg.Not.Policy, path)
		return not{e}, err
	case "composite":
		return c.composite(cfg.Composite, path)
	}
	return nil, fmt.Errorf("type %q is not known", cfg.Type)
}

func (c *compiler) all(policies []config.SamplingPolicy, met vote, path string) (evaluator, error) {
	a := &all{met: met}
	for i := range policies {
		e, err := c.compile(&policies[i], path)
		if err != nil {
			return nil, err
		}
		a.policies = append(a.policies, e)
	}
	return a, nil
}

func (c *compiler) composite(cfg *config.CompositePolicy, path string) (evaluator, error) {
	e := &composite{total: newShare(cfg.MaxTotalSpansPerSecond, 1, 1, c.partitions), totalBucket: c.bucket(path)}
	order := slices.Clone(cfg.PolicyOrder)
	for i := range cfg.Policies {
		if !slices.Contains(order, cfg.Policies[i].Name) {
			order = append(order, cfg.Policies[i].Name)
		}
	}
	for _, name := range order {
		i := slices.IndexFunc(cfg.Policies, func(p config.SamplingPolicy) bool { return p.Name == name })
		policy, err := c.compile(&cfg.Policies[i], path)
		if err != nil {
			return nil, err
		}
		share := newShare(cfg.MaxTotalSpansPerSecond, 1, int64(len(cfg.Policies)), c.partitions)
		for _, a := range cfg.RateAllocation {
			if a.Policy == name && a.Percent > 0 {
				share = newShare(cfg.MaxTotalSpansPerSecond, a.Percent, 100, c.partitions)
			}
		}
		e.parts = append(e.parts, part{policy, share, c.bucket(path + "/" + name + " share")})
	}
	return e, nil
}

// defaultSalt is that of the Collector.
const defaultSalt = "default-hash-seed"

func newChance(cfg *config.ProbabilisticPolicy) *chance {
	salt := cfg.HashSalt
	if salt == "" {
		salt = defaultSalt
	}
	// As the Collector rounds it: all bits of the greatest number, times the ratio.
	boundary := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
	threshold, _ := boundary.Mul(boundary, big.NewFloat(cfg.SamplingPercentage/100)).Uint64()
	return &chance{salt: []byte(salt), threshold: threshold}
}

func newStatus(cfg *config.StatusCodePolicy) status {
	var s status
	for _, code := range cfg.StatusCodes {
		switch code {
		case "UNSET":
			s |= 1 << millracev1.StatusCode_STATUS_CODE_UNSPECIFIED
		case "OK":
			s |= 1 << millracev1.StatusCode_STATUS_CODE_OK
		case "ERROR":
			s |= 1 << millracev1.StatusCode_STATUS_CODE_ERROR
		}
	}
	return s
}

func (c *compiler) numeric(cfg *config.NumericAttributePolicy) (evaluator, error) {
	least, greatest := int64(math.MinInt64), int64(math.MaxInt64)
	if cfg.MinValue != 0 {
		least = cfg.MinValue
	}
	if cfg.MaxValue != 0 {
		greatest = cfg.MaxValue
	}
	index, err := c.p.conditions.add(cfg.Key, func(v *value, _ memory) bool {
		if v.kind == integer {
			return int64(v.number) >= least && int64(v.number) <= greatest
		}
		number, ok := v.float()
		return ok && (cfg.MinValue == 0 || number >= float64(least)) && (cfg.MaxValue == 0 || number <= float64(greatest))
	})
	return &anyOf{[]int{index}, cfg.InvertMatch}, err
}

func (c *compiler) boolean(cfg *config.BooleanAttributePolicy) (evaluator, error) {
	want := cfg.Value
	index, err := c.p.conditions.add(cfg.Key, func(v *value, _ memory) bool { return v.kind == boolean && (v.number != 0) == want })
	return &anyOf{[]int{index}, cfg.InvertMatch}, err
}

// defaultRemembered is the number of results of regular expressions that are remembered, as in the Collector.
const defaultRemembered = 128

func (c *compiler) text(cfg *config.StringAttributePolicy) (evaluator, error) {
	values := set(cfg.Values)
	matches := func(v *value, _ memory) bool {
		_, found := values[string(v.text)]
		return v.kind == text && found
	}
	if cfg.EnabledRegexMatching {
		expressions := make([]*regexp.Regexp, len(cfg.Values))
		for i, expression := range cfg.Values {
			var err error
			if expressions[i], err = regexp.Compile(expression); err != nil {
				return nil, fmt.Errorf("string_attribute.values[%d]: %w", i, err)
			}
		}
		size := cfg.CacheMaxSize
		if size == 0 {
			size = defaultRemembered
		}
		c.p.conditions.memories = append(c.p.conditions.memories, size)
		slot := len(c.p.conditions.memories) - 1
		matches = func(v *value, m memory) bool {
			return v.kind == text && len(v.text) > 0 && m[slot].match(expressions, v.text)
		}
	}
	index, err := c.p.conditions.add(cfg.Key, matches)
	return &anyOf{[]int{index}, cfg.InvertMatch}, err
}

// maxTracestateEntry is the most that key, "=" and value may take together in a tracestate.
const maxTracestateEntry = 256

func (c *compiler) traceState(cfg *config.TraceStatePolicy) (evaluator, error) {
	index, err := c.p.conditions.next()
	if err != nil {
		return nil, err
	}
	values := set(cfg.Values)
	for v := range values {
		if len(cfg.Key)+len(v) >= maxTracestateEntry {
			delete(values, v)
		}
	}
	c.p.conditions.tracestates = append(c.p.conditions.tracestates, stateCondition{index, cfg.Key, values})
	return &anyOf{[]int{index}, false}, nil
}
