package metrics

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/config"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// totals adds up what was published, by metric, and counts series.
func (p *published) totals() (counts map[string]uint64, sums map[string]float64, series, overflowing map[string]int) {
	counts, sums, series, overflowing = map[string]uint64{}, map[string]float64{}, map[string]int{}, map[string]int{}
	for _, b := range p.batches {
		for _, r := range b.Resources {
			for _, d := range r.Deltas {
				counts[d.Name] += d.GetHistogram().GetCount() + d.GetExponentialHistogram().GetCount()
				sums[d.Name] += d.GetHistogram().GetSum() + d.GetExponentialHistogram().GetSum() + d.GetSum()
				series[d.Name]++
				for _, kv := range d.Attributes {
					if kv.Key == "otel.metric.overflow" && kv.GetBoolValue() && len(d.Attributes) == 1 {
						overflowing[d.Name]++
					}
				}
			}
		}
	}
	return counts, sums, series, overflowing
}

// A million paths as they are make no more series than allowed, and totals stay right.
func TestMillionPaths(t *testing.T) {
	t.Parallel()
	const paths = 1_000_000
	for unmatched, limit := range map[string]int{"path": 2001, "heuristic": 1, "low-cardinality": 1, "wildcard": 1, "unset": 1} {
		t.Run(unmatched, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.Routes.Unmatched = unmatched
			a := aggregator(t, cfg)
			_, s := pair()
			j := converted(s) // Each time would take most of the test.
			target := []byte("/orders/")
			for i := range paths {
				target = strconv.AppendInt(target[:len("/orders/")], int64(i), 10)
				j.Exchange.Path = string(target)
				a.Observe(j)
			}
			if len(a.groups) > maxGroups || len(a.series) > 3*limit+2 {
				t.Errorf("%d groups, %d series", len(a.groups), len(a.series))
			}
			p := window(t, a)
			counts, sums, series, overflowing := p.totals()
			for name, sum := range map[string]float64{
				"http.server.request.duration": 0.7 * paths, "http.server.request.body.size": 120 * paths, "http.server.response.body.size": 4096 * paths,
			} {
				if counts[name] != paths || series[name] != limit || sums[name] < sum*0.999999 || sums[name] > sum*1.000001 {
					t.Errorf("%s: %d in %d series, sum %v", name, counts[name], series[name], sums[name])
				}
				if want := min(limit/2000, 1); overflowing[name] != want {
					t.Errorf("%s: %d overflow series, want %d", name, overflowing[name], want)
				}
			}
			for i, size := range p.bytes {
				if size > maxBatchBytes+4096 {
					t.Errorf("batch %d has %d bytes", i, size)
				}
			}
			if limit > 1 && len(p.batches) < 2 {
				t.Errorf("%d batches", len(p.batches))
			}
		})
	}
}

// The limit of a partition holds over services and metrics.
func TestMaxSeries(t *testing.T) {
	t.Parallel()
	cfg := allFeatures()
	cfg.Metrics.MaxSeries = 100
	a := aggregator(t, cfg)
	for i := range 1000 {
		_, s := pair()
		s.Process = &resource.Identity{Process: &millracev1.Process{Id: uint64(i + 10), RuleServiceName: fmt.Sprint("service-", i%50), Pid: uint32(i + 10)}}
		s.Exchange.GetHttp().Target = "/" + string(rune('a'+i%7))
		observe(a, s)
	}
	if a.counted != 100 {
		t.Errorf("%d series counted", a.counted)
	}
	counts, sums, _, _ := window(t, a).totals()
	if counts["http.server.request.duration"] != 1000 || sums["traces_spanmetrics_calls_total"] != 1000 {
		t.Errorf("%v %v", counts, sums)
	}
	if n := testutil.ToFloat64(a.counters.overflow); n < 1000 {
		t.Errorf("%v measurements counted as overflow", n)
	}
	// The next window begins with room.
	_, s := pair()
	observe(a, s)
	if _, _, _, overflowing := window(t, a).totals(); len(overflowing) != 0 {
		t.Errorf("overflow in a new window: %v", overflowing)
	}
}

// What a window took is given back or used again.
func TestWindowsAreForgotten(t *testing.T) {
	t.Parallel()
	a := aggregator(t, allFeatures())
	for round := range 50 {
		for i := range 200 {
			_, s := pair()
			s.Process = &resource.Identity{Process: &millracev1.Process{Id: uint64(round*1000 + i), RuleServiceName: fmt.Sprint("service-", round, "-", i), Pid: 5}}
			observe(a, s)
		}
		window(t, a)
		if len(a.series)+len(a.groups)+len(a.counts) != 0 || a.end != 0 {
			t.Fatal("a window left something behind")
		}
	}
	if len(a.sources) > maxSources || len(a.origins) > 2*maxSources {
		t.Errorf("%d sources, %d origins", len(a.sources), len(a.origins))
	}
}

