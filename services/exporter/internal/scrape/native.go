package scrape

import "millrace.dev/services/exporter/internal/series"

const (
	// Schemas of native histograms, https://prometheus.io/docs/specs/native_histograms/.
	minSchema, maxSchema = -4, 8
	// zeroThreshold is the smallest that Prometheus has: only 0 itself is in the bucket of zero.
	zeroThreshold = 2.938735877055719e-39
	// maxGap of empty buckets inside a span; a new span costs more.
	maxGap = 2
)

// native are exponential buckets as Prometheus has them: runs of buckets, and each count as the difference from the one
// before.
type native struct {
	schema int32
	spans  []span
	deltas []int64
}

// span is a run of buckets. Its offset is how many it leaves out behind the one before, or for the first one where it
// begins.
type span struct {
	offset int32
	length uint32
}

// of takes the buckets of a series. False for those that are so coarse that Prometheus has no name for them; number and
// sum remain. Bucket i of OTLP ends where bucket i+1 of Prometheus does.
func (n *native) of(b *series.Buckets) bool {
	n.spans, n.deltas = n.spans[:0], n.deltas[:0]
	if b.Scale < minSchema {
		return false
	}
	n.schema = min(b.Scale, maxSchema)
	shift := b.Scale - n.schema
	next, last := int64(0), int64(0) // the index behind the last span, and the count before
	pending, at := uint64(0), int64(0)
	for i, count := range b.Counts {
		if count == 0 {
			continue
		}
		index := (int64(b.Offset)+int64(i))>>shift + 1
		if pending > 0 && index != at {
			next, last = n.add(at, pending, next, last)
			pending = 0
		}
		at = index
		pending += count
	}
	if pending > 0 {
		n.add(at, pending, next, last)
	}
	if len(n.spans) == 0 {
		n.spans = append(n.spans, span{}) // An empty span tells that it is a native histogram, as client_golang does.
	}
	return true
}

// add adds a bucket, and gives the index behind it and its count.
func (n *native) add(index int64, count uint64, next, last int64) (behind, counted int64) {
	if len(n.spans) == 0 || index-next > maxGap {
		n.spans = append(n.spans, span{offset: int32(index - next)})
	} else {
		for ; next < index; next++ {
			n.deltas = append(n.deltas, -last)
			last = 0
			n.spans[len(n.spans)-1].length++
		}
	}
	n.deltas = append(n.deltas, int64(count)-last)
	n.spans[len(n.spans)-1].length++
	return index + 1, int64(count)
}
