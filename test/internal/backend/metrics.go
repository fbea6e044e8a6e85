package backend

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// mostMistakes bounds how many mistakes are kept: one that repeats itself does so with every point.
const mostMistakes = 50

// Point is one point of a series.
type Point struct {
	Start, Time uint64 // nanoseconds since the Unix epoch; gauges have no start
	// Count is that of a histogram. Value is the sum of a histogram, else the value.
	Count   uint64
	Value   float64
	buckets []uint64
}

func (p *Point) equal(o *Point) bool {
	return p.Start == o.Start && p.Count == o.Count && p.Value == o.Value && slices.Equal(p.buckets, o.buckets)
}

// precedes reports whether a cumulative point may come before another of a later time: from the same start nothing went
// back, and what began anew began after it.
func (p *Point) precedes(later *Point) bool {
	if p.Start != later.Start {
		return later.Start >= p.Time
	}
	back := later.Count < p.Count || later.Value < p.Value || len(later.buckets) != len(p.buckets)
	for i := 0; !back && i < len(p.buckets); i++ {
		back = later.buckets[i] < p.buckets[i]
	}
	return !back
}

// Series is one series of a metric with every point that came of it.
type Series struct {
	Name                 string
	Resource, Attributes map[string]string
	Gauge                bool

	points []Point // by time
}

// Attribute gives an attribute of the series or of its resource, or "".
func (s *Series) Attribute(key string) string { return cmp.Or(s.Attributes[key], s.Resource[key]) }

// Total is what the series has counted and added up from all of its starts.
func (s *Series) Total() (count uint64, value float64) {
	for i := range s.points {
		if i+1 == len(s.points) || s.points[i+1].Start != s.points[i].Start {
			count, value = count+s.points[i].Count, value+s.points[i].Value
		}
	}
	return count, value
}

// Starts is how often the series began.
func (s *Series) Starts() int {
	n := 1
	for i := 1; i < len(s.points); i++ {
		if s.points[i].Start != s.points[i-1].Start {
			n++
		}
	}
	return n
}

// add takes a point. repeated: the same one was there. wrong says in what it contradicts those that are there, in
// whatever order they come.
func (s *Series) add(p Point) (repeated bool, wrong string) {
	at, found := slices.BinarySearchFunc(s.points, p.Time, func(o Point, time uint64) int { return cmp.Compare(o.Time, time) })
	if found {
		if o := &s.points[at]; !o.equal(&p) {
			return false, fmt.Sprintf("two points of one time: %+v, then %+v", *o, p)
		}
		return true, ""
	}
	if !s.Gauge {
		if p.Start >= p.Time {
			wrong = fmt.Sprintf("starts at its end: %+v", p)
		}
		if at > 0 && !s.points[at-1].precedes(&p) {
			wrong = fmt.Sprintf("went back: %+v after %+v", p, s.points[at-1])
		}
		if at < len(s.points) && !p.precedes(&s.points[at]) {
			wrong = fmt.Sprintf("went back: %+v before %+v", p, s.points[at])
		}
	}
	s.points = slices.Insert(s.points, at, p)
	return false, wrong
}

// Points are what came of metrics.
type Points struct {
	Series []*Series
	// Received points, and how many of them came again, the same.
	Received, Repeated int
	// Mistakes are points that contradict each other or themselves, the first of them in words.
	Mistakes []string
	// Mistaken is how many there are.
	Mistaken int
}

// book keeps series.
type book struct {
	series map[string]*Series
	Points
}

func (b *book) mistake(format string, arguments ...any) {
	if b.Mistaken++; b.Mistaken <= mostMistakes {
		b.Mistakes = append(b.Mistakes, fmt.Sprintf(format, arguments...))
	}
}

// take takes a request in OTLP's JSON.
func (b *book) take(body []byte) error {
	request := pmetricotlp.NewExportRequest()
	if err := request.UnmarshalJSON(body); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	for _, rm := range request.Metrics().ResourceMetrics().All() {
		resource := plain(rm.Resource().Attributes())
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				b.metric(resource, m)
			}
		}
	}
	return nil
}

func (b *book) metric(resource map[string]string, m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		if s := m.Sum(); s.AggregationTemporality() != pmetric.AggregationTemporalityCumulative || !s.IsMonotonic() {
			b.mistake("%s is not a cumulative counter", m.Name())
		}
		for _, p := range m.Sum().DataPoints().All() {
			b.point(resource, m, p.Attributes(), Point{Start: uint64(p.StartTimestamp()), Time: uint64(p.Timestamp()), Value: number(p)})
		}
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			b.point(resource, m, p.Attributes(), Point{Time: uint64(p.Timestamp()), Value: number(p)})
		}
	case pmetric.MetricTypeHistogram:
		if m.Histogram().AggregationTemporality() != pmetric.AggregationTemporalityCumulative {
			b.mistake("%s is not cumulative", m.Name())
		}
		for _, p := range m.Histogram().DataPoints().All() {
			buckets, total := p.BucketCounts().AsRaw(), uint64(0)
			for _, n := range buckets {
				total += n
			}
			if total != p.Count() {
				b.mistake("%s: buckets have %d, the count is %d", m.Name(), total, p.Count())
			}
			b.point(resource, m, p.Attributes(), Point{
				Start: uint64(p.StartTimestamp()), Time: uint64(p.Timestamp()), Count: p.Count(), Value: p.Sum(), buckets: buckets,
			})
		}
	default:
		b.mistake("%s: unexpected type %v", m.Name(), m.Type())
	}
}

func (b *book) point(resource map[string]string, m pmetric.Metric, attributes pcommon.Map, p Point) {
	own := plain(attributes)
	key := fmt.Sprintf("%s %q %q", m.Name(), resource, own) // Maps are printed in the order of their keys.
	s := b.series[key]
	if s == nil {
		s = &Series{Name: m.Name(), Resource: resource, Attributes: own, Gauge: m.Type() == pmetric.MetricTypeGauge}
		b.series[key] = s
	}
	b.Received++
	repeated, wrong := s.add(p)
	if repeated {
		b.Repeated++
	}
	if wrong != "" {
		b.mistake("%s: %s", key, wrong)
	}
}

// points gives a copy of what there is.
func (b *book) points() Points {
	out := b.Points
	out.Mistakes = slices.Clone(b.Mistakes)
	for _, key := range slices.Sorted(maps.Keys(b.series)) {
		s := *b.series[key]
		s.points = slices.Clone(s.points)
		out.Series = append(out.Series, &s)
	}
	return out
}

func number(p pmetric.NumberDataPoint) float64 {
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}

func plain(attributes pcommon.Map) map[string]string {
	out := make(map[string]string, attributes.Len())
	for key, value := range attributes.All() {
		out[key] = value.AsString()
	}
	return out
}
