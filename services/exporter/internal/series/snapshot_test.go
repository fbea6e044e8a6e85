package series

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// traffic makes batches of all kinds of deltas from a seed.
func traffic(t testing.TB, random *rand.Rand, w *writer, now uint64) []byte {
	var resources []*millracev1.ResourceDeltas
	for range 1 + random.IntN(3) {
		var deltas []*millracev1.MetricDelta
		for range random.IntN(6) {
			route := text("http.route", fmt.Sprint("/", random.IntN(30)))
			status := &millracev1.KeyValue{Key: "http.status", Value: &millracev1.KeyValue_IntValue{IntValue: int64(random.IntN(3))}}
			var d *millracev1.MetricDelta
			switch random.IntN(4) {
			case 0:
				d = count("calls", float64(random.IntN(5)), route, status)
			case 1:
				d = &millracev1.MetricDelta{Name: "info", Attributes: []*millracev1.KeyValue{route}, Value: &millracev1.MetricDelta_Gauge{Gauge: 1}}
			case 2:
				upper := bounds
				if random.IntN(20) == 0 {
					upper = bounds[:2]
				}
				d = durations(upper, random.Float64()*20, random.Float64())
				d.Attributes = []*millracev1.KeyValue{route}
			default:
				n := uint64(random.IntN(5))
				d = &millracev1.MetricDelta{
					Name: "exponential", Attributes: []*millracev1.KeyValue{route},
					Value: &millracev1.MetricDelta_ExponentialHistogram{ExponentialHistogram: &millracev1.ExponentialHistogramDelta{
						Count: n + 1, Sum: 3, Scale: int32(random.IntN(5)), Offset: int32(random.IntN(100)) - 50, Counts: []uint64{n, 0, 1},
					}},
				}
			}
			if d.GetSum() > 0 || d.GetHistogram() != nil {
				d.Exemplars = []*millracev1.Exemplar{exemplar(byte(random.IntN(250)+1), random.Float64()*20, now)}
			}
			deltas = append(deltas, d)
		}
		resources = append(resources, of("prod", fmt.Sprint("service-", random.IntN(4)), deltas...))
	}
	return w.batch(t, resources...)
}

// A store that is restored from a snapshot anywhere goes on as if nothing had happened: the same points at the same
// boundaries.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"cumulative": func(*Options) {},
		"delta":      func(o *Options) { o.Delta = true },
		"scrape":     func(o *Options) { o.KeepExemplars, o.Identity = true, true },
		"sampling":   func(o *Options) { o.AwaitKept = 20 * time.Second },
		"limits":     func(o *Options) { o.CardinalityLimit, o.MaxSeries = 7, 30 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			change(&o)
			random := rand.New(rand.NewPCG(7, 8))
			straight, broken := New(o), New(o)
			w := writer{source: 9, epoch: 1}
			var points [2][]map[string]string
			now := noon
			for step := range 600 {
				now += uint64(random.IntN(3000)) * 1e6
				if random.IntN(50) == 0 {
					now += 100 * second
				}
				batch := traffic(t, random, &w, now)
				kept, err := (&millracev1.KeptTraces{Version: 1, TraceIds: [][]byte{exemplar(byte(random.IntN(250)), 0, 0).TraceId}}).MarshalVT()
				if err != nil {
					t.Fatal(err)
				}
				for i, s := range []*Store{straight, broken} {
					_ = s.Advance(now, func() error {
						points[i] = append(points[i], view(s))
						return nil
					})
					s.Apply(batch, now)
					s.Kept(kept)
				}
				if step%7 == 0 {
					snapshot := broken.Snapshot(nil)
					if len(snapshot) > broken.Bytes()+1000+len(broken.waiting)*64+17*keptLimit {
						t.Fatalf("snapshot of %d bytes, told %d", len(snapshot), broken.Bytes())
					}
					bytes := broken.Bytes()
					broken = New(o)
					if err := broken.Restore(snapshot); err != nil {
						t.Fatal(err)
					}
					if broken.Bytes() != bytes {
						t.Fatalf("%d bytes after a snapshot, %d before", broken.Bytes(), bytes)
					}
				}
			}
			if !reflect.DeepEqual(points[0], points[1]) || !reflect.DeepEqual(view(straight), view(broken)) || len(points[0]) < 50 {
				for i := range points[0] {
					if i < len(points[1]) && !reflect.DeepEqual(points[0][i], points[1][i]) {
						t.Fatalf("points %d differ:\n%v\n%v", i, points[0][i], points[1][i])
					}
				}
				t.Errorf("%d points and %d", len(points[0]), len(points[1]))
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s := New(options())
	random := rand.New(rand.NewPCG(1, 1))
	w := writer{source: 9, epoch: 1}
	for range 30 {
		s.Apply(traffic(t, random, &w, noon), noon)
	}
	snapshot := s.Snapshot(nil)
	for n := range snapshot {
		if New(options()).Restore(snapshot[:n]) == nil {
			t.Fatalf("the first %d of %d bytes were taken", n, len(snapshot))
		}
	}
	if New(options()).Restore(append(snapshot[:len(snapshot):len(snapshot)], 0)) == nil {
		t.Error("a byte too many was taken")
	}
	snapshot[0]++
	if New(options()).Restore(snapshot) == nil {
		t.Error("another version was taken")
	}
}

// Whatever the bytes: no panic, and what was taken can be used, written and read again.
func FuzzRestore(f *testing.F) {
	o := options()
	o.KeepExemplars, o.AwaitKept = true, time.Minute
	s := New(o)
	random := rand.New(rand.NewPCG(1, 1))
	w := writer{source: 9, epoch: 1}
	f.Add(s.Snapshot(nil))
	for range 5 {
		s.Apply(traffic(f, random, &w, noon), noon)
	}
	f.Add(s.Snapshot(nil))
	batch := traffic(f, random, &w, noon)
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		s := New(o)
		if s.Restore(snapshot) != nil {
			return
		}
		again := New(o)
		if err := again.Restore(s.Snapshot(nil)); err != nil {
			t.Fatalf("its own snapshot: %v", err)
		}
		if again.Len() != s.Len() {
			t.Fatalf("%d series, then %d", s.Len(), again.Len())
		}
		s.Apply(batch, s.Boundary())
		_ = s.Advance(s.Boundary()+10*second, func() error { view(s); return nil })
		_ = s.Advance(s.Boundary()+1000*second, func() error { view(s); return nil })
		for _, x := range s.series {
			s.remove(x)
		}
		if len(s.resources) != 0 || len(s.symbols.ids) != 0 || len(s.groups) != 0 || len(s.bounds) != 0 {
			t.Fatalf("%d resources, %d texts, %d groups, %d bounds left", len(s.resources), len(s.symbols.ids), len(s.groups), len(s.bounds))
		}
	})
}

// Whatever the bytes: no panic, and nothing beyond the limits.
func FuzzApply(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 1))
	w := writer{source: 9, epoch: 1}
	for range 20 {
		f.Add(traffic(f, random, &w, noon))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		o := options()
		o.CardinalityLimit, o.MaxSeries = 2, 4
		s := New(o)
		s.Apply(message, noon)
		s.Kept(message)
		if s.Len() > 20 && s.Len() > o.MaxSeries+len(s.metrics)+len(s.resources) {
			t.Fatalf("%d series", s.Len())
		}
		_ = s.Advance(noon, func() error { return nil })
		_ = s.Advance(noon+100*second, func() error { view(s); return nil })
		if err := New(o).Restore(s.Snapshot(nil)); err != nil {
			t.Fatalf("its own snapshot: %v", err)
		}
	})
}
