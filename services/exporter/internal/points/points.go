package points

import (
	"encoding/binary"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/otlp"
	"millrace.dev/services/exporter/internal/series"
)

// requestBytes bounds a request, by an estimate from above: gRPC servers take 4 MiB by default.
const requestBytes = 2 << 20

// targetInfo is left out: backends make it of the resource, which has the same attributes.
const targetInfo = "target_info"

// Builder makes requests of the points of one store. It is not safe for concurrent use.
type Builder struct {
	version    string
	delta      bool
	attributes []series.Attribute

	// The request that is being made.
	request  pmetric.Metrics
	resource *series.Resource
	family   *series.Family
	metrics  pmetric.MetricSlice
	metric   pmetric.Metric
	points   int
	bytes    int
}

// NewBuilder makes a builder of deltas, or of cumulative points. version is the program's, for the instrumentation
// scope.
func NewBuilder(version string, delta bool) *Builder { return &Builder{version: version, delta: delta} }

// Build hands the points of every series at the store's newest boundary to send, in requests of bounded size with their
// number of points; of a store of deltas those of series that gained something. It returns the first error of send.
func (b *Builder) Build(s *series.Store, send func(request pmetric.Metrics, points int) error) error {
	b.begin()
	for _, r := range s.Resources() {
		for _, f := range r.Families {
			if f.Metric.Name == targetInfo && f.Metric.Kind == catalog.Info {
				continue
			}
			for _, x := range f.Series {
				if b.delta && !x.Changed() && f.Metric.Kind != catalog.Info {
					continue
				}
				if b.bytes >= requestBytes {
					if err := send(b.request, b.points); err != nil {
						return err
					}
					b.begin()
				}
				b.add(s, f, x)
			}
		}
	}
	if b.points == 0 {
		return nil
	}
	err := send(b.request, b.points)
	b.begin() // What was sent is not kept.
	return err
}

func (b *Builder) begin() {
	b.request, b.resource, b.family, b.points, b.bytes = pmetric.NewMetrics(), nil, nil, 0, 0
}

// enter makes the places where points of a family go.
func (b *Builder) enter(s *series.Store, f *series.Family) {
	if b.resource != f.Resource {
		b.resource = f.Resource
		rm := b.request.ResourceMetrics().AppendEmpty()
		rm.SetSchemaUrl(otlp.SchemaURL)
		b.attributes = s.AppendResource(b.attributes[:0], f.Resource)
		b.fill(rm.Resource().Attributes())
		scope := rm.ScopeMetrics().AppendEmpty()
		scope.Scope().SetName(otlp.ScopeName)
		scope.Scope().SetVersion(b.version)
		b.metrics = scope.Metrics()
		b.bytes += 128
	}
	b.family = f
	b.metric = b.metrics.AppendEmpty()
	b.metric.SetName(f.Metric.Name)
	b.metric.SetUnit(f.Metric.Unit)
	if m, found := catalog.ByName(f.Metric.Name); found {
		b.metric.SetDescription(m.Description)
	}
	b.bytes += 128
	temporality := pmetric.AggregationTemporalityCumulative
	if b.delta {
		temporality = pmetric.AggregationTemporalityDelta
	}
	switch f.Metric.Kind {
	case catalog.Counter:
		sum := b.metric.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(temporality)
	case catalog.Info:
		b.metric.SetEmptyGauge()
	case catalog.Histogram: // Which kind it is its first series says.
	}
}