// Exemplars are the first of each of the four highest buckets, of exchanges that were sampled and have ids.
func TestExemplars(t *testing.T) {
	t.Parallel()
	a := aggregator(t, config.Default())
	observe := func(ms uint64, span uint64, change func(*join.Joined)) {
		c, _ := pair()
		c.Exchange.EndUnixNs = c.Exchange.StartUnixNs + ms*1e6
		c.SpanID = span
		if change != nil {
			change(c)
		}
		observe(a, c)
	}
	observe(20_000, 1, func(j *join.Joined) { j.Flags = 0 })
	observe(20_000, 0, nil)
	observe(20_000, 2, func(j *join.Joined) { j.TraceID = [16]byte{} })
	for i, ms := range []uint64{30, 1, 700, 31, 2000, 6, 300, 9000, 80, 1} {
		observe(ms, uint64(10+i), nil)
	}
	d := find(t, window(t, a), "http.client.request.duration")
	if got := fmt.Sprint(d.GetHistogram().Count, spansOf(d)); got != "13 [16 12 14 17]" {
		t.Errorf("%s", got)
	}
	if len(find(t, window2(t, a), "http.client.request.body.size").Exemplars) != 0 {
		t.Error("exemplars of sizes")
	}
}

func spansOf(d *millracev1.MetricDelta) (ids []uint64) {
	for _, e := range d.Exemplars {
		ids = append(ids, e.SpanId)
	}
	return ids
}

// window2 observes one exchange more and ends its window.
func window2(t *testing.T, a *Aggregator) *published {
	c, _ := pair()
	observe(a, c)
	return window(t, a)
}

func find(t *testing.T, p *published, name string) *millracev1.MetricDelta {
	t.Helper()
	for _, b := range p.batches {
		for _, r := range b.Resources {
			for _, d := range r.Deltas {
				if d.Name == name {
					return d
				}
			}
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

// Rules of services say what is made of them.
func TestOverrides(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Discovery.Services = []config.Service{
		{
			Name: "web", Namespace: "shop", ExePath: "*", Metrics: config.ServiceMetrics{Features: []string{"application_span"}},
			Routes: config.ServiceRoutes{Outgoing: []string{"/orders/:id"}},
		},
		{Name: "orders", Namespace: "shop", ExePath: "*", Exports: []string{"traces"}},
		{Name: "orders", ExePath: "*", Exports: []string{}},
		{Name: "plain", ExePath: "*"},
	}
	a := aggregator(t, cfg)
	c, s := pair()
	if v := observe(a, c); v.Drop || v.Route != "/orders/:id" {
		t.Errorf("client: %+v", v)
	}
	if v := observe(a, s); v.Drop || v.Route != "/orders/*" {
		t.Errorf("server: %+v", v)
	}
	s.Process = &resource.Identity{Process: &millracev1.Process{Id: 9, RuleServiceName: "orders"}}
	if v := observe(a, s); !v.Drop {
		t.Errorf("nothing is to be made of it: %+v", v)
	}
	s.Process = &resource.Identity{Process: &millracev1.Process{Id: 10, RuleServiceName: "plain"}}
	observe(a, s)
	_, sums, series, _ := window(t, a).totals()
	if sums["traces_spanmetrics_calls_total"] != 1 || series["http.server.request.duration"] != 1 || series["http.client.request.duration"] != 0 {
		t.Errorf("%v %v", sums, series)
	}
}

// Ignored paths keep what ignore_mode does not name.
func TestIgnoreMode(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct {
		drop   bool
		series int
	}{"all": {true, 0}, "traces": {true, 1}, "metrics": {false, 0}} {
		cfg := config.Default()
		cfg.Routes.IgnoredPatterns, cfg.Routes.IgnoreMode = []string{"/orders/:id"}, mode
		a := aggregator(t, cfg)
		_, s := pair()
		v := observe(a, s)
		series := 0
		if a.end != 0 {
			_, _, all, _ := window(t, a).totals()
			series = all["http.server.request.duration"]
		}
		if v.Drop != want.drop || series != want.series {
			t.Errorf("%s: drop %v, %d series", mode, v.Drop, series)
		}
	}
}

// memoryOf measures what f keeps.
func memoryOf(f func() any) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// BenchmarkSeries is what a series takes in memory and in a snapshot, and what it costs to publish.
func BenchmarkSeries(b *testing.B) {
	for name, aggregation := range map[string]string{"explicit": config.ExplicitBuckets, "exponential": config.ExponentialBuckets} {
		b.Run(name, func(b *testing.B) {
			cfg := config.Default()
			cfg.Routes.Unmatched, cfg.Metrics.HistogramAggregation, cfg.Metrics.CardinalityLimit = "path", aggregation, 10000
			fill := func(a *Aggregator) {
				_, s := pair()
				for i := range 10000 {
					s.Exchange.GetHttp().Target = fmt.Sprint("/orders/", i)
					observe(a, s)
				}
			}
			a := aggregator(b, cfg)
			bytes := memoryOf(func() any { fill(a); return a })
			b.ReportMetric(float64(bytes)/float64(len(a.series)), "B/series")
			b.ReportMetric(float64(len(a.AppendSnapshot(nil)))/float64(len(a.series)), "snapshot-B/series")
			n := 0
			for b.Loop() {
				if a.end == 0 {
					fill(a)
				}
				n += len(a.series)
				a.Advance(a.end, discard{})
			}
			b.ReportMetric(float64(b.Elapsed())/float64(n), "ns/series")
		})
	}
}

type discard struct{}

func (discard) Publish(string, string, []byte) {}
