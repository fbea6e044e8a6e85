package sampling

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/lib/stage/stagebench"
	"millrace.dev/services/exporter/internal/exportertest"
)

// cpu is the processor time that the process has used: unlike the clock, it tells little of what else the machine does.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func newSpans(b *testing.B) *exportertest.Spans {
	return exportertest.NewSpans(b, testPartitions, time.Unix(0, epoch))
}

const typicalPolicies = `
  policies:
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: url.path, values: [/healthz]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 500}}
    - {name: kernel, type: kernel, kernel: {min_retransmits: 1, outcomes: [reset, closed]}}
    - {name: rest, type: probabilistic, probabilistic: {sampling_percentage: %d}}
`

// BenchmarkStage is the stage's cost of a span, with the waiting time full of traces.
func BenchmarkStage(b *testing.B) {
	for _, percentage := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d%%", percentage), func(b *testing.B) {
			t, n := newSpans(b), 0
			stagebench.Run(b, newTestSampler(b, parse(b, fmt.Sprintf(typicalPolicies, percentage)+"  max_bytes: 128MiB")), stagebench.Load{
				Next: func(time.Time) ([]stage.Record, int) {
					n++
					return t.Next(n)
				},
				Warm:        20 * time.Second,
				Checkpoints: 10 * time.Second, // as the exporter has it
			})
		})
	}
}

// BenchmarkSampler is the cost of a span through the sampler, from the record to the batch that is published. The
// waiting time is filled with 10,000 traces.
func BenchmarkSampler(b *testing.B) {
	for _, percentage := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d%%", percentage), func(b *testing.B) {
			s := newTestSampler(b, parse(b, fmt.Sprintf(typicalPolicies, percentage)+"  max_bytes: 512MiB"))
			t := newSpans(b)
			var out discard
			b.ReportAllocs()
			spans := 0
			before := cpu(b)
			for b.Loop() {
				t.Renew(spans/100, time.Duration(spans/100)*20*time.Millisecond)
				if err := s.Process(context.Background(), t.Records, &out); err != nil {
					b.Fatal(err)
				}
				spans += 100
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(spans), "cpu-ns/span")
			b.ReportMetric(float64(len(t.Records[0].Data))/20, "bytes/span")
		})
	}
}

// BenchmarkWaiting is the memory of waiting traces of five spans each, as the heap has it and as the sampler counts it.
func BenchmarkWaiting(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	const traces = 20000
	for b.Loop() {
		s := newTestSampler(b, parse(b, fmt.Sprintf(typicalPolicies, 1)+"  max_bytes: 512MiB"))
		t := newSpans(b)
		before := heap()
		for n := range traces / 20 {
			t.Renew(n, 0)
			process(b, s, &discard{}, t.Records...)
		}
		after := heap()
		b.ReportMetric((after-before)/traces, "bytes/trace")
		b.ReportMetric(float64(s.waiting.bytes+s.resources.bytes)/traces, "counted/trace")
		b.ReportMetric(float64(s.waiting.first.bytes), "span-bytes/trace")
		runtime.KeepAlive(s)
	}
}

// BenchmarkSnapshot is the cost of a checkpoint of 2,000 waiting traces of five spans, and of taking it over.
func BenchmarkSnapshot(b *testing.B) {
	cfg := parse(b, fmt.Sprintf(typicalPolicies, 1))
	s := newTestSampler(b, cfg)
	t := newSpans(b)
	for n := range 100 {
		t.Renew(n, 0)
		process(b, s, &discard{}, t.Records...)
	}
	var snapshot []byte
	b.Run("write", func(b *testing.B) {
		before := cpu(b)
		for b.Loop() {
			snapshot, _ = s.Snapshot(snapshot[:0])
		}
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/10000, "cpu-ns/span")
		b.ReportMetric(float64(len(snapshot))/10000, "bytes/span")
	})
	b.Run("read", func(b *testing.B) {
		before := cpu(b)
		for b.Loop() {
			if err := s.Restore(snapshot); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/10000, "cpu-ns/span")
	})
}
