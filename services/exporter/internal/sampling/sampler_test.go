package sampling

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const errorsOnly = "  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\n"

func failed(trace, id int) *millracev1.Span {
	span := newSpan(trace, id)
	span.Status = isError
	return span
}

// A trace goes out whole and once, at its time, each span under its service; every service's metric partition hears of
// it.
func TestWholeTraces(t *testing.T) {
	t.Parallel()
	s, out := newTestSampler(t, parse(t, errorsOnly)), newSink(t)
	process(t, s, out,
		record(t, 0, "front", nil, newSpan(1, 1), newSpan(2, 2)),
		record(t, time.Second, "back", nil, failed(1, 3), newSpan(1, 4), newSpan(2, 5)),
		record(t, 9*time.Second, "store", nil, newSpan(1, 6)),
		record(t, 9*time.Second, "back", nil, failed(1, 3)), // again
	)
	tick(t, s, out, 10*time.Second-1)
	if out.messages != 0 {
		t.Fatal("decided before the time")
	}
	tick(t, s, out, 10*time.Second)
	equal(t, out.ids(), 1, 3, 4, 6)
	want := map[uint64]string{1: "front", 3: "back", 4: "back", 6: "store"}
	if !maps.Equal(out.where, want) {
		t.Errorf("services %v, want %v", out.where, want)
	}
	told := map[int]bool{}
	for _, service := range []string{"front", "back", "store"} {
		told[bus.MetricPartition("ns", service, testPartitions)] = true
	}
	for q := range testPartitions {
		kept := out.kept[q]
		if told[q] != kept[traceID(1)] || kept[traceID(2)] {
			t.Errorf("metric partition %d was told %v", q, kept)
		}
	}
	if got := testutil.ToFloat64(s.metrics.duplicates); got != 1 {
		t.Errorf("%v duplicates", got)
	}
	if len(s.waiting.byID) != 0 || s.waiting.bytes != 0 || len(s.resources.byKey) != 0 || s.resources.bytes != 0 {
		t.Errorf("something is left: %d traces, %d bytes, %d resources", len(s.waiting.byID), s.waiting.bytes, len(s.resources.byKey))
	}
}

// A span that completes one of the same id waits beside it, once.
func TestCompletion(t *testing.T) {
	t.Parallel()
	s, out := newTestSampler(t, parse(t, errorsOnly)), newSink(t)
	done := failed(1, 3)
	done.Attributes = append(done.Attributes, &millracev1.KeyValue{Key: "millrace.completes", Value: &millracev1.KeyValue_BoolValue{BoolValue: true}})
	process(t, s, out, record(t, 0, "back", nil, failed(1, 3)), record(t, 0, "back", nil, done), record(t, 0, "back", nil, done))
	if ids := s.waiting.byID[traceID(1)].ids; len(ids) != 2 {
		t.Errorf("%d spans wait", len(ids))
	}
	if got := testutil.ToFloat64(s.metrics.duplicates); got != 1 {
		t.Errorf("%v duplicates", got)
	}
}

// What arrives at the decision's time or later is late, whether a tick came or not, and follows the decision; also
// through a snapshot.
func TestLateSpans(t *testing.T) {
	t.Parallel()
	for _, ticks := range []bool{false, true} {
		cfg := parse(t, errorsOnly)
		s, out := newTestSampler(t, cfg), newSink(t)
		process(t, s, out, record(t, 0, "a", nil, failed(1, 1), newSpan(2, 2)))
		if ticks {
			tick(t, s, out, 10*time.Second)
			s = snapshotRestore(t, s, cfg)
		}
		process(t, s, out, record(t, 10*time.Second, "b", nil, newSpan(1, 3), failed(2, 4)))
		s = snapshotRestore(t, s, cfg)
		process(t, s, out, record(t, time.Minute, "b", nil, newSpan(1, 5), failed(2, 6), newSpan(3, 7)))
		tick(t, s, out, time.Hour)
		equal(t, out.ids(), 1, 3, 5)
		if !out.kept[bus.MetricPartition("ns", "b", testPartitions)][traceID(1)] {
			t.Error("the service of the late span was not told")
		}
	}
}

