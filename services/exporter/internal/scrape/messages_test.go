package scrape

import (
	"encoding/hex"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/series"
)

var infinity = math.Inf(1)

// messages writes what the library makes of messages of its own, for comparison with what is written by hand.
type messages struct {
	encoder expfmt.Encoder
	labels  labels
}

func (m *messages) write(families []*family) (n int, err error) {
	for _, f := range families {
		message := m.family(f)
		n += len(message.Metric)
		if len(message.Metric) == 0 {
			continue // Taken away since it was found.
		}
		if err := m.encoder.Encode(message); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (m *messages) family(f *family) *dto.MetricFamily {
	name, kind := f.name, dto.MetricType_GAUGE
	switch f.kind {
	case catalog.Counter:
		kind = dto.MetricType_COUNTER
	case catalog.Histogram:
		kind = dto.MetricType_HISTOGRAM
	case catalog.Info:
	}
	message := &dto.MetricFamily{Name: &name, Help: &f.help, Type: &kind}
	for i := range f.members {
		f.members[i].each(&m.labels, func(_ *series.Store, x *series.Series, labels []label) {
			message.Metric = append(message.Metric, metric(f.kind, x, labels))
		})
	}
	return message
}

func metric(kind catalog.Kind, x *series.Series, labels []label) *dto.Metric {
	pairs := make([]dto.LabelPair, len(labels))
	m := &dto.Metric{Label: make([]*dto.LabelPair, len(labels))}
	for i := range labels {
		pairs[i].Name, pairs[i].Value = clone(labels[i].name), clone(labels[i].value)
		m.Label[i] = &pairs[i]
	}
	switch kind {
	case catalog.Counter:
		value := x.Value
		m.Counter = &dto.Counter{Value: &value, CreatedTimestamp: created(x)}
		if len(x.Exemplars) > 0 {
			m.Counter.Exemplar = exemplar(&x.Exemplars[0])
		}
	case catalog.Info:
		value := x.Value
		m.Gauge = &dto.Gauge{Value: &value}
	case catalog.Histogram:
		m.Histogram = histogram(x)
	}
	return m
}

// clone gives the text memory that nothing else writes to: labels are used again.
func clone(s string) *string { return &s }

func created(x *series.Series) *timestamppb.Timestamp {
	return timestamppb.New(time.Unix(0, int64(x.Start)))
}

func exemplar(e *series.Exemplar) *dto.Exemplar {
	trace, span, value := hex.EncodeToString(e.TraceID[:]), string(appendSpan(nil, e.SpanID)), e.Value
	return &dto.Exemplar{
		Label: []*dto.LabelPair{
			{Name: clone("trace_id"), Value: &trace},
			{Name: clone("span_id"), Value: &span},
		},
		Value: &value, Timestamp: timestamppb.New(time.Unix(0, int64(e.Time))),
	}
}

func histogram(x *series.Series) *dto.Histogram {
	count, sum := x.Count, x.Value
	h := &dto.Histogram{SampleCount: &count, SampleSum: &sum, CreatedTimestamp: created(x)}
	switch b := x.Buckets; {
	case b == nil:
	case b.Bounds != nil:
		classic(h, x)
	default:
		nativeBuckets(h, x)
	}
	return h
}

// classic sets explicit buckets; that of infinity is the number of all.
func classic(h *dto.Histogram, x *series.Series) {
	b := x.Buckets
	buckets := make([]dto.Bucket, len(b.Counts))
	totals := make([]uint64, len(b.Counts))
	h.Bucket = make([]*dto.Bucket, 0, len(b.Counts))
	total := uint64(0)
	for i := range b.Bounds.Upper {
		total += b.Counts[i]
		totals[i] = total
		buckets[i].CumulativeCount, buckets[i].UpperBound = &totals[i], &b.Bounds.Upper[i]
		h.Bucket = append(h.Bucket, &buckets[i])
	}
	for i := range x.Exemplars {
		e := &x.Exemplars[i]
		if int(e.Bucket) == len(b.Bounds.Upper) { // Of the bucket of infinity, which has a place only for this.
			last := len(b.Counts) - 1
			totals[last] = x.Count
			buckets[last].CumulativeCount, buckets[last].UpperBound = &totals[last], &infinity
			h.Bucket = append(h.Bucket, &buckets[last])
		}
		if int(e.Bucket) < len(b.Counts) {
			buckets[e.Bucket].Exemplar = exemplar(e)
		}
	}
}

// nativeBuckets sets exponential buckets. Bucket i of OTLP ends where bucket i+1 of Prometheus does.
func nativeBuckets(h *dto.Histogram, x *series.Series) {
	b := x.Buckets
	if b.Scale < minSchema {
		return // So coarse that Prometheus has no name for it; number and sum remain.
	}
	schema := min(b.Scale, maxSchema)
	threshold, zero := zeroThreshold, b.Zero
	h.Schema, h.ZeroThreshold, h.ZeroCount = &schema, &threshold, &zero
	next, last := int64(0), int64(0) // the index behind the last span, and the count before
	add := func(index int64, count uint64) {
		n := len(h.PositiveSpan)
		switch {
		case n == 0 || index-next > maxGap:
			offset, length := int32(index-next), uint32(0)
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: &length})
			n++
		default:
			for ; next < index; next++ {
				h.PositiveDelta = append(h.PositiveDelta, -last)
				last = 0
				*h.PositiveSpan[n-1].Length++
			}
		}
		h.PositiveDelta = append(h.PositiveDelta, int64(count)-last)
		last = int64(count)
		*h.PositiveSpan[n-1].Length++
		next = index + 1
	}
	shift := b.Scale - schema
	pending, at := uint64(0), int64(0)
	for i, count := range b.Counts {
		if count == 0 {
			continue
		}
		index := (int64(b.Offset)+int64(i))>>shift + 1
		if pending > 0 && index != at {
			add(at, pending)
			pending = 0
		}
		at = index
		pending += count
	}
	if pending > 0 {
		add(at, pending)
	}
	if len(h.PositiveSpan) == 0 {
		// An empty span tells that it is a native histogram, as client_golang does.
		offset, length := int32(0), uint32(0)
		h.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}}
	}
	for i := range x.Exemplars {
		h.Exemplars = append(h.Exemplars, exemplar(&x.Exemplars[i]))
	}
}
