package sampling

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// everything has a policy of each kind that remembers something, and bounds that are reached.
func everything(t *testing.T, r *rand.Rand) *config.Sampling {
	return parse(t, fmt.Sprintf(`
  decision_wait: %dms
  num_traces: %d
  max_bytes: %dKiB
  decision_cache: {sampled_cache_size: %d, non_sampled_cache_size: %d}
  policies:
    - {name: rate, type: rate_limiting, rate_limiting: {spans_per_second: %d}}
    - {name: bytes, type: bytes_limiting, bytes_limiting: {bytes_per_second: %d}}
    - {name: path, type: string_attribute, string_attribute: {key: url.path, values: ["/[3-4]$"], enabled_regex_matching: true, cache_max_size: 2}}
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: url.path, values: [/healthz]}}]}}
    - name: errors
      type: and
      and: {and_sub_policy: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, {name: few, type: rate_limiting, rate_limiting: {spans_per_second: 3}}]}
    - name: composite
      type: composite
      composite:
        max_total_spans_per_second: %d
        composite_sub_policy: [{name: slow, type: latency, latency: {threshold_ms: 50}}, {name: some, type: probabilistic, probabilistic: {sampling_percentage: 20}}]
`, 100+r.IntN(5000), 20+r.IntN(300), 64+r.IntN(200), 1+r.IntN(50), 1+r.IntN(50), 1+r.IntN(30), 1+r.IntN(3000), 1+r.IntN(40)))
}

// traffic makes records of traces spread over services and time, some late, some twice, some at the same time.
func traffic(t *testing.T, r *rand.Rand, n int) []stage.Record {
	var records []stage.Record
	var at time.Duration
	id := 0
	for range n {
		if r.IntN(3) > 0 {
			at += time.Duration(r.ExpFloat64() * 40 * float64(time.Millisecond))
		}
		if r.IntN(200) == 0 {
			at += 3 * time.Second
		}
		if len(records) > 0 && r.IntN(10) == 0 {
			again := records[max(0, len(records)-1-r.IntN(100))]
			again.Time = time.Unix(0, epoch+int64(at))
			records = append(records, again)
			continue
		}
		var spans []*millracev1.Span
		for range 1 + r.IntN(4) {
			id++
			// Mostly of recent traces.
			span := newSpan(max(0, len(records)/2-int(r.ExpFloat64()*10)), id)
			span.EndUnixNs = span.StartUnixNs + uint64(r.Int64N(60e6))
			if r.IntN(10) == 0 {
				span.Status = isError
			}
			if r.IntN(20) == 0 {
				span.TraceFlags = 0
			}
			path := fmt.Sprint("/", r.IntN(10))
			if r.IntN(40) == 0 {
				path = "/healthz"
			}
			span.Attributes = attributes(map[string]any{"url.path": path})
			spans = append(spans, span)
		}
		records = append(records, record(t, at, fmt.Sprint("service-", r.IntN(5)), map[string]any{"process.pid": r.IntN(3)}, spans...))
	}
	return records
}

// Decisions and outputs are a function of the records: however they are cut into calls, whenever ticks come that the
// stage may send, and from whatever snapshot records are replayed.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	decisions := 0
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 7))
		cfg := everything(t, r)
		records := traffic(t, r, 1500)
		want := newSink(t)
		reference := newTestSampler(t, cfg)
		for _, rec := range records {
			process(t, reference, want, rec)
		}
		tick(t, reference, want, time.Hour)
		decisions += len(want.spans)
		for variant := range 3 {
			got := replay(t, rand.New(rand.NewPCG(seed, uint64(variant))), cfg, records)
			if t.Failed() {
				return
			}
			if len(got.spans) != len(want.spans) {
				t.Fatalf("seed %d: %d spans, want %d", seed, len(got.spans), len(want.spans))
			}
			for id := range want.spans {
				if _, found := got.spans[id]; !found {
					t.Fatalf("seed %d: span %d is missing", seed, id)
				}
			}
			for q := range testPartitions {
				if !maps.Equal(got.kept[q], want.kept[q]) {
					t.Fatalf("seed %d: metric partition %d got other traces", seed, q)
				}
			}
		}
	}
	if decisions < 10000 {
		t.Errorf("only %d spans are kept in all runs", decisions)
	}
}

// replay sends the records in random portions, with ticks between and crashes from earlier snapshots.
func replay(t *testing.T, r *rand.Rand, cfg *config.Sampling, records []stage.Record) *sink {
	out := newSink(t)
	s := newTestSampler(t, cfg)
	type checkpoint struct {
		position int
		state    []byte
	}
	snapshot := func(position int) checkpoint {
		b, err := s.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint{position, b}
	}
	last := snapshot(0)
	crashes := 0
	for position := 0; position < len(records); {
		switch r.IntN(12) {
		case 0:
			last = snapshot(position)
		case 1:
			if crashes++; crashes > 20 {
				break
			}
			s = newTestSampler(t, cfg)
			if err := s.Restore(last.state); err != nil {
				t.Fatal(err)
			}
			position = last.position
		case 2, 3, 4:
			// The stage tells times up to that of the next record.
			now := records[position].Time
			if position > 0 {
				before := records[position-1].Time
				now = before.Add(time.Duration(r.Int64N(int64(now.Sub(before)) + 1)))
			}
			tick(t, s, out, time.Duration(now.UnixNano()-epoch))
		default:
			n := min(1+r.IntN(40), len(records)-position)
			process(t, s, out, records[position:position+n]...)
			position += n
		}
	}
	tick(t, s, out, time.Hour)
	return out
}
