package metrics

import "slices"

// series is what one series gained in the window.
type series struct {
	metric *metric
	origin *origin
	// attributes are encoded fields of a [millracev1.MetricDelta].
	attributes string
	// overflow: this is the series of what is beyond the limits.
	overflow bool

	// count of measurements, and their sum in nanoseconds or bytes: integers, so that the order in which they come does
	// not matter.
	count, sum uint64
	// counts of explicit buckets.
	counts []uint64
	// exponential is nil in other forms.
	exponential *exponential

	// samples are exemplars in the order of their buckets, which are those of the metric's bounds in any form; sampled
	// has a bit for each bucket that need not be looked at again.
	samples []sample
	sampled uint64
}

// sample is an exemplar.
type sample struct {
	bucket int
	trace  [16]byte
	span   uint64
	value  uint64
	at     uint64
}

// maxSamples are kept of a series in a window: the first in each of the highest buckets, because the slow ones are
// looked for.
const maxSamples = 4

func newSeries(m *metric) *series {
	s := &series{metric: m}
	switch m.form {
	case explicit:
		s.counts = make([]uint64, len(m.limits)+1)
	case exponentialForm:
		s.exponential = &exponential{scale: maxScale}
	default:
	}
	if m.exemplars {
		s.samples = make([]sample, 0, maxSamples)
	}
	return s
}

// reset makes the series as new but for its metric.
func (s *series) reset() {
	clear(s.counts)
	if s.exponential != nil {
		*s.exponential = exponential{scale: maxScale}
	}
	*s = series{metric: s.metric, counts: s.counts, exponential: s.exponential, samples: s.samples[:0]}
}

// add adds a measurement of the exchange f; nil: of a connection.
func (s *series) add(v uint64, f *facts) {
	s.sum += v
	m := s.metric
	if m.form == counter {
		return
	}
	s.count++
	if m.form == explicit {
		bucket := bucketOf(m.limits, v)
		s.counts[bucket]++
		if m.exemplars && f != nil && f.sample && s.sampled&(1<<min(bucket, 63)) == 0 {
			s.take(bucket, v, f)
		}
		return
	}
	s.exponential.add(v, m.scale())
	if m.exemplars && f != nil && f.sample {
		if bucket := bucketOf(m.limits, v); s.sampled&(1<<min(bucket, 63)) == 0 {
			s.take(bucket, v, f)
		}
	}
}

// bucketOf gives the first bucket whose limit is not below v. There are a handful, so going through them is fastest.
func bucketOf(limits []uint64, v uint64) int {
	for i, limit := range limits {
		if v <= limit {
			return i
		}
	}
	return len(limits)
}

// take keeps the exchange as an exemplar of its bucket, if that is among the highest.
func (s *series) take(bucket int, v uint64, f *facts) {
	s.sampled |= 1 << min(bucket, 63)
	if len(s.samples) == maxSamples {
		if bucket < s.samples[0].bucket {
			return
		}
		s.samples = append(s.samples[:0], s.samples[1:]...)
	}
	at := len(s.samples)
	for at > 0 && s.samples[at-1].bucket > bucket {
		at--
	}
	s.samples = slices.Insert(s.samples, at, sample{
		bucket: bucket, trace: f.joined.TraceID, span: f.joined.SpanID, value: v, at: max(f.x.EndUnixNs, f.x.StartUnixNs),
	})
}
