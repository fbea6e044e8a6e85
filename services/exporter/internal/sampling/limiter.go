package sampling

import (
	"math"
	"math/bits"
)

// limit is a rate with bursts, in integers: a replay on another kind of processor comes to the same. It is a token
// bucket in the form of the generic cell rate algorithm: the state is the one time at which the bucket is full again.
//
// Rates are for all partitions together, so each partition has its part of them. That part can be smaller than one
// trace. A trace that is larger than the burst passes when the bucket is full, and those after it wait for longer: the
// rate holds, and no trace is shut out for good.
type limit struct {
	// One unit costs scale/rate nanoseconds.
	scale, rate uint64
	// burst is how far ahead of the clock the bucket may be full again, nanoseconds.
	burst int64
	// largest is the most that passes at once; 0: no limit.
	largest int64
}

const second = int64(1e9)

// longest bounds the debt that one trace makes, about 36 years.
const longest = 1 << 60

func newLimit(perSecond, burst int64, partitions int) limit {
	if burst == 0 {
		burst = 2 * perSecond
	}
	// Each partition has rate/partitions and burst/partitions, so the burst takes burst/rate seconds in each.
	return limit{
		scale: uint64(second) * uint64(partitions), rate: uint64(perSecond), burst: scaled(uint64(burst), uint64(second), uint64(perSecond)),
		largest: burst,
	}
}

// newShare is a share of percent in a hundred, or one of equal parts, with bursts of a second.
func newShare(perSecond, part, whole int64, partitions int) limit {
	return limit{scale: uint64(second) * uint64(partitions) * uint64(whole), rate: uint64(perSecond) * uint64(part), burst: second}
}

// scaled is n*scale/rate, at most longest.
func scaled(n, scale, rate uint64) int64 {
	high, low := bits.Mul64(n, scale)
	if high >= rate {
		return longest
	}
	quotient, _ := bits.Div64(high, low, rate)
	return int64(min(quotient, longest))
}

// bucket is the state of a limit: the time at which it is full, nanoseconds since the Unix epoch.
type bucket int64

// after gives the bucket after n units were taken at the time now; ok is false if they do not pass.
func (l *limit) after(b bucket, n, now int64) (then bucket, ok bool) {
	if l.largest > 0 && n > l.largest {
		return b, false
	}
	cost := scaled(uint64(n), l.scale, l.rate)
	full := int64(b) <= now
	from := max(int64(b), now)
	if from > math.MaxInt64-cost || !full && from+cost-now > l.burst {
		return b, false
	}
	return bucket(from + cost), true
}
