package metrics

import (
	"math"
	"math/rand/v2"
	"testing"
)

// check compares a histogram with the values that it was given.
func check(t *testing.T, e *exponential, values []uint64) {
	t.Helper()
	total := e.zeros
	for i := range e.used {
		total += e.counts[i]
	}
	if total != uint64(len(values)) || e.used > maxBuckets {
		t.Errorf("%d values in %d buckets, want %d", total, e.used, len(values))
	}
	base := math.Pow(2, math.Pow(2, -float64(e.scale)))
	want := map[int]uint64{}
	for _, v := range values {
		if v == 0 {
			continue
		}
		// The bucket that the definition gives; where the value is so near to a bound that floating point cannot tell,
		// the one it is in.
		x := float64(v) / 1e9
		i := int(math.Ceil(math.Log(x)/math.Log(base))) - 1
		if near := math.Round(math.Log(x) / math.Log(base)); math.Abs(math.Log(x)/math.Log(base)-near) < 1e-9 {
			i = finest(x) >> (maxScale - e.scale)
		}
		want[i]++
	}
	for i := range e.used {
		if e.counts[i] != want[e.low+i] {
			t.Errorf("scale %d, bucket %d: %d, want %d", e.scale, e.low+i, e.counts[i], want[e.low+i])
			return
		}
	}
}

func TestExponential(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		values := make([]uint64, 1+rng.IntN(200))
		spread := rng.Float64() * 45
		for i := range values {
			values[i] = uint64(math.Exp2(rng.Float64() * spread))
			if rng.IntN(30) == 0 {
				values[i] = 0
			}
		}
		e := &exponential{scale: maxScale}
		for _, v := range values {
			e.add(v, 1e9)
		}
		check(t, e, values)
		// The order does not matter.
		rng.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		again := &exponential{scale: maxScale}
		for _, v := range values {
			again.add(v, 1e9)
		}
		if *again != *e {
			t.Fatal("another order gives another histogram")
		}
	}
}

// Powers of two are the upper bounds of their buckets, which are inclusive.
func TestExponentialBounds(t *testing.T) {
	t.Parallel()
	for power := range 40 {
		if got, want := finest(math.Exp2(float64(power))), power<<maxScale-1; got != want {
			t.Errorf("2^%d: bucket %d, want %d", power, got, want)
		}
	}
	e := &exponential{scale: maxScale}
	for _, v := range []uint64{1, math.MaxUint64, 1 << 40} {
		e.add(v, 1)
	}
	if e.scale < minScale || e.used > maxBuckets {
		t.Errorf("scale %d, %d buckets", e.scale, e.used)
	}
}
