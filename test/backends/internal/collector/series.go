package collector

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Series is one series of a metric after everything that was received of it.
type Series struct {
	Name, Unit  string
	Resource    map[string]string
	Attributes  map[string]string
	Temporality pmetric.AggregationTemporality
	Exponential bool
	// Count of a histogram, Sum of a histogram or a sum, value of a gauge: the newest of cumulative points, the total
	// of deltas.
	Count uint64
	Sum   float64
	// Points is how many were received.
	Points    int
	Exemplars []string // trace ids

	start, end pcommon.Timestamp
}

// Merge joins what was received into series, and fails where points of a series contradict each other: a cumulative one
// that goes back, a delta that overlaps the one before.
func Merge(received []pmetric.Metrics) (map[string]*Series, error) {
	all := map[string]*Series{}
	for _, m := range received {
		for _, rm := range m.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, metric := range sm.Metrics().All() {
					if err := merge(all, plain(rm.Resource().Attributes()), metric); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return all, nil
}

func merge(all map[string]*Series, resource map[string]string, m pmetric.Metric) error {
	add := func(attributes pcommon.Map, temporality pmetric.AggregationTemporality, p point) error {
		key := m.Name() + text(resource) + text(plain(attributes))
		s := all[key]
		if s == nil {
			s = &Series{Name: m.Name(), Unit: m.Unit(), Resource: resource, Attributes: plain(attributes), Temporality: temporality}
			all[key] = s
		}
		if err := s.add(p); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	}
	switch m.Type() {
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			one := point{start: p.StartTimestamp(), end: p.Timestamp(), sum: value(p), exemplars: p.Exemplars()}
			if err := add(p.Attributes(), m.Sum().AggregationTemporality(), one); err != nil {
				return err
			}
		}
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			if err := add(p.Attributes(), pmetric.AggregationTemporalityUnspecified, point{end: p.Timestamp(), sum: value(p)}); err != nil {
				return err
			}
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			total := uint64(0)
			for _, n := range p.BucketCounts().All() {
				total += n
			}
			if total != p.Count() {
				return fmt.Errorf("%s: buckets have %d, the count is %d", m.Name(), total, p.Count())
			}
			one := point{start: p.StartTimestamp(), end: p.Timestamp(), count: p.Count(), sum: p.Sum(), exemplars: p.Exemplars()}
			if err := add(p.Attributes(), m.Histogram().AggregationTemporality(), one); err != nil {
				return err
			}
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			total := p.ZeroCount()
			for _, n := range p.Positive().BucketCounts().All() {
				total += n
			}
			if total != p.Count() {
				return fmt.Errorf("%s: buckets have %d, the count is %d", m.Name(), total, p.Count())
			}
			one := point{
				start: p.StartTimestamp(), end: p.Timestamp(), count: p.Count(), sum: p.Sum(), exemplars: p.Exemplars(), exponential: true,
			}
			if err := add(p.Attributes(), m.ExponentialHistogram().AggregationTemporality(), one); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s: unexpected type %v", m.Name(), m.Type())
	}
	return nil
}

type point struct {
	start, end  pcommon.Timestamp
	count       uint64
	sum         float64
	exponential bool
	exemplars   pmetric.ExemplarSlice
}

func (s *Series) add(p point) error {
	defer func() { s.start, s.end = p.start, p.end }()
	s.Points++
	s.Exponential = p.exponential
	if p.exemplars != (pmetric.ExemplarSlice{}) {
		for _, e := range p.exemplars.All() {
			s.Exemplars = append(s.Exemplars, e.TraceID().String())
		}
	}
	switch s.Temporality {
	case pmetric.AggregationTemporalityDelta:
		if s.Points > 1 && p.start < s.end {
			return fmt.Errorf("delta from %v to %v overlaps the one before, to %v", p.start, p.end, s.end)
		}
		s.Count += p.count
		s.Sum += p.sum
	default:
		if s.Points > 1 && (p.end < s.end || p.count < s.Count || p.start != s.start) {
			return fmt.Errorf("cumulative point (%v to %v, count %d) goes back from (%v to %v, count %d)", p.start, p.end, p.count, s.start, s.end, s.Count)
		}
		s.Count, s.Sum = p.count, p.sum
	}
	return nil
}

func value(p pmetric.NumberDataPoint) float64 {
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}

func plain(m pcommon.Map) map[string]string {
	out := make(map[string]string, m.Len())
	for k, v := range m.All() {
		out[k] = v.AsString()
	}
	return out
}

func text(m map[string]string) string {
	var parts []string
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}