func (b *Builder) add(s *series.Store, f *series.Family, x *series.Series) {
	if b.family != f || f.Metric.Kind == catalog.Histogram && !b.fits(x) {
		b.enter(s, f)
	}
	b.points++
	b.attributes = s.AppendAttributes(b.attributes[:0], x)
	start, at := pcommon.Timestamp(x.Start), pcommon.Timestamp(s.Boundary())
	switch f.Metric.Kind {
	case catalog.Counter:
		p := b.metric.Sum().DataPoints().AppendEmpty()
		p.SetStartTimestamp(start)
		p.SetTimestamp(at)
		p.SetDoubleValue(x.Value)
		b.fill(p.Attributes())
		b.exemplars(p.Exemplars(), x)
	case catalog.Info:
		p := b.metric.Gauge().DataPoints().AppendEmpty()
		p.SetTimestamp(at)
		p.SetDoubleValue(x.Value)
		b.fill(p.Attributes())
	case catalog.Histogram:
		if x.Buckets != nil && x.Buckets.Bounds == nil {
			b.exponential(x, start, at)
		} else {
			b.explicit(x, start, at)
		}
	}
	b.bytes += 64
}

// fits reports whether the histogram goes into the metric at hand, which has one kind.
func (b *Builder) fits(x *series.Series) bool {
	if x.Buckets != nil && x.Buckets.Bounds == nil {
		return b.metric.Type() == pmetric.MetricTypeExponentialHistogram
	}
	return b.metric.Type() == pmetric.MetricTypeHistogram
}

func (b *Builder) temporality() pmetric.AggregationTemporality {
	if b.delta {
		return pmetric.AggregationTemporalityDelta
	}
	return pmetric.AggregationTemporalityCumulative
}

func (b *Builder) explicit(x *series.Series, start, at pcommon.Timestamp) {
	if b.metric.Type() != pmetric.MetricTypeHistogram {
		b.metric.SetEmptyHistogram().SetAggregationTemporality(b.temporality())
	}
	p := b.metric.Histogram().DataPoints().AppendEmpty()
	p.SetStartTimestamp(start)
	p.SetTimestamp(at)
	p.SetCount(x.Count)
	p.SetSum(x.Value)
	if x.Buckets != nil {
		p.ExplicitBounds().FromRaw(x.Buckets.Bounds.Upper)
		p.BucketCounts().FromRaw(x.Buckets.Counts)
		b.bytes += 16 * len(x.Buckets.Counts)
	}
	b.fill(p.Attributes())
	b.exemplars(p.Exemplars(), x)
}

func (b *Builder) exponential(x *series.Series, start, at pcommon.Timestamp) {
	if b.metric.Type() != pmetric.MetricTypeExponentialHistogram {
		b.metric.SetEmptyExponentialHistogram().SetAggregationTemporality(b.temporality())
	}
	p := b.metric.ExponentialHistogram().DataPoints().AppendEmpty()
	p.SetStartTimestamp(start)
	p.SetTimestamp(at)
	p.SetCount(x.Count)
	p.SetSum(x.Value)
	p.SetScale(x.Buckets.Scale)
	p.SetZeroCount(x.Buckets.Zero)
	p.Positive().SetOffset(x.Buckets.Offset)
	p.Positive().BucketCounts().FromRaw(x.Buckets.Counts)
	b.bytes += 10 * len(x.Buckets.Counts)
	b.fill(p.Attributes())
	b.exemplars(p.Exemplars(), x)
}

// fill sets the attributes at hand.
func (b *Builder) fill(to pcommon.Map) {
	to.EnsureCapacity(len(b.attributes))
	for _, a := range b.attributes {
		a.Value.Put(to.PutEmpty(a.Key))
		b.bytes += len(a.Key) + len(a.Value) + 16
	}
}

// exemplars adds those that were in no point yet.
func (b *Builder) exemplars(to pmetric.ExemplarSlice, x *series.Series) {
	for i := range x.Exemplars {
		e := &x.Exemplars[i]
		if !e.Fresh {
			continue
		}
		var span pcommon.SpanID
		binary.BigEndian.PutUint64(span[:], e.SpanID)
		one := to.AppendEmpty()
		one.SetTraceID(e.TraceID)
		one.SetSpanID(span)
		one.SetDoubleValue(e.Value)
		one.SetTimestamp(pcommon.Timestamp(e.Time))
		b.bytes += 64
	}
}
