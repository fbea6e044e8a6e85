package sampling

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// typical are records of five services with spans as the enricher makes them: traces of five spans, one at each service, 20 spans a
// record. Trace ids and times are put in by renew.
type typical struct {
	records []stage.Record
	// places of trace ids and span ids in the records.
	traces, spans [][]int
	perRecord     int
}

func newTypical(t testing.TB) *typical {
	b := &typical{perRecord: 20}
	resource := map[string]any{
		"service.namespace": "ns", "host.name": "node-1", "process.pid": 4711, "process.executable.path": "/usr/local/bin/shop",
		"container.id": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "telemetry.sdk.name": "millrace",
		"service.instance.id": "0123456789abcdef", "telemetry.sdk.language": "go",
	}
	for service := range 5 {
		var spans []*millracev1.Span
		for i := range b.perRecord {
			span := newSpan(0, service*b.perRecord+i+1)
			span.TraceId, span.SpanId = fmt.Appendf(nil, "trace-%04d-%05d", service, i), 0xabcdef0123450000+uint64(service*b.perRecord+i)
			span.ParentSpanId, span.Kind = 7, millracev1.SpanKind_SPAN_KIND_SERVER
			span.Attributes = attributes(map[string]any{
				"http.request.method": "GET", "url.path": "/orders/17", "url.scheme": "http", "server.address": "shop.example",
				"server.port": 8080, "client.address": "192.0.2.7", "client.port": 40000, "network.protocol.name": "http",
				"network.protocol.version": "1.1", "network.transport": "tcp", "network.type": "ipv4", "network.peer.address": "192.0.2.7",
				"network.peer.port": 40000, "http.response.status_code": 200, "user_agent.original": "curl/8.0", "peer.service": "front",
				srtt: 0.00025,
			})
			spans = append(spans, span)
		}
		r := record(t, 0, fmt.Sprint("service-", service), resource, spans...)
		var traces, ids []int
		for _, span := range spans {
			traces = append(traces, indexOf(r.Data, span.TraceId))
			ids = append(ids, indexOf(r.Data, binary.LittleEndian.AppendUint64(nil, span.SpanId)))
		}
		b.records, b.traces, b.spans = append(b.records, r), append(b.traces, traces), append(b.spans, ids)
	}
	return b
}

func indexOf(data, what []byte) int {
	for i := range data {
		if len(data)-i >= len(what) && string(data[i:i+len(what)]) == string(what) {
			return i
		}
	}
	panic("not there")
}

// renew makes the records those of the n-th set of traces, at that time.
func (b *typical) renew(n int, at time.Duration) {
	for i := range b.records {
		for j := range b.perRecord {
			id := traceID(n*b.perRecord + j)
			copy(b.records[i].Data[b.traces[i][j]:], id[:])
			binary.LittleEndian.PutUint64(b.records[i].Data[b.spans[i][j]:], uint64((n*b.perRecord+j)*len(b.records)+i+1))
		}
		b.records[i].Time = time.Unix(0, epoch+int64(at))
	}
}

// cpu is the processor time that the process has used: unlike the clock, it tells little of what else the machine does.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

const typicalPolicies = `
  policies:
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: x, type: string_attribute, string_attribute: {key: url.path, values: [/healthz]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 500}}
    - {name: kernel, type: kernel, kernel: {min_retransmits: 1, outcomes: [reset, closed]}}
    - {name: rest, type: probabilistic, probabilistic: {sampling_percentage: %d}}
`

// BenchmarkSampler is the cost of a span through the sampler, from the record to the batch that is published. The waiting time is filled with
// 10,000 traces.
func BenchmarkSampler(b *testing.B) {
	for _, percentage := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d%%", percentage), func(b *testing.B) {
			s := newTestSampler(b, parse(b, fmt.Sprintf(typicalPolicies, percentage)+"  max_bytes: 512MiB"))
			t := newTypical(b)
			var out discard
			b.ReportAllocs()
			spans := 0
			before := cpu(b)
			for b.Loop() {
				t.renew(spans/100, time.Duration(spans/100)*20*time.Millisecond)
				if err := s.Process(context.Background(), t.records, &out); err != nil {
					b.Fatal(err)
				}
				spans += 100
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(spans), "cpu-ns/span")
			b.ReportMetric(float64(len(t.records[0].Data))/20, "bytes/span")
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
		t := newTypical(b)
		before := heap()
		for n := range traces / 20 {
			t.renew(n, 0)
			process(b, s, &discard{}, t.records...)
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
	t := newTypical(b)
	for n := range 100 {
		t.renew(n, 0)
		process(b, s, &discard{}, t.records...)
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
