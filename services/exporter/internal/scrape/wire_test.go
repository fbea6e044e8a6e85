package scrape

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// randomDelta makes a delta of any kind: empty and full histograms, of every scale, with runs and gaps, and values of
// every size.
func randomDelta(r *rand.Rand, i int) *millracev1.MetricDelta {
	d := &millracev1.MetricDelta{
		Name: fmt.Sprint("metric.", r.IntN(6), ".of.", r.IntN(5)), Unit: "s",
		Attributes: []*millracev1.KeyValue{text2("http.route", fmt.Sprint("/", i, `"\`, "\n", "é"))},
	}
	if r.IntN(3) == 0 {
		d.Attributes = append(d.Attributes, text2("server.address", string(bytes.Repeat([]byte("a"), r.IntN(400)))))
	}
	exemplars := func() {
		for range r.IntN(4) {
			d.Exemplars = append(d.Exemplars, example(byte(r.IntN(256)), math.Exp2(float64(r.IntN(24)-12))))
		}
	}
	counts := make([]uint64, r.IntN(40)+1)
	total := uint64(0)
	for n := range counts {
		if r.IntN(3) > 0 {
			counts[n] = r.Uint64N(1 << r.IntN(40))
			total += counts[n]
		}
	}
	switch r.IntN(3) {
	case 0:
		d.Name += ".calls_total"
		d.Value = &millracev1.MetricDelta_Sum{Sum: r.NormFloat64() * 1e6}
		exemplars()
	case 1:
		d.Name += ".classic"
		bounds := make([]float64, len(counts)-1)
		for n := range bounds {
			bounds[n] = math.Exp2(float64(n) - 12)
		}
		d.Value = &millracev1.MetricDelta_Histogram{Histogram: &millracev1.HistogramDelta{
			Count: total, Sum: r.ExpFloat64(), Bounds: bounds, Counts: counts,
		}}
		exemplars()
	default:
		d.Name += ".native"
		d.Value = &millracev1.MetricDelta_ExponentialHistogram{ExponentialHistogram: &millracev1.ExponentialHistogramDelta{
			Count: total + 7, Sum: r.ExpFloat64(), ZeroCount: 7, Scale: int32(r.IntN(28) - 6), Offset: int32(r.IntN(200) - 100), Counts: counts,
		}}
		exemplars()
	}
	return d
}

// What is written by hand is what the library makes of messages.
func TestWireIsThatOfTheLibrary(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		server := newServer()
		for partition := range 3 {
			p := newProcessor(t, server, partition)
			of := &millracev1.ResourceDeltas{Resource: resource("service.name", fmt.Sprint("service-", partition), "service.namespace", "prod")}
			for i := range r.IntN(60) {
				of.Deltas = append(of.Deltas, randomDelta(r, i))
			}
			resources := everything()
			if seed%2 == 1 {
				resources = nil
			}
			apply(t, p, 1, append(resources, of)...)
			p.CaughtUp(yes)
		}
		var got, want bytes.Buffer
		shown := server.shown()
		n, err := write(&got, expfmt.FmtProtoDelim, shown)
		if err != nil {
			t.Fatal(err)
		}
		m := &messages{encoder: expfmt.NewEncoder(&want, expfmt.FmtProtoDelim)}
		series, err := m.write(gather(shown))
		if err != nil {
			t.Fatal(err)
		}
		if n != series {
			t.Fatalf("seed %d: %d series, want %d", seed, n, series)
		}
		a, b := decode(t, got.String()), decode(t, want.String())
		if len(a) != len(b) || seed%2 == 0 && len(a) == 0 {
			t.Fatalf("seed %d: %d families, want %d", seed, len(a), len(b))
		}
		for i := range a {
			if !proto.Equal(a[i], b[i]) {
				t.Fatalf("seed %d:\n%v\nwant\n%v", seed, a[i], b[i])
			}
		}
	}
}
