package metrics

import "math"

const (
	// maxBuckets of a histogram; the scale falls until what was measured fits.
	maxBuckets = 160
	// maxScale is the finest that Prometheus's native histograms have: buckets 0.3 % apart.
	maxScale = 8
	// minScale holds every number in two buckets.
	minScale = -10
)

// exponential is a histogram as OTLP defines it: bucket i has values above 2^(i*2^-scale) and up to 2^((i+1)*2^-scale).
// What it holds does not depend on the order in which values came: each is first put into a bucket of the finest scale.
type exponential struct {
	scale int
	zeros uint64
	// low is the index of counts[0], and used how many of them have been used.
	low, used int
	counts    [maxBuckets]uint64
}

// add counts v. One of the metric's unit is unit times that of v.
func (e *exponential) add(v uint64, unit float64) {
	if v == 0 {
		e.zeros++
		return
	}
	e.addAt(finest(float64(v)/unit), 1)
}

// finest gives the index at the finest scale.
func finest(v float64) int {
	return int(math.Ceil(math.Log2(v)*(1<<maxScale))) - 1
}

// addAt counts n at an index of the finest scale.
func (e *exponential) addAt(index int, n uint64) {
	index >>= maxScale - e.scale
	if e.used == 0 {
		e.low, e.used = index, 1
	}
	low, high := min(e.low, index), max(e.low+e.used-1, index)
	if high-low >= maxBuckets {
		shift := 0
		for high>>shift-low>>shift >= maxBuckets {
			shift++
		}
		e.coarsen(shift)
		index >>= shift
		low, high = min(e.low, index), max(e.low+e.used-1, index)
	}
	if low < e.low {
		by := e.low - low
		copy(e.counts[by:by+e.used], e.counts[:e.used])
		clear(e.counts[:by])
		e.low = low
	}
	e.used = high - low + 1
	e.counts[index-low] += n
}

// coarsen merges 2^shift buckets into one.
func (e *exponential) coarsen(shift int) {
	low := e.low >> shift
	high := (e.low + e.used - 1) >> shift
	for i := range e.used {
		to := (e.low+i)>>shift - low
		n := e.counts[i]
		e.counts[i] = 0
		e.counts[to] += n
	}
	e.scale, e.low, e.used = e.scale-shift, low, high-low+1
}
