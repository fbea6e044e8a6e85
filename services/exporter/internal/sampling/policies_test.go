package sampling

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// given is a span of a trace to be decided on.
type given struct {
	attributes map[string]any
	resource   map[string]any
	status     millracev1.StatusCode
	// from and to are milliseconds.
	from, to   int
	tracestate string
	unsampled  bool
}

const (
	isOK    = millracev1.StatusCode_STATUS_CODE_OK
	isError = millracev1.StatusCode_STATUS_CODE_ERROR
)

func with(key string, value any) given       { return given{attributes: map[string]any{key: value}} }
func ofResource(key string, value any) given { return given{resource: map[string]any{key: value}} }

// decideOn sends a trace through a sampler and reports whether it is kept.
func decideOn(t *testing.T, s *Sampler, trace int, at time.Duration, spans []given) bool {
	t.Helper()
	out := newSink(t)
	for i, g := range spans {
		span := newSpan(trace, 1000*trace+i+1)
		span.Attributes, span.Status, span.Tracestate = attributes(g.attributes), g.status, g.tracestate
		span.StartUnixNs, span.EndUnixNs = uint64(epoch)+uint64(g.from)*1e6, uint64(epoch)+uint64(g.to)*1e6
		if g.unsampled {
			span.TraceFlags = 0
		}
		process(t, s, out, record(t, at, fmt.Sprint("service-", i), g.resource, span))
	}
	tick(t, s, out, at+20*time.Second)
	if n := len(out.spans); n != 0 && n != len(spans) {
		t.Fatalf("%d of %d spans are kept", n, len(spans))
	}
	return len(out.spans) > 0
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	plain := given{}
	for _, tt := range []struct {
		name     string
		policies string
		spans    []given
		kept     bool
	}{
		{"always", "{type: always_sample}", []given{plain}, true},

		{"latency not above", "{type: latency, latency: {threshold_ms: 50}}", []given{{to: 50}}, false},
		{"latency above", "{type: latency, latency: {threshold_ms: 50}}", []given{{to: 51}}, true},
		{"latency of a whole trace", "{type: latency, latency: {threshold_ms: 50}}", []given{{from: 30, to: 60}, {from: 0, to: 40}}, true},
		{"latency at the upper bound", "{type: latency, latency: {threshold_ms: 50, upper_threshold_ms: 90}}", []given{{to: 90}}, true},
		{"latency above the upper bound", "{type: latency, latency: {threshold_ms: 50, upper_threshold_ms: 90}}", []given{{to: 60}, {to: 91}}, false},

		{"number below", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 400, max_value: 499}}", []given{with("k", 399)}, false},
		{"number least", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 400, max_value: 499}}", []given{plain, with("k", 400)}, true},
		{"number greatest", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 400, max_value: 499}}", []given{with("k", 499)}, true},
		{"number above", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 400, max_value: 499}}", []given{with("k", 500)}, false},
		{"number without a greatest", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 400}}", []given{with("k", math.MaxInt64)}, true},
		{"number without a least", "{type: numeric_attribute, numeric_attribute: {key: k, max_value: -3}}", []given{with("k", -4)}, true},
		{"number with a fraction", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 2, max_value: 3}}", []given{with("k", 2.5)}, true},
		{"number with a fraction outside", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 2, max_value: 3}}", []given{with("k", 3.5)}, false},
		{"number of a resource", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 2}}", []given{plain, ofResource("k", 2)}, true},
		{"number of another key", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 2}}", []given{with("l", 2)}, false},
		{"text is no number", "{type: numeric_attribute, numeric_attribute: {key: k, max_value: 2}}", []given{with("k", "1")}, false},
		{"inverted number outside", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 2, invert_match: true}}", []given{with("k", 1)}, true},
		{"inverted number inside", "{type: numeric_attribute, numeric_attribute: {key: k, min_value: 2, invert_match: true}}", []given{plain, with("k", 3)}, false},

		{"text", "{type: string_attribute, string_attribute: {key: k, values: [a, b]}}", []given{plain, with("k", "b")}, true},
		{"other text", "{type: string_attribute, string_attribute: {key: k, values: [a, b]}}", []given{with("k", "ab")}, false},
		{"text of a resource", "{type: string_attribute, string_attribute: {key: k, values: [a]}}", []given{ofResource("k", "a")}, true},
		{"text of a list", "{type: string_attribute, string_attribute: {key: k, values: [a]}}", []given{with("k", []string{"a"})}, false},
		{"expression", "{type: string_attribute, string_attribute: {key: k, values: ['^/x', 'y+'], enabled_regex_matching: true}}", []given{with("k", "ayyb")}, true},
		{"expression that does not match", "{type: string_attribute, string_attribute: {key: k, values: ['^/x'], enabled_regex_matching: true}}", []given{with("k", "/a/x")}, false},
		{"expression and nothing", "{type: string_attribute, string_attribute: {key: k, values: ['.*'], enabled_regex_matching: true}}", []given{with("k", "")}, false},
		{"inverted text", "{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{plain, with("k", "a")}, false},
		{"inverted other text", "{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{plain, with("k", "b")}, true},
		{"inverted text of a resource", "{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{plain, ofResource("k", "a")}, false},
		{"inverted without the key", "{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{plain}, true},

		{"yes", "{type: boolean_attribute, boolean_attribute: {key: k, value: true}}", []given{with("k", true)}, true},
		{"no", "{type: boolean_attribute, boolean_attribute: {key: k, value: true}}", []given{with("k", false)}, false},
		{"wanted no", "{type: boolean_attribute, boolean_attribute: {key: k, value: false}}", []given{with("k", false)}, true},
		{"wanted no, nothing there", "{type: boolean_attribute, boolean_attribute: {key: k, value: false}}", []given{plain}, false},
		{"inverted yes", "{type: boolean_attribute, boolean_attribute: {key: k, value: true, invert_match: true}}", []given{with("k", true)}, false},

		{"error", "{type: status_code, status_code: {status_codes: [ERROR]}}", []given{plain, {status: isError}}, true},
		{"no error", "{type: status_code, status_code: {status_codes: [ERROR]}}", []given{plain, {status: isOK}}, false},
		{"unset or OK", "{type: status_code, status_code: {status_codes: [OK, UNSET]}}", []given{{status: isOK}}, true},
		{"unset", "{type: status_code, status_code: {status_codes: [UNSET]}}", []given{plain}, true},

		{"too few spans", "{type: span_count, span_count: {min_spans: 2}}", []given{plain}, false},
		{"enough spans", "{type: span_count, span_count: {min_spans: 2}}", []given{plain, plain}, true},
		{"too many spans", "{type: span_count, span_count: {min_spans: 1, max_spans: 2}}", []given{plain, plain, plain}, false},

		{"tracestate", "{type: trace_state, trace_state: {key: k, values: [a, b]}}", []given{plain, {tracestate: "x=a, k=b"}}, true},
		{"tracestate of another value", "{type: trace_state, trace_state: {key: k, values: [a]}}", []given{{tracestate: "x=a,k=aa"}}, false},
		{"flags", "{type: trace_flags}", []given{{unsampled: true}, plain}, true},

		{"all of and", "{type: and, and: {and_sub_policy: [{name: x, type: status_code, status_code: {status_codes: [ERROR]}}, {name: y, type: latency, latency: {threshold_ms: 9}}]}}", []given{{status: isError}, {to: 10}}, true},
		{"one of and", "{type: and, and: {and_sub_policy: [{name: x, type: status_code, status_code: {status_codes: [ERROR]}}, {name: y, type: latency, latency: {threshold_ms: 9}}]}}", []given{{to: 10}}, false},
		{"inverted inside and", "{type: and, and: {and_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}]}}", []given{plain}, true},
		{"not", "{type: not, not: {not_sub_policy: {name: x, type: latency, latency: {threshold_ms: 9}}}}", []given{{to: 10}}, false},
		{"not not", "{type: not, not: {not_sub_policy: {name: x, type: latency, latency: {threshold_ms: 9}}}}", []given{{to: 9}}, true},

		// Precedence.
		{"one of two", "{type: latency, latency: {threshold_ms: 50}}\n{type: status_code, status_code: {status_codes: [ERROR]}}", []given{{status: isError}}, true},
		{"drop outweighs", "{type: always_sample}\n{type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: url.path, values: ['^/healthz$'], enabled_regex_matching: true}}]}}", []given{with("url.path", "/healthz")}, false},
		{"drop does not apply", "{type: always_sample}\n{type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: url.path, values: ['^/healthz$'], enabled_regex_matching: true}}]}}", []given{with("url.path", "/healthz/x")}, true},
		{"drop needs all", "{type: always_sample}\n{type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: k, values: [a]}}, {name: y, type: status_code, status_code: {status_codes: [OK]}}]}}", []given{with("k", "a")}, true},
		{"inverted refusal outweighs", "{type: always_sample}\n{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{with("k", "a")}, false},
		{"inverted wish does not outweigh a refusal", "{type: latency, latency: {threshold_ms: 50}}\n{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{plain}, false},
		{"inverted wish with another wish", "{type: latency, latency: {threshold_ms: 50}}\n{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{{to: 51}}, true},
		{"inverted wish beside a drop policy that does not apply", "{type: drop, drop: {drop_sub_policy: [{name: x, type: latency, latency: {threshold_ms: 50}}]}}\n{type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}", []given{plain}, true},

		// Symptoms.
		{"retransmits", "{type: kernel, kernel: {min_retransmits: 2}}", []given{plain, with(retransmits, 2)}, true},
		{"few retransmits", "{type: kernel, kernel: {min_retransmits: 2}}", []given{with(retransmits, 1), with(retransmits, 1)}, false},
		{"round trips", "{type: kernel, kernel: {min_srtt_ms: 2.5}}", []given{with(srtt, 0.0025)}, true},
		{"short round trips", "{type: kernel, kernel: {min_srtt_ms: 2.5}}", []given{with(srtt, 0.0024)}, false},
		{"outcome", "{type: kernel, kernel: {outcomes: [reset, closed]}}", []given{with(outcome, "closed")}, true},
		{"other outcome", "{type: kernel, kernel: {outcomes: [reset, closed]}}", []given{with(outcome, "expired")}, false},
		{"lost bytes", "{type: kernel, kernel: {min_lost_bytes: 1}}", []given{with(lostBytes, 1)}, true},
		{"network time", "{type: kernel, kernel: {min_network_ms: 20}}", []given{{to: 100, attributes: map[string]any{networkDuration: 0.02}}}, true},
		{"short network time", "{type: kernel, kernel: {min_network_ms: 20}}", []given{{to: 100, attributes: map[string]any{networkDuration: 0.019}}}, false},
		{"queue time", "{type: kernel, kernel: {min_queue_ms: 20}}", []given{{to: 100, attributes: map[string]any{queueDuration: 0.02}}}, true},
		{"short queue time", "{type: kernel, kernel: {min_queue_ms: 20}}", []given{{to: 100, attributes: map[string]any{queueDuration: 0.019}}}, false},
		{"network share", "{type: kernel, kernel: {min_network_share: 0.5}}", []given{{to: 10, attributes: map[string]any{networkDuration: 0.005}}}, true},
		{"small network share", "{type: kernel, kernel: {min_network_share: 0.5}}", []given{{to: 10, attributes: map[string]any{networkDuration: 0.004}}}, false},
		{"network share without network time", "{type: kernel, kernel: {min_network_share: 0.5}}", []given{{to: 0}}, false},
		{"network share of one span, time of another", "{type: kernel, kernel: {min_network_share: 0.5, min_network_ms: 20}}", []given{{to: 10, attributes: map[string]any{networkDuration: 0.009}}, {to: 100, attributes: map[string]any{networkDuration: 0.03}}}, false},
		{"one symptom of two", "{type: kernel, kernel: {min_retransmits: 5, outcomes: [reset]}}", []given{with(outcome, "reset")}, true},

		// Head decisions.
		{"context says no", "{type: always_sample}", []given{{unsampled: true}, {unsampled: true}}, false},
		{"one context says yes", "{type: always_sample}", []given{{unsampled: true}, plain}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := "  policies:\n"
			for i, policy := range strings.Split(tt.policies, "\n") {
				text += fmt.Sprintf("    - {name: p%d, %s\n", i, strings.TrimPrefix(policy, "{"))
			}
			cfg := parse(t, text)
			if kept := decideOn(t, newTestSampler(t, cfg), 0, 0, tt.spans); kept != tt.kept {
				t.Errorf("kept %v", kept)
			}
			// The same when the state went through a snapshot before the decision.
			s, out := newTestSampler(t, cfg), newSink(t)
			for i, g := range tt.spans {
				span := newSpan(0, i+1)
				span.Attributes, span.Status, span.Tracestate = attributes(g.attributes), g.status, g.tracestate
				span.StartUnixNs, span.EndUnixNs = uint64(epoch)+uint64(g.from)*1e6, uint64(epoch)+uint64(g.to)*1e6
				if g.unsampled {
					span.TraceFlags = 0
				}
				process(t, s, out, record(t, 0, "service", g.resource, span))
			}
			tick(t, snapshotRestore(t, s, cfg), out, time.Minute)
			if kept := len(out.spans) > 0; kept != tt.kept {
				t.Errorf("kept %v after a restore", kept)
			}
		})
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		settings string
		kept     bool
	}{
		{"  head: ignore\n  policies: [{name: all, type: always_sample}]", true},
		{"  head: respect\n  policies: [{name: all, type: always_sample}]", false},
		{"  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]", false},
		{"  head: respect", false},
	} {
		s := newTestSampler(t, parse(t, tt.settings))
		if kept := decideOn(t, s, 0, 0, []given{{unsampled: true, status: isError}}); kept != tt.kept {
			t.Errorf("%s: kept %v", tt.settings, kept)
		}
	}
	// Without policies everything else is kept.
	if !decideOn(t, newTestSampler(t, parse(t, "  head: respect")), 0, 0, []given{{}}) {
		t.Error("a trace without a head decision is dropped")
	}
}

// The share of traces is as asked for, and the choice that of the Collector.
func TestProbabilistic(t *testing.T) {
	t.Parallel()
	const n = 100_000
	r := rand.New(rand.NewPCG(1, 2))
	for _, percentage := range []float64{0, 0.1, 1, 10, 50, 99, 100} {
		for _, salt := range []string{"", "other"} {
			c := compile(t, parse(t, fmt.Sprintf("  policies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: %v, hash_salt: '%s'}}]",
				percentage, salt)), 1)
			kept := 0
			for range n {
				s := subject{facts: &facts{sampled: true}}
				binary.BigEndian.PutUint64(s.trace[:], r.Uint64())
				binary.BigEndian.PutUint64(s.trace[8:], r.Uint64())
				if c.decide(&s, func(int, vote) {}).kept {
					kept++
				}
			}
			share := percentage / 100
			// Five standard deviations: one run in a million fails by chance, and the seed is fixed.
			if tolerance := 5 * math.Sqrt(n*share*(1-share)); math.Abs(float64(kept)-n*share) > tolerance {
				t.Errorf("%v %% of %d: %d kept", percentage, n, kept)
			}
		}
	}
	// Percentages from which on the Collector keeps these traces with its own salt: FNV-1a of "default-hash-seed" and
	// the id.
	for id, from := range map[string]float64{
		"000102030405060708090a0b0c0d0e0f": 64.99,
		"00000000000000000000000000000000": 88.12,
		"ffffffffffffffffffffffffffffffff": 9.28,
		"4bf92f3577b34da6a3ce929d0e0e4736": 64.56,
	} {
		b, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		for percentage, kept := range map[float64]bool{from - 0.01: false, from + 0.01: true} {
			c := newChance(&config.ProbabilisticPolicy{SamplingPercentage: percentage})
			if c.evaluate(&subject{trace: [16]byte(b)}) == sampled != kept {
				t.Errorf("%s at %v %%: kept %v", id, percentage, !kept)
			}
		}
	}
}

func TestConditionsAreBounded(t *testing.T) {
	t.Parallel()
	text := "  policies:\n"
	for i := range maxConditions + 1 {
		text += fmt.Sprintf("    - {name: p%d, type: boolean_attribute, boolean_attribute: {key: k%d}}\n", i, i)
	}
	if _, err := Compile(parse(t, text), nil, 1); err == nil || !strings.Contains(err.Error(), "sampling.policies[256]: more than 256 conditions") {
		t.Errorf("error %v", err)
	}
}
