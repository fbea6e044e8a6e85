package sampling

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// take asks a limit once.
func take(l *limit, b *bucket, n int64, at time.Duration) bool {
	then, ok := l.after(*b, n, epoch+int64(at))
	*b = then
	return ok
}

func TestLimit(t *testing.T) {
	t.Parallel()
	type asked struct {
		at time.Duration
		n  int64
		ok bool
	}
	for name, tt := range map[string]struct {
		limit limit
		asked []asked
	}{
		"burst, then the rate": {newLimit(10, 0, 1), []asked{
			{0, 15, true},
			{0, 5, true},
			{0, 1, false},
			{99 * time.Millisecond, 1, false},
			{100 * time.Millisecond, 1, true},
			{100 * time.Millisecond, 1, false},
			{time.Hour, 20, true},
			{time.Hour, 1, false},
		}},
		"own burst": {newLimit(10, 5, 1), []asked{{0, 6, false}, {0, 5, true}, {0, 1, false}, {time.Second / 2, 5, true}}},
		// A quarter of the rate and of the burst, but larger traces pass when nothing is owed.
		"part of a partition": {newLimit(10, 0, 4), []asked{
			{0, 5, true},
			{0, 1, false},
			{400 * time.Millisecond, 1, true},
			{time.Minute, 20, true},
			{time.Minute + 6*time.Second, 1, false},
			{time.Minute + 8*time.Second, 10, true},
			{2 * time.Minute, 21, false},
		}},
		"share": {newShare(100, 50, 100, 1), []asked{{0, 50, true}, {0, 1, false}, {20 * time.Millisecond, 1, true}, {time.Minute, 1000, true}}},
		"huge":  {newShare(1, 1, 100, 4096), []asked{{0, math.MaxInt64, true}, {1000 * time.Hour, 1, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bucket
			for i, a := range tt.asked {
				if ok := take(&tt.limit, &b, a.n, a.at); ok != a.ok {
					t.Errorf("%d: %v for %d at %v", i, ok, a.n, a.at)
				}
			}
		})
	}
}

// Whatever is asked for, no more than the rate and one burst passes, and nearly as much does when enough is asked for.
func TestLimitHolds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		rate, partitions := 1+r.Int64N(1000), 1+r.IntN(64)
		l := newLimit(rate, 0, partitions)
		var b bucket
		var at time.Duration
		passed, largest := int64(0), int64(0)
		for range 20000 {
			at += time.Duration(r.Int64N(int64(time.Second) * int64(partitions) / rate))
			n := 1 + r.Int64N(min(20, 2*rate))
			if take(&l, &b, n, at) {
				passed += n
				largest = max(largest, n)
			}
		}
		expected := float64(rate) / float64(partitions) * at.Seconds()
		burst := 2*float64(rate)/float64(partitions) + float64(largest)
		if p := float64(passed); p > expected+burst+1 || p < 0.9*expected-burst {
			t.Errorf("seed %d: %d/s, %d partitions: %d passed, %.0f expected", seed, rate, partitions, passed, expected)
		}
	}
}

// The rate is that of all partitions together.
func TestRateLimiting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		policy string
		kept   int // of 600 traces of two spans in a minute
	}{
		{"type: rate_limiting, rate_limiting: {spans_per_second: 8}", 60},    // 2 spans/s in this partition of four
		{"type: rate_limiting, rate_limiting: {spans_per_second: 800}", 600}, // more than there is
		{"type: rate_limiting, rate_limiting: {spans_per_second: 8, burst_capacity: 1}", 0},
		{"type: and, and: {and_sub_policy: [{name: b, type: probabilistic, probabilistic: {sampling_percentage: 100}}, {name: c, type: rate_limiting, rate_limiting: {spans_per_second: 8}}]}", 60},
	} {
		cfg := parse(t, fmt.Sprintf("  policies: [{name: a, %s}]", tt.policy))
		s, out := newTestSampler(t, cfg), newSink(t)
		for i := range 600 {
			process(t, s, out, record(t, time.Duration(i)*100*time.Millisecond, "a", nil, newSpan(i, 2*i+1), newSpan(i, 2*i+2)))
			if i%100 == 0 {
				s = snapshotRestore(t, s, cfg)
			}
		}
		tick(t, s, out, 2*time.Minute)
		if kept := len(out.spans) / 2; kept < tt.kept-3 || kept > tt.kept+3 {
			t.Errorf("%s: %d kept, want %d", tt.policy, kept, tt.kept)
		}
	}
}

