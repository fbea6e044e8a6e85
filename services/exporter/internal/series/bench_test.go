package series

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var fifteen = []float64{0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// request is a delta of a histogram as HTTP servers have it: the route tells series apart.
func request(route int) *millracev1.MetricDelta {
	d := durations(fifteen, 0.003, 0.02, 0.3)
	d.Attributes = []*millracev1.KeyValue{
		text("http.request.method", "GET"),
		{Key: "http.response.status_code", Value: &millracev1.KeyValue_IntValue{IntValue: 200}},
		text("http.route", fmt.Sprintf("/api/v1/orders/%d/items", route)),
		text("network.protocol.version", "1.1"), text("server.address", "shop.example"),
		{Key: "server.port", Value: &millracev1.KeyValue_IntValue{IntValue: 8080}},
		text("url.scheme", "http"),
	}
	return d
}

func BenchmarkApply(b *testing.B) {
	const deltas = 500
	var w writer
	w.epoch = 1
	r := of("prod", "shop")
	for i := range deltas {
		r.Deltas = append(r.Deltas, request(i))
	}
	o := options()
	o.CardinalityLimit = 2 * deltas
	s := New(o)
	message := w.batch(b, r)
	s.Apply(message, noon)
	b.ReportAllocs()
	for b.Loop() {
		s.sources[0] = source{} // So that it counts again.
		s.Apply(message, noon)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/deltas, "ns/delta")
}

// filled makes a store of n histograms over services of a thousand each.
func filled(b testing.TB, n int) *Store {
	o := options()
	o.CardinalityLimit, o.MaxSeries, o.KeepExemplars = 1000, n, true
	s := New(o)
	w := writer{epoch: 1}
	for i := 0; i < n; i += 500 {
		r := of("prod", fmt.Sprint("service-", i/1000))
		for j := range 500 {
			r.Deltas = append(r.Deltas, request(i+j))
		}
		s.Apply(w.batch(b, r), noon)
	}
	return s
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkMemory(b *testing.B) {
	const n = 50000
	for b.Loop() {
		before := heap()
		s := filled(b, n)
		after := heap()
		b.ReportMetric(float64(after-before)/float64(s.Len()), "B/series")
		b.ReportMetric(float64(len(s.Snapshot(nil)))/float64(s.Len()), "snapshotB/series")
	}
}

func BenchmarkSnapshot(b *testing.B) {
	const n = 10000
	s := filled(b, n)
	var snapshot []byte
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			snapshot = s.Snapshot(snapshot[:0])
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/series")
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			if err := New(s.options).Restore(snapshot); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/series")
	})
}

func BenchmarkBoundary(b *testing.B) {
	const n = 10000
	s := filled(b, n)
	at := noon
	s.options.TTL = 1e6 * time.Hour
	for b.Loop() {
		at += 10 * second
		_ = s.Advance(at, func() error { return nil })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/series")
}

// A million different paths at one service and a million services: the store stays small, and nothing is lost from the
// totals.
func TestMillionSeries(t *testing.T) {
	if testing.Short() {
		t.Skip("a million deltas")
	}
	t.Parallel()
	for name, r := range map[string]func(i int) *millracev1.ResourceDeltas{
		"paths": func(i int) *millracev1.ResourceDeltas {
			return of("prod", "shop", count("calls", 1, text("url.path", fmt.Sprint("/", i))))
		},
		"services": func(i int) *millracev1.ResourceDeltas { return of("prod", fmt.Sprint("shop-", i), count("calls", 1)) },
		"long texts": func(i int) *millracev1.ResourceDeltas {
			return of(fmt.Sprint(i), strings.Repeat("x", 9999), count("calls", 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.CardinalityLimit, o.MaxSeries, o.MaxBytes = 2000, 50000, 16<<20
			s := New(o)
			w := writer{epoch: 1}
			n := 1_000_000
			if name == "long texts" {
				n = 20_000 // A limit in bytes is reached first.
			}
			for i := 0; i < n; i += 100 {
				var all []*millracev1.ResourceDeltas
				for j := range 100 {
					all = append(all, r(i+j))
				}
				s.Apply(w.batch(t, all...), noon)
			}
			total := uint64(0)
			for _, x := range s.series {
				total += uint64(x.Value)
			}
			snapshot := len(s.Snapshot(nil))
			if total != uint64(n) || s.Len() > o.MaxSeries+10 || snapshot > o.MaxBytes+1<<20 {
				t.Errorf("total %d in %d series, snapshot of %d bytes", total, s.Len(), snapshot)
			}
			t.Logf("%d series, snapshot of %d bytes, overflow %d", s.Len(), snapshot, s.Counts.Overflow)
		})
	}
}