// Without remembered decisions late spans are a trace of their own.
func TestNoDecisionCache(t *testing.T) {
	t.Parallel()
	cfg := parse(t, errorsOnly+"  decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 0}")
	s, out := newTestSampler(t, cfg), newSink(t)
	process(t, s, out, record(t, 0, "a", nil, failed(1, 1), newSpan(2, 2)))
	process(t, s, out, record(t, 20*time.Second, "a", nil, newSpan(1, 3), failed(2, 4)))
	s = snapshotRestore(t, s, cfg)
	tick(t, s, out, time.Minute)
	equal(t, out.ids(), 1, 4)
}

// The caches hold as many decisions as the setting says, and at most twice as many.
func TestDecisionCacheBounds(t *testing.T) {
	t.Parallel()
	cfg := parse(t, errorsOnly+"  decision_cache: {sampled_cache_size: 10, non_sampled_cache_size: 100}")
	s, out := newTestSampler(t, cfg), newSink(t)
	for i := range 1000 {
		process(t, s, out, record(t, 0, "a", nil, failed(2*i, 2*i+1), newSpan(2*i+1, 2*i+2)))
	}
	tick(t, s, out, time.Minute)
	for i := 990; i < 1000; i++ {
		if !s.kept.Contains(traceID(2 * i)) {
			t.Errorf("kept trace %d is forgotten", i)
		}
	}
	for i := 900; i < 1000; i++ {
		if !s.dropped.Contains(traceID(2*i + 1)) {
			t.Errorf("dropped trace %d is forgotten", i)
		}
	}
	if s.kept.Len() > 20 || s.dropped.Len() > 200 {
		t.Errorf("%d and %d remembered", s.kept.Len(), s.dropped.Len())
	}
}

// Beyond num_traces the oldest trace is decided with what is there, which is counted; what comes of it then follows.
func TestEarlyDecisions(t *testing.T) {
	t.Parallel()
	s, out := newTestSampler(t, parse(t, errorsOnly+"  num_traces: 2")), newSink(t)
	process(t, s, out, record(t, 0, "a", nil, failed(1, 1)), record(t, 0, "a", nil, newSpan(2, 2)))
	if out.messages != 0 {
		t.Fatal("decided below the limit")
	}
	process(t, s, out, record(t, 0, "a", nil, newSpan(3, 3)))
	equal(t, out.ids(), 1)
	process(t, s, out, record(t, 0, "a", nil, newSpan(4, 4)), record(t, 0, "a", nil, newSpan(1, 5), failed(2, 6)))
	equal(t, out.ids(), 1, 5)
	if got := testutil.ToFloat64(s.metrics.earlyTraces); got != 2 {
		t.Errorf("%v early decisions", got)
	}
	if got := testutil.ToFloat64(s.metrics.lateKept); got != 1 {
		t.Errorf("%v late spans kept", got)
	}
}

// One trace without end does not outgrow the limit.
func TestEndlessTrace(t *testing.T) {
	t.Parallel()
	s, out := newTestSampler(t, parse(t, "  max_bytes: 1MiB\n  policies: [{name: all, type: always_sample}]")), newSink(t)
	const n = 50000
	for i := range n {
		process(t, s, out, record(t, 0, "a", nil, newSpan(1, i+1)))
		if used := s.waiting.bytes + s.resources.bytes; used > 1<<20 {
			t.Fatalf("%d bytes after %d spans", used, i)
		}
	}
	tick(t, s, out, time.Minute)
	if len(out.spans) != n {
		t.Errorf("%d spans of %d", len(out.spans), n)
	}
	if testutil.ToFloat64(s.metrics.earlyBytes) != 1 {
		t.Error("no early decision was counted")
	}
}