func TestBytesLimiting(t *testing.T) {
	t.Parallel()
	span := newSpan(0, 1)
	size := span.SizeVT()
	cfg := parse(t, fmt.Sprintf("  policies: [{name: a, type: bytes_limiting, bytes_limiting: {bytes_per_second: %d}}]", testPartitions*size))
	s, out := newTestSampler(t, cfg), newSink(t)
	for i := range 100 {
		process(t, s, out, record(t, time.Duration(i)*100*time.Millisecond, "a", nil, newSpan(i, i+1)))
	}
	tick(t, s, out, time.Minute)
	if kept := len(out.spans); kept < 10 || kept > 13 { // one a second, and a burst of two
		t.Errorf("%d kept in ten seconds", kept)
	}
}

// The first policy in the order that wants a trace decides, within its share; what it has no room for is not offered to
// the next.
func TestComposite(t *testing.T) {
	t.Parallel()
	cfg := parse(t, `
  policies:
    - name: all
      type: composite
      composite:
        max_total_spans_per_second: 400
        policy_order: [errors, slow]
        composite_sub_policy:
          - {name: rest, type: always_sample}
          - {name: slow, type: latency, latency: {threshold_ms: 50}}
          - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
        rate_allocation: [{policy: errors, percent: 50}, {policy: slow, percent: 10}]
`)
	s, out := newTestSampler(t, cfg), newSink(t)
	var n int
	count := map[string]int{}
	kinds := map[uint64]string{}
	for second := range 60 {
		for range 200 {
			n++
			span := newSpan(n, n)
			kind := "rest"
			switch n % 4 {
			case 0:
				kind, span.Status = "errors", isError
			case 1:
				kind, span.EndUnixNs = "slow", span.StartUnixNs+60e6
			case 2:
				kind, span.Status, span.EndUnixNs = "errors", isError, span.StartUnixNs+60e6
			}
			kinds[uint64(n)] = kind
			process(t, s, out, record(t, time.Duration(second)*time.Second, "a", nil, span))
		}
		s = snapshotRestore(t, s, cfg)
	}
	tick(t, s, out, 2*time.Minute)
	for id := range out.spans {
		count[kinds[id]]++
	}
	// 400/s are 100/s in this partition: errors 50 a second, slow 10, and the rest a third: 33, and 50 are there.
	for kind, want := range map[string]int{"errors": 50 * 60, "slow": 10 * 60, "rest": 33 * 60} {
		if got := count[kind]; got < want*95/100 || got > want*105/100 {
			t.Errorf("%s: %d kept, want about %d", kind, got, want)
		}
	}
}

// The total holds where shares add up to more.
func TestCompositeTotal(t *testing.T) {
	t.Parallel()
	cfg := parse(t, `
  policies:
    - name: all
      type: composite
      composite:
        max_total_spans_per_second: 40
        composite_sub_policy:
          - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
          - {name: rest, type: always_sample}
        rate_allocation: [{policy: errors, percent: 100}, {policy: rest, percent: 100}]
`)
	s, out := newTestSampler(t, cfg), newSink(t)
	for i := range 6000 {
		span := newSpan(i, i+1)
		if i%2 == 0 {
			span.Status = isError
		}
		process(t, s, out, record(t, time.Duration(i)*10*time.Millisecond, "a", nil, span))
	}
	tick(t, s, out, 2*time.Minute)
	if got := len(out.spans); got < 590 || got > 620 {
		t.Errorf("%d spans in a minute of 10 a second", got)
	}
}
