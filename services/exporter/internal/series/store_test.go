package series

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/services/exporter/internal/selection"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const second = uint64(time.Second)

// noon is a boundary of ten seconds.
const noon = uint64(1_800_000_000) * second

func options() Options {
	return Options{Interval: 10 * time.Second, TTL: time.Minute, CardinalityLimit: 100, MaxSeries: 10000, Partition: 3}
}

// writer numbers batches as an enricher does.
type writer struct {
	source   uint32
	epoch    uint64
	sequence uint64
}

func (w *writer) batch(t testing.TB, resources ...*millracev1.ResourceDeltas) []byte {
	t.Helper()
	w.sequence++
	data, err := (&millracev1.MetricBatch{
		Version: 1, Source: w.source, EpochUnixNs: w.epoch, Sequence: w.sequence, StartUnixNs: noon, EndUnixNs: noon + second, Resources: resources,
	}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func of(namespace, service string, deltas ...*millracev1.MetricDelta) *millracev1.ResourceDeltas {
	r := &millracev1.Resource{Attributes: []*millracev1.KeyValue{text("service.name", service)}}
	if namespace != "" {
		r.Attributes = append(r.Attributes, text("service.namespace", namespace))
	}
	return &millracev1.ResourceDeltas{Resource: r, Deltas: deltas}
}

func text(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

func count(name string, n float64, attributes ...*millracev1.KeyValue) *millracev1.MetricDelta {
	return &millracev1.MetricDelta{Name: name, Attributes: attributes, Value: &millracev1.MetricDelta_Sum{Sum: n}}
}

var bounds = []float64{0.1, 1, 10}

// durations makes a histogram of values.
func durations(bounds []float64, values ...float64) *millracev1.MetricDelta {
	h := &millracev1.HistogramDelta{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
	for _, v := range values {
		i, _ := slices.BinarySearch(bounds, v)
		h.Counts[i]++
		h.Count++
		h.Sum += v
	}
	return &millracev1.MetricDelta{
		Name: "http.server.request.duration", Unit: "s", Attributes: []*millracev1.KeyValue{text("http.route", "/")},
		Value: &millracev1.MetricDelta_Histogram{Histogram: h},
	}
}

// view is all that points say, in a form to compare: by resource, metric and attributes.
func view(s *Store) map[string]string {
	all := map[string]string{}
	for _, r := range s.Resources() {
		for _, f := range r.Families {
			for _, x := range f.Series {
				key := ""
				for _, a := range s.AppendResource(nil, r) {
					key += a.Key + "=" + a.Value.String() + ","
				}
				key += f.Metric.Name + "{"
				for _, a := range s.AppendAttributes(nil, x) {
					key += a.Key + "=" + a.Value.String() + ","
				}
				value := fmt.Sprintf("%v %v", x.Value, x.Count)
				if x.Buckets != nil {
					value += fmt.Sprintf(" %v", x.Buckets.Counts)
				}
				all[key+"}"] = fmt.Sprintf("%s start %d exemplars %d", value, (x.Start-noon)/second, len(x.Exemplars))
			}
		}
	}
	return all
}

func advance(t testing.TB, s *Store, at uint64) (boundaries []uint64) {
	t.Helper()
	if err := s.Advance(at, func() error {
		boundaries = append(boundaries, (s.Boundary()-noon)/second)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return boundaries
}

func equal(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	if got := view(s); !reflect.DeepEqual(got, want) {
		t.Errorf("series\n%v\nwant\n%v", got, want)
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	s := New(options())
	advance(t, s, noon+second)
	w, other := writer{source: 1, epoch: 5}, writer{source: 2, epoch: 5}
	calls := func(n float64) *millracev1.ResourceDeltas {
		return of("prod", "shop", count("calls", n, text("a", "b")))
	}
	batches := [][]byte{w.batch(t, calls(1)), w.batch(t, calls(2)), w.batch(t, calls(4)), w.batch(t, calls(8))}
	for _, i := range []int{0, 1, 1, 0, 3, 2} { // Twice, out of order: what is not above the last is dropped; 2 came too late.
		s.Apply(batches[i], noon+2*second)
	}
	s.Apply(other.batch(t, calls(16)), noon+2*second)
	equal(t, s, map[string]string{"service.name=shop,service.namespace=prod,calls{a=b,}": "27 0 start 0 exemplars 0"})
	if c := s.Counts; c.Batches != 4 || c.Duplicates != 3 || c.Lost != 1 || c.Deltas != 4 {
		t.Errorf("counts %+v", c)
	}
	// A writer that began anew counts from 1 again; what is left of its earlier life is dropped.
	again := writer{source: 1, epoch: 6, sequence: 1}
	s.Apply(again.batch(t, calls(32)), noon+2*second)
	s.Apply(w.batch(t, calls(64)), noon+2*second)
	equal(t, s, map[string]string{"service.name=shop,service.namespace=prod,calls{a=b,}": "59 0 start 0 exemplars 0"})
	if c := s.Counts; c.Duplicates != 4 || c.Lost != 2 {
		t.Errorf("counts %+v", c)
	}
}

func TestBoundaries(t *testing.T) {
	t.Parallel()
	s := New(options())
	w := writer{source: 1, epoch: 5}
	if got := advance(t, s, noon+3*second); got != nil || s.Boundary() != noon {
		t.Errorf("began at %d with %v", s.Boundary()-noon, got)
	}
	s.Apply(w.batch(t, of("", "shop", count("calls", 1))), noon+3*second)
	// What was read belongs to the next boundary; those without anything between are one.
	for _, step := range []struct {
		at    uint64
		apply bool
		want  []uint64
	}{
		{at: 9},
		{at: 10, want: []uint64{10}},
		{at: 19},
		{at: 20, want: []uint64{20}},
		{at: 29, apply: true},
		{at: 65, want: []uint64{30, 60}},
		{at: 64},                     // Time never goes back here, but a boundary must not come twice.
		{at: 95, want: []uint64{90}}, // 60 seconds after it was last heard of, the series goes.
		{at: 105, apply: true, want: []uint64{100}},
	} {
		if got := advance(t, s, noon+step.at*second); !slices.Equal(got, step.want) {
			t.Errorf("at %d: boundaries %v, want %v", step.at, got, step.want)
		}
		if step.at == 65 && s.Len() != 1 || step.at == 95 && s.Len() != 0 {
			t.Errorf("at %d: %d series", step.at, s.Len())
		}
		if step.apply {
			s.Apply(w.batch(t, of("", "shop", count("calls", 1))), noon+step.at*second)
		}
	}
	// The new series began at the last boundary, after the last point of the old one.
	equal(t, s, map[string]string{"service.name=shop,calls{}": "1 0 start 100 exemplars 0"})
	if s.Counts.Expired != 1 || len(s.Resources()) != 1 {
		t.Errorf("%+v, %d resources", s.Counts, len(s.Resources()))
	}
}

func TestDeltaBeginsAnew(t *testing.T) {
	t.Parallel()
	o := options()
	o.Delta = true
	s := New(o)
	advance(t, s, noon)
	w := writer{source: 1, epoch: 5}
	s.Apply(w.batch(t, of("", "shop", durations(bounds, 0.5, 2), count("calls", 2))), noon+second)
	advance(t, s, noon+10*second)
	equal(t, s, map[string]string{
		"service.name=shop,calls{}":                                     "0 0 start 10 exemplars 0",
		"service.name=shop,http.server.request.duration{http.route=/,}": "0 0 [0 0 0 0] start 10 exemplars 0",
	})
	s.Apply(w.batch(t, of("", "shop", count("calls", 3))), noon+31*second)
	equal(t, s, map[string]string{
		"service.name=shop,calls{}":                                     "3 0 start 10 exemplars 0",
		"service.name=shop,http.server.request.duration{http.route=/,}": "0 0 [0 0 0 0] start 10 exemplars 0",
	})
}

func TestHistograms(t *testing.T) {
	t.Parallel()
	s := New(options())
	advance(t, s, noon)
	w := writer{source: 1, epoch: 5}
	const key = "service.name=shop,http.server.request.duration{http.route=/,}"
	s.Apply(w.batch(t, of("", "shop", durations(bounds, 0.05, 0.5, 100))), noon+second)
	s.Apply(w.batch(t, of("", "shop", durations(bounds, 1))), noon+second)
	equal(t, s, map[string]string{key: "101.55 4 [1 2 0 1] start 0 exemplars 0"})
	advance(t, s, noon+20*second)
	// Other bounds: the series begins anew.
	s.Apply(w.batch(t, of("", "shop", durations([]float64{1}, 0.5))), noon+21*second)
	equal(t, s, map[string]string{key: "0.5 1 [1 0] start 20 exemplars 0"})
	if s.Counts.Resets != 1 || len(s.bounds) != 1 {
		t.Errorf("%d resets, %d bounds", s.Counts.Resets, len(s.bounds))
	}
}

// Whatever the scales and the order, every value is in a bucket that it belongs to, and none is lost.
func TestExponentialMerge(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s := New(options())
		w := writer{source: 1, epoch: 5}
		var values []float64
		zeros := uint64(0)
		for range 1 + random.IntN(6) {
			h := &millracev1.ExponentialHistogramDelta{Scale: int32(random.IntN(24)) - 3}
			spread := math.Exp2(float64(random.IntN(8)))
			var own []float64
			for range 1 + random.IntN(20) {
				own = append(own, math.Exp2(float64(random.IntN(11)-5))*(1+random.Float64()*spread))
			}
			index := func(v float64) int32 {
				return int32(math.Ceil(math.Log2(v)*math.Exp2(float64(h.Scale)))) - 1
			}
			lo, hi := int32(math.MaxInt32), int32(math.MinInt32)
			for {
				lo, hi = math.MaxInt32, math.MinInt32
				for _, v := range own {
					lo, hi = min(lo, index(v)), max(hi, index(v))
				}
				if hi-lo < 300 {
					break
				}
				h.Scale--
			}
			h.Offset, h.Counts = lo, make([]uint64, hi-lo+1)
			for _, v := range own {
				h.Counts[index(v)-lo]++
				h.Sum += v
			}
			h.ZeroCount = uint64(random.IntN(3))
			h.Count = uint64(len(own)) + h.ZeroCount
			zeros += h.ZeroCount
			values = append(values, own...)
			s.Apply(w.batch(t, of("", "shop", &millracev1.MetricDelta{
				Name: "d", Value: &millracev1.MetricDelta_ExponentialHistogram{ExponentialHistogram: h},
			})), noon)
		}
		x := s.Resources()[0].Families[0].Series[0]
		want := make([]uint64, len(x.Buckets.Counts))
		for _, v := range values {
			i := math.Ceil(math.Log2(v)*math.Exp2(float64(x.Buckets.Scale))) - 1
			want[int64(i)-int64(x.Buckets.Offset)]++
		}
		if !slices.Equal(want, x.Buckets.Counts) || x.Count != uint64(len(values))+zeros || x.Buckets.Zero != zeros || len(x.Buckets.Counts) > maxExponential {
			t.Fatalf("scale %d offset %d: %v, want %v; count %d of %d", x.Buckets.Scale, x.Buckets.Offset, x.Buckets.Counts, want, x.Count, len(values))
		}
	}
}

// However many there are, the sum over all series is right and their number bounded.
func TestOverflow(t *testing.T) {
	t.Parallel()
	o := options()
	o.CardinalityLimit, o.MaxSeries = 10, 50
	s := New(o)
	w := writer{source: 1, epoch: 5}
	total := 0.0
	for i := range 2000 {
		s.Apply(w.batch(t, of("prod", fmt.Sprintf("service-%d", i%40), count("calls", 1, text("path", fmt.Sprint(i))))), noon)
		total++
	}
	sum, overflow, last := 0.0, 0, 0.0
	for key, value := range view(s) {
		var v float64
		fmt.Sscan(value, &v)
		sum += v
		if strings.Contains(key, OverflowAttribute+"=true") {
			overflow++
		}
		if strings.Contains(key, "service.instance.id=partition-3") {
			last = v
		}
	}
	if sum != total || s.Len() > o.MaxSeries+o.MaxSeries/o.CardinalityLimit+1 || overflow == 0 || last == 0 || s.Counts.Overflow == 0 {
		t.Errorf("sum %v of %v in %d series, %d of overflow, last resort %v; %+v", sum, total, s.Len(), overflow, last, s.Counts)
	}
	// One service alone stays below its own limit, and keeps its overflow to itself.
	s = New(options())
	for i := range 1000 {
		s.Apply((&writer{source: uint32(i), epoch: 1}).batch(t, of("prod", "shop", count("calls", 1, text("path", fmt.Sprint(i))))), noon)
	}
	key := "service.name=shop,service.namespace=prod,calls{otel.metric.overflow=true,}"
	if got := view(s)[key]; s.Len() != 101 || !strings.HasPrefix(got, "900 ") {
		t.Errorf("%d series, overflow %q", s.Len(), got)
	}
	// When they expire, all that was held for them is free.
	advance(t, s, noon)
	advance(t, s, noon+10*second)
	advance(t, s, noon+100*second)
	if s.Len() != 0 || len(s.symbols.ids) != 0 || len(s.groups) != 0 || len(s.resources) != 0 || len(s.byKey) != 0 || s.bytes != len("calls")+symbolBytes {
		t.Errorf("%d series, %d texts, %d groups, %d bytes left", s.Len(), len(s.symbols.ids), len(s.groups), s.bytes)
	}
}

// Attributes that are left out make one series of several.
func TestFilterMerges(t *testing.T) {
	t.Parallel()
	o := options()
	o.Filter = selection.New(config.ExportFilter{
		Services: config.Globs{Exclude: []string{"cart"}},
		Metrics:  config.Globs{Exclude: []string{"secret"}},
	}, config.ExportAttributes{
		Metrics:  config.Globs{Exclude: []string{"path"}},
		Resource: config.Globs{Exclude: []string{"host.*"}},
	})
	s := New(o)
	w := writer{source: 1, epoch: 5}
	on := func(host string, r *millracev1.ResourceDeltas) *millracev1.ResourceDeltas {
		r.Resource.Attributes = append(r.Resource.Attributes, text("host.name", host))
		return r
	}
	s.Apply(w.batch(t,
		on("a", of("", "shop", count("calls", 1, text("method", "GET"), text("path", "/1")), count("calls", 2, text("method", "GET"), text("path", "/2")))),
		on("b", of("", "shop", count("calls", 4, text("path", "/3"), text("method", "GET")), count("secret", 1))),
		on("a", of("", "cart", count("calls", 1), count("calls", 1))),
	), noon)
	s.Apply(w.batch(t, of("", "shop", durations(bounds, 0.5))), noon)
	d := durations(bounds, 5)
	d.Attributes = append(d.Attributes, text("path", "/x"))
	s.Apply(w.batch(t, of("", "shop", d)), noon)
	s.boundary = noon
	got := view(s)
	if len(got) != 2 || !strings.HasPrefix(got["service.name=shop,calls{method=GET,}"], "7 ") ||
		!strings.HasPrefix(got["service.name=shop,http.server.request.duration{http.route=/,}"], "5.5 2 [0 1 1 0]") {
		t.Errorf("%v", got)
	}
	if s.Counts.Filtered != 3 {
		t.Errorf("%+v", s.Counts)
	}
}

func exemplar(trace byte, value float64, at uint64) *millracev1.Exemplar {
	id := make([]byte, 16)
	id[0], id[15] = 1, trace
	return &millracev1.Exemplar{TraceId: id, SpanId: uint64(trace) + 1, Value: value, TimeUnixNs: at}
}

func TestExemplars(t *testing.T) {
	t.Parallel()
	with := func(d *millracev1.MetricDelta, e ...*millracev1.Exemplar) *millracev1.MetricDelta {
		d.Exemplars = e
		return d
	}
	traces := func(s *Store) (ids []int) {
		for _, r := range s.Resources() {
			for _, e := range r.Families[0].Series[0].Exemplars {
				ids = append(ids, int(e.TraceID[15]))
			}
		}
		slices.Sort(ids)
		return ids
	}
	deltas := func(w *writer) []byte {
		// The newest of a bucket stays, whatever the order.
		return w.batch(t, of("", "shop", with(durations(bounds, 0.5, 0.6, 0.7, 5),
			exemplar(1, 0.5, noon+1), exemplar(2, 0.6, noon+3), exemplar(3, 0.7, noon+2), exemplar(4, 5, noon))))
	}
	o := options()
	o.KeepExemplars = true
	s := New(o)
	s.Apply(deltas(&writer{epoch: 1}), noon)
	if got := traces(s); !slices.Equal(got, []int{2, 4}) {
		t.Errorf("exemplars of traces %v", got)
	}
	advance(t, s, noon)
	advance(t, s, noon+10*second)
	if got := traces(s); len(got) != 2 || s.Resources()[0].Families[0].Series[0].Exemplars[0].Fresh {
		t.Errorf("after a boundary: %v", got)
	}

	// With sampling they come when the notice does, before or after, and are in one point only.
	o = options()
	o.AwaitKept = 30 * time.Second
	s = New(o)
	advance(t, s, noon)
	notice := func(ids ...byte) []byte {
		k := &millracev1.KeptTraces{Version: 1}
		for _, id := range ids {
			k.TraceIds = append(k.TraceIds, exemplar(id, 0, 0).TraceId)
		}
		data, err := k.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	s.Kept(notice(3))
	s.Apply(deltas(&writer{epoch: 1}), noon+second)
	if got := traces(s); !slices.Equal(got, []int{3}) {
		t.Errorf("kept before: %v", got)
	}
	s.Kept(notice(4))
	var inPoint []int
	_ = s.Advance(noon+10*second, func() error { inPoint = traces(s); return nil })
	if !slices.Equal(inPoint, []int{3, 4}) || len(traces(s)) != 0 || len(s.waiting) != 2 {
		t.Errorf("in the point %v, then %v, %d wait", inPoint, traces(s), len(s.waiting))
	}
	advance(t, s, noon+40*second)
	if len(s.waiting) != 0 || s.Counts.ExemplarsDropped != 2 {
		t.Errorf("%d wait, %+v", len(s.waiting), s.Counts)
	}
	for i := range 3 * maxWaiting {
		s.Apply((&writer{source: 7, epoch: uint64(i + 1)}).batch(t, of("", "shop", with(durations(bounds, 0.5), exemplar(9, 0.5, noon)))), noon)
	}
	if len(s.waiting) != maxWaiting {
		t.Errorf("%d exemplars wait", len(s.waiting))
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	histogram := func(change func(*millracev1.HistogramDelta)) *millracev1.MetricDelta {
		d := durations(bounds, 0.5)
		change(d.GetHistogram())
		return d
	}
	exponential := func(change func(*millracev1.ExponentialHistogramDelta)) *millracev1.MetricDelta {
		h := &millracev1.ExponentialHistogramDelta{Count: 2, ZeroCount: 1, Counts: []uint64{1}}
		change(h)
		return &millracev1.MetricDelta{Name: "e", Value: &millracev1.MetricDelta_ExponentialHistogram{ExponentialHistogram: h}}
	}
	for name, d := range map[string]*millracev1.MetricDelta{
		"no value":           {Name: "a"},
		"no name":            count("", 1),
		"counter going down": count("a", -1),
		"not a number":       count("a", math.NaN()),
		"infinite":           count("a", math.Inf(1)),
		"count wrong":        histogram(func(h *millracev1.HistogramDelta) { h.Count++ }),
		"bounds unordered":   histogram(func(h *millracev1.HistogramDelta) { h.Bounds = []float64{2, 1, 3} }),
		"too few counts":     histogram(func(h *millracev1.HistogramDelta) { h.Counts = h.Counts[:3] }),
		"overflowing counts": histogram(func(h *millracev1.HistogramDelta) { h.Counts[0], h.Counts[1] = math.MaxUint64, 2 }),
		"too many counts":    exponential(func(h *millracev1.ExponentialHistogramDelta) { h.Counts, h.Count = make([]uint64, 5000), 1 }),
		"scale":              exponential(func(h *millracev1.ExponentialHistogramDelta) { h.Scale = 99 }),
		"offset":             exponential(func(h *millracev1.ExponentialHistogramDelta) { h.Offset = math.MaxInt32 }),
		"exponential count":  exponential(func(h *millracev1.ExponentialHistogramDelta) { h.Count = 3 }),
		"exemplar": {
			Name: "a", Value: &millracev1.MetricDelta_Sum{Sum: 1}, Exemplars: []*millracev1.Exemplar{{TraceId: []byte{1}, SpanId: 1}},
		},
	} {
		s := New(options())
		w := writer{epoch: 1}
		s.Apply(w.batch(t, of("", "shop", d, count("good", 1))), noon)
		if s.Counts.Malformed != 1 || s.Len() != 1 {
			t.Errorf("%s: %+v, %d series", name, s.Counts, s.Len())
		}
	}
	s := New(options())
	future, err := (&millracev1.MetricBatch{Version: 2, Sequence: 1}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range [][]byte{nil, {0xff}, future, {0x3a, 0x02, 0x0a, 0x05}} {
		s.Apply(message, noon)
	}
	if s.Counts.Malformed != 4 || s.Counts.Batches != 0 {
		t.Errorf("%+v", s.Counts)
	}
}