// A million traces at once take the memory that the limits allow, and nothing is lost for it.
func TestBoundedMemory(t *testing.T) {
	cfg := parse(t, "  max_bytes: 8MiB\n  decision_cache: {sampled_cache_size: 1000, non_sampled_cache_size: 1000}\n"+
		"  policies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: 1}}]")
	s := newTestSampler(t, cfg)
	var counted discard
	const traces, perRecord = 1_000_000, 100
	spans := make([]*millracev1.Span, perRecord)
	for i := range spans {
		spans[i] = newSpan(0, 1)
		spans[i].Attributes = attributes(map[string]any{"url.path": "/orders/17", "http.response.status_code": 200})
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	for i := range traces / perRecord {
		for j, span := range spans {
			id := traceID(i*perRecord + j)
			span.TraceId, span.SpanId = id[:], uint64(i*perRecord+j+1)
		}
		process(t, s, &counted, record(t, time.Duration(i)*time.Millisecond/10, "a", map[string]any{"process.pid": i % 50}, spans...))
		if i%1000 == 999 {
			now := heap()
			most = max(most, now-min(before, now))
		}
	}
	tick(t, s, &counted, time.Hour)
	t.Logf("at most %d KiB on the heap", most>>10)
	if most > 12<<20 {
		t.Errorf("%d MiB on the heap with sampling.max_bytes of 8 MiB", most>>20)
	}
	kept, dropped := testutil.ToFloat64(s.metrics.spansKept), testutil.ToFloat64(s.metrics.spansDropped)
	if kept+dropped != traces || kept < 9500 || kept > 10500 {
		t.Errorf("%v kept, %v dropped", kept, dropped)
	}
	if testutil.ToFloat64(s.metrics.earlyBytes) == 0 {
		t.Error("the limit was not reached")
	}
}

// discard takes everything.
type discard struct{ messages, bytes int }

func (d *discard) Publish(_, _ string, data []byte) {
	d.messages++
	d.bytes += len(data)
}

// What cannot be understood is counted, and the rest of it used.
func TestMalformed(t *testing.T) {
	t.Parallel()
	good := record(t, 0, "a", nil, failed(1, 1))
	for what, r := range map[string]stage.Record{
		"batch":   {Subject: good.Subject, Data: []byte("\xff\xff")},
		"version": {Subject: good.Subject, Data: []byte{8, 2}},
		"subject": {Subject: "millrace.span.0.x", Data: good.Data},
		"span": record(t, 0, "a", nil, failed(1, 1), &millracev1.Span{TraceId: make([]byte, 15), SpanId: 2},
			&millracev1.Span{TraceId: make([]byte, 16)}),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, out := newTestSampler(t, parse(t, errorsOnly)), newSink(t)
			process(t, s, out, r, good)
			tick(t, s, out, time.Minute)
			equal(t, out.ids(), 1)
			if got := testutil.ToFloat64(s.metrics.malformed.WithLabelValues(what)); got < 1 {
				t.Errorf("%v counted", got)
			}
			if n := len(s.resources.byKey); n != 0 {
				t.Errorf("%d resources are left", n)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s, out := newTestSampler(t, parse(t, `
  policies:
    - {name: slow, type: latency, latency: {threshold_ms: 50}}
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: url.path, values: [/healthz]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
`)), newSink(t)
	health, head := newSpan(3, 5), newSpan(4, 6)
	health.Attributes = attributes(map[string]any{"url.path": "/healthz"})
	head.TraceFlags = 0
	process(t, s, out, record(t, 0, "a", nil, failed(1, 1), newSpan(1, 2), newSpan(2, 3), newSpan(2, 4), newSpan(2, 7), health, head))
	if got := testutil.ToFloat64(s.metrics.traces); got != 4 {
		t.Errorf("%v traces wait", got)
	}
	if got := testutil.ToFloat64(s.metrics.bytes); got < 4*traceOverhead {
		t.Errorf("%v bytes wait", got)
	}
	tick(t, s, out, time.Minute)
	index := func(name string) int { return slices.Index(s.policies.names, name) }
	for _, tt := range []struct {
		what string
		got  float64
		want float64
	}{
		{"kept by errors", testutil.ToFloat64(s.metrics.decided[1][index("errors")+2]), 1},
		{"dropped by health", testutil.ToFloat64(s.metrics.decided[0][index("health")+2]), 1},
		{"dropped by nobody", testutil.ToFloat64(s.metrics.decided[0][0]), 1},
		{"dropped by the head", testutil.ToFloat64(s.metrics.decided[0][1]), 1},
		{"said of slow: not sampled", testutil.ToFloat64(s.metrics.votes[index("slow")][notSampled]), 2},
		{"said of errors: sampled", testutil.ToFloat64(s.metrics.votes[index("errors")][sampled]), 1},
		{"kept spans", testutil.ToFloat64(s.metrics.spansKept), 2},
		{"dropped spans", testutil.ToFloat64(s.metrics.spansDropped), 5},
		{"traces waiting", testutil.ToFloat64(s.metrics.traces), 0},
		{"bytes waiting", testutil.ToFloat64(s.metrics.bytes), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	// A discarded sampler leaves nothing in the gauges.
	process(t, s, out, record(t, time.Hour, "a", nil, newSpan(9, 9)))
	if err := s.Close(); err != nil || testutil.ToFloat64(s.metrics.traces) != 0 || testutil.ToFloat64(s.metrics.bytes) != 0 {
		t.Error("the gauges keep what was discarded")
	}
}

// A snapshot is read by samplers of other settings.
func TestRestoreOtherSettings(t *testing.T) {
	t.Parallel()
	rate := "  policies: [{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 4}}]\n"
	s, out := newTestSampler(t, parse(t, rate)), newSink(t)
	for i := range 20 {
		process(t, s, out, record(t, time.Duration(i)*time.Second, "a", nil, newSpan(i, i+1)))
	}
	before := len(out.spans)
	b, err := s.Snapshot(nil)
	if err != nil || before == 0 {
		t.Fatal(before, err)
	}
	for _, cfg := range []*config.Sampling{
		parse(t, errorsOnly), parse(t, rate+"  num_traces: 3"), parse(t, rate+"  decision_wait: 1s"),
		parse(t, rate+"  decision_cache: {sampled_cache_size: 0, non_sampled_cache_size: 5}"),
		parse(t, "  policies: [{name: r, type: and, and: {and_sub_policy: [{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 4}}]}}]"),
	} {
		restored := newTestSampler(t, cfg)
		if err := restored.Restore(b); err != nil {
			t.Fatal(err)
		}
		process(t, restored, newSink(t), record(t, 20*time.Second, "a", nil, newSpan(100, 101)))
		if n := len(restored.waiting.byID); n > cfg.NumTraces {
			t.Errorf("%d traces wait, %d may", n, cfg.NumTraces)
		}
		tick(t, restored, newSink(t), time.Hour)
		if n := len(restored.waiting.byID) + len(restored.resources.byKey); n != 0 {
			t.Errorf("%d traces and resources are left", n)
		}
	}
}

func TestRestoreDamaged(t *testing.T) {
	t.Parallel()
	cfg := parse(t, errorsOnly)
	s := newTestSampler(t, cfg)
	process(t, s, newSink(t), record(t, 0, "a", nil, failed(1, 1), newSpan(2, 2)))
	good, err := s.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if newTestSampler(t, cfg).Restore(good[:n]) == nil {
			t.Errorf("no error from the first %d bytes of %d", n, len(good))
		}
	}
	if newTestSampler(t, cfg).Restore(append(slices.Clone(good), 0)) == nil {
		t.Error("no error from a byte too many")
	}
	if newTestSampler(t, cfg).Restore(append([]byte{2}, good[1:]...)) == nil {
		t.Error("no error from another version")
	}
}

// When the stage ends, traces are decided on early only if no more spans can come.
func TestFinish(t *testing.T) {
	t.Parallel()
	s, out := newTestSampler(t, parse(t, errorsOnly)), newSink(t)
	process(t, s, out, record(t, 0, "front", nil, failed(1, 1), newSpan(2, 2)), record(t, time.Second, "front", nil, failed(3, 3)))
	if err := s.Finish(t.Context(), false, out); err != nil {
		t.Fatal(err)
	}
	equal(t, out.ids())
	if err := s.Finish(t.Context(), true, out); err != nil {
		t.Fatal(err)
	}
	equal(t, out.ids(), 1, 3)
	if len(s.waiting.byID) != 0 {
		t.Errorf("%d traces wait", len(s.waiting.byID))
	}
}
