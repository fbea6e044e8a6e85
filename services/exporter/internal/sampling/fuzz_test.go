package sampling

import (
	"context"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
)

func fuzzed(t testing.TB) *config.Sampling {
	return parse(t, `
  num_traces: 10
  max_bytes: 64KiB
  policies:
    - {name: rate, type: rate_limiting, rate_limiting: {spans_per_second: 100}}
    - {name: path, type: string_attribute, string_attribute: {key: url.path, values: [x+], enabled_regex_matching: true}}
    - {name: state, type: trace_state, trace_state: {key: k, values: [v]}}
    - {name: kernel, type: kernel, kernel: {min_retransmits: 1, min_network_share: 0.5, outcomes: [reset]}}
`)
}

// FuzzRecord: whatever is in a record, nothing panics, the bounds hold, and the state can be restored.
func FuzzRecord(f *testing.F) {
	span := newSpan(1, 1)
	span.Attributes, span.Tracestate = attributes(map[string]any{"url.path": "xx", networkDuration: 0.5, retransmits: 2, outcome: "reset"}), "k=v,x"
	r := record(f, 0, "a", map[string]any{"k": []string{"v"}}, span, newSpan(2, 2))
	f.Add(r.Subject, r.Data, int64(0))
	f.Add("millrace.span.0._.=5F", r.Data, int64(-1))
	f.Add("millrace.span.0.a", []byte{8, 1}, int64(1)<<62)
	f.Fuzz(func(t *testing.T, subject string, data []byte, at int64) {
		cfg := fuzzed(t)
		s := newTestSampler(t, cfg)
		var out discard
		process(t, s, &out, stage.Record{Subject: subject, Time: time.Unix(0, epoch), Data: data},
			stage.Record{Subject: subject, Time: time.Unix(0, at), Data: data})
		if len(s.waiting.byID) > cfg.NumTraces || s.waiting.first != nil && s.waiting.bytes+s.resources.bytes > int(cfg.MaxBytes) {
			t.Fatalf("%d traces of %d bytes wait", len(s.waiting.byID), s.waiting.bytes)
		}
		restored := snapshotRestore(t, s, cfg)
		for _, s := range []*Sampler{s, restored} {
			if err := s.Tick(context.Background(), time.Unix(1<<33, 0), &out); err != nil {
				t.Fatal(err)
			}
			if n := len(s.resources.byKey); n != 0 && at < 1<<62 {
				t.Fatalf("%d resources are left", n)
			}
		}
	})
}

// FuzzRestore: a snapshot is refused, or makes a sampler that works.
func FuzzRestore(f *testing.F) {
	cfg := fuzzed(f)
	s := newTestSampler(f, cfg)
	for _, at := range []time.Duration{0, time.Second, 11 * time.Second} {
		process(f, s, &discard{}, record(f, at, "a", nil, newSpan(int(at), int(at)+1), newSpan(5, int(at)+2)))
		b, err := s.Snapshot(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newTestSampler(t, cfg)
		if s.Restore(b) != nil {
			if len(s.waiting.byID) != 0 || len(s.resources.byKey) != 0 {
				t.Fatal("a refused snapshot leaves something")
			}
			return
		}
		var out discard
		process(t, s, &out, record(t, time.Hour, "a", nil, newSpan(1, 1)))
		tick(t, s, &out, 2*time.Hour)
		again, err := s.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := newTestSampler(t, cfg).Restore(again); err != nil {
			t.Fatal(err)
		}
	})
}
