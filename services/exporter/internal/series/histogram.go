package series

import (
	"encoding/binary"
	"math"
	"sort"

	"millrace.dev/services/exporter/internal/otlp"
)

// maxExponential is the number of buckets of an exponential histogram; with more its scale goes down, as in the SDKs of
// OpenTelemetry.
const maxExponential = 160

// Bounds of explicit buckets, which many series share.
type Bounds struct {
	// Upper bounds, ascending, inclusive.
	Upper   []float64
	encoded string
	uses    int
}

// Buckets of a histogram.
type Buckets struct {
	// Bounds of explicit buckets, one fewer than counts. Nil: the buckets are exponential.
	Bounds *Bounds
	// Counts of each bucket, not cumulative.
	Counts []uint64
	// Zero counts values of 0, Scale and Offset (index of the first count) are as in OTLP. Of exponential buckets only.
	Zero          uint64
	Scale, Offset int32
}

// size in a snapshot, at most.
func (b *Buckets) size() int {
	if b == nil {
		return 0
	}
	return 24 + binary.MaxVarintLen64*cap(b.Counts)
}

// add adds the delta to the series.
func (s *Store) add(x *Series, now uint64) {
	d := &s.delta
	x.updated, x.changed, s.changed = now, true, true
	switch d.Kind {
	case otlp.NoValue:
	case otlp.Gauge:
		x.Value = d.Value
	case otlp.Sum:
		x.Value += d.Value
	case otlp.Histogram, otlp.Exponential:
		before := x.Buckets.size()
		if !s.fits(x.Buckets) {
			s.reset(x)
			before = 0
		}
		if d.Kind == otlp.Histogram {
			s.addExplicit(x)
		} else {
			x.addExponential(d)
		}
		s.bytes += x.Buckets.size() - before
		x.Value += d.Value
		x.Count += d.Count
	}
	if len(d.Exemplars) > 0 && d.Kind != otlp.Gauge {
		s.addExemplars(x, now)
	}
}

// fits reports whether the delta's buckets can be added to these.
func (s *Store) fits(b *Buckets) bool {
	switch {
	case b == nil:
		return true
	case s.delta.Kind == otlp.Exponential:
		return b.Bounds == nil
	default:
		return b.Bounds != nil && b.Bounds.encoded == string(s.delta.Bounds)
	}
}

// reset makes the series begin anew at the last boundary: counts in other buckets do not go with what it had.
func (s *Store) reset(x *Series) {
	s.Counts.Resets++
	s.bytes -= x.Buckets.size() + len(x.Exemplars)*exemplarBytes
	s.releaseBounds(x.Buckets)
	x.Buckets, x.Exemplars, x.Count, x.Value, x.Start = nil, nil, 0, 0, s.boundary
}

func (s *Store) addExplicit(x *Series) {
	if x.Buckets == nil {
		x.Buckets = &Buckets{Bounds: s.useBounds(s.delta.Bounds), Counts: make([]uint64, len(s.delta.Counts))}
	}
	for i, n := range s.delta.Counts {
		x.Buckets.Counts[i] += n
	}
}

// useBounds gives the bounds that the bytes say; they were found to be good.
func (s *Store) useBounds(encoded []byte) *Bounds {
	b := s.bounds[string(encoded)]
	if b == nil {
		b = &Bounds{encoded: string(encoded), Upper: make([]float64, 0, len(encoded)/8)}
		for rest := encoded; len(rest) >= 8; rest = rest[8:] {
			b.Upper = append(b.Upper, math.Float64frombits(binary.LittleEndian.Uint64(rest)))
		}
		s.bounds[b.encoded] = b
		s.bytes += len(encoded) + symbolBytes
	}
	b.uses++
	return b
}

func (s *Store) releaseBounds(b *Buckets) {
	if b == nil || b.Bounds == nil {
		return
	}
	if b.Bounds.uses--; b.Bounds.uses == 0 {
		delete(s.bounds, b.Bounds.encoded)
		s.bytes -= len(b.Bounds.encoded) + symbolBytes
	}
}

// bucket is the index of the explicit bucket that has the value.
func (b *Bounds) bucket(value float64) int { return sort.SearchFloat64s(b.Upper, value) }

// addExponential merges the delta in. Both sides are brought to a scale at which the buckets are few enough.
func (x *Series) addExponential(d *otlp.Delta) {
	if x.Buckets == nil {
		x.Buckets = &Buckets{Scale: d.Scale}
	}
	b := x.Buckets
	b.Zero += d.ZeroCount
	first, last := trim(d.Counts)
	if first == last {
		b.downscale(b.Scale - d.Scale) // Nothing to add, but what comes later is the same whatever the order.
		return
	}
	scale := min(b.Scale, d.Scale)
	lo, hi := (int64(d.Offset)+int64(first))>>(d.Scale-scale), (int64(d.Offset)+int64(last)-1)>>(d.Scale-scale)
	if ownFirst, ownLast := trim(b.Counts); ownFirst < ownLast {
		lo = min(lo, (int64(b.Offset)+int64(ownFirst))>>(b.Scale-scale))
		hi = max(hi, (int64(b.Offset)+int64(ownLast)-1)>>(b.Scale-scale))
	}
	for hi-lo >= maxExponential {
		lo, hi, scale = lo>>1, hi>>1, scale-1
	}
	b.downscale(b.Scale - scale)
	b.cover(lo, hi)
	shift := d.Scale - scale
	for i, n := range d.Counts[first:last] {
		if n > 0 {
			b.Counts[(int64(d.Offset)+int64(first+i))>>shift-int64(b.Offset)] += n
		}
	}
}

// trim gives the range of counts that are not 0 at its ends.
func trim(counts []uint64) (first, last int) {
	last = len(counts)
	for last > 0 && counts[last-1] == 0 {
		last--
	}
	for first < last && counts[first] == 0 {
		first++
	}
	return first, last
}

// downscale merges buckets: each step halves their number.
func (b *Buckets) downscale(steps int32) {
	if steps <= 0 {
		return
	}
	b.Scale -= steps
	first, last := trim(b.Counts)
	if first == last {
		b.Counts, b.Offset = b.Counts[:0], 0
		return
	}
	lo := (int64(b.Offset) + int64(first)) >> steps
	counts := make([]uint64, (int64(b.Offset)+int64(last)-1)>>steps-lo+1)
	for i, n := range b.Counts[first:last] {
		counts[(int64(b.Offset)+int64(first+i))>>steps-lo] += n
	}
	b.Counts, b.Offset = counts, int32(lo)
}

// cover makes room for the indexes from lo to hi.
func (b *Buckets) cover(lo, hi int64) {
	if len(b.Counts) > 0 && lo >= int64(b.Offset) && hi < int64(b.Offset)+int64(len(b.Counts)) {
		return
	}
	counts := make([]uint64, hi-lo+1)
	if first, last := trim(b.Counts); first < last {
		copy(counts[int64(b.Offset)+int64(first)-lo:], b.Counts[first:last])
	}
	b.Counts, b.Offset = counts, int32(lo)
}
