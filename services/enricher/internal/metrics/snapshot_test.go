package metrics

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"millrace.dev/lib/catalog"
	"millrace.dev/lib/config"
)

// seeds are snapshots of aggregators in the middle of a window.
func seeds(t testing.TB) (snapshots [][]byte) {
	for _, change := range []func(*config.Config){
		func(*config.Config) {},
		func(cfg *config.Config) { cfg.Metrics.HistogramAggregation = config.ExponentialBuckets },
		func(cfg *config.Config) { cfg.Metrics.CardinalityLimit = 1; cfg.Routes.Unmatched = "low-cardinality" },
	} {
		cfg := allFeatures()
		change(cfg)
		a := aggregator(t, cfg)
		c, s := pair()
		observe(a, c)
		window(t, a)
		observe(a, c)
		observe(a, s)
		s.Exchange.GetHttp().Status = 500
		observe(a, s)
		snapshots = append(snapshots, a.AppendSnapshot(nil))
	}
	return snapshots
}

// A window that is restored under another configuration is published as it was begun, beside what is added to it.
func TestRestoreUnderOtherConfiguration(t *testing.T) {
	t.Parallel()
	before := allFeatures()
	a := aggregator(t, before)
	c, s := pair()
	observe(a, c)
	observe(a, s)
	snapshot := a.AppendSnapshot(nil)
	after := config.Default()
	after.Metrics.Buckets.DurationHistogram = []float64{1, 2}
	b := aggregator(t, after)
	b.epoch = 0
	if err := b.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	observe(b, s)
	counts, sums, series, _ := window(t, b).totals()
	if counts["http.server.request.duration"] != 2 || series["http.server.request.duration"] != 2 || sums["traces_spanmetrics_calls_total"] != 2 {
		t.Errorf("%v %v", counts, sums)
	}
	observe(b, s)
	if _, _, series, _ := window(t, b).totals(); series["http.server.request.duration"] != 1 || series["traces_spanmetrics_calls_total"] != 0 {
		t.Errorf("the next window: %v", series)
	}
}

// A snapshot of the first version has learnt routes in another format, which are learnt anew; all else is there.
func TestRestoreFirstVersion(t *testing.T) {
	t.Parallel()
	a := aggregator(t, allFeatures())
	c, _ := pair() // Routes of requests that are made are not learnt.
	observe(a, c)
	snapshot := a.AppendSnapshot(nil)
	if snapshot[0] != 2 || snapshot[1] != 0 {
		t.Fatalf("version %d, paths of %d services", snapshot[0], snapshot[1])
	}
	// One service with one known segment.
	first := append([]byte{1, 1, 1, 'a', 0, 1, 5, 'u', 's', 'e', 'r', 's', 0, 0}, snapshot[2:]...)
	b := aggregator(t, allFeatures())
	if err := b.Restore(first); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.AppendSnapshot(nil), snapshot) {
		t.Error("something else has changed")
	}
}

// Damaged snapshots are refused, and what is restored can be worked with.
func FuzzRestore(f *testing.F) {
	for _, snapshot := range seeds(f) {
		f.Add(snapshot)
		f.Add(snapshot[:len(snapshot)/2])
	}
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		a := aggregator(t, allFeatures())
		if a.Restore(snapshot) != nil {
			return
		}
		again := aggregator(t, allFeatures())
		own := a.AppendSnapshot(nil)
		if err := again.Restore(own); err != nil {
			t.Fatalf("own snapshot: %v", err)
		}
		if !bytes.Equal(again.AppendSnapshot(nil), own) {
			t.Error("snapshot changes")
		}
		c, s := pair()
		observe(a, c)
		observe(a, s)
		a.Advance(1<<62, discard{})
	})
}

func TestRestore(t *testing.T) {
	t.Parallel()
	for i, snapshot := range seeds(t) {
		a := aggregator(t, allFeatures())
		if err := a.Restore(snapshot); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if !bytes.Equal(a.AppendSnapshot(nil), snapshot) {
			t.Errorf("%d: snapshot changes", i)
		}
		for _, damaged := range [][]byte{nil, {9}, snapshot[:len(snapshot)-1], append(bytes.Clone(snapshot), 0)} {
			if err := aggregator(t, allFeatures()).Restore(damaged); err == nil {
				t.Errorf("%d: %d bytes of %d are taken", i, len(damaged), len(snapshot))
			}
		}
	}
}

// Every metric of the catalog is measured. What its attributes are beyond what protocols say has a source.
func TestCatalog(t *testing.T) {
	t.Parallel()
	measured := map[string]bool{}
	for _, in := range instruments {
		m, found := catalog.ByName(in.metric)
		if !found {
			t.Errorf("%s is not in the catalog", in.metric)
			continue
		}
		measured[in.metric] = true
		for _, list := range [][]string{m.Attributes, m.Optional} {
			for _, name := range list {
				room, _, found := strings.Cut(name, ".")
				if fieldNamed[name] == nil && (!found || !slices.Contains([]string{"http", "url", "rpc", "db", "messaging", "dns", "network", "tls", "millrace"}, room)) {
					t.Errorf("%s: nothing gives %s", in.metric, name)
				}
			}
		}
	}
	for _, in := range flowInstruments {
		m, found := catalog.ByName(in.metric)
		if !found {
			t.Errorf("%s is not in the catalog", in.metric)
			continue
		}
		measured[in.metric] = true
		for _, name := range slices.Concat(m.Attributes, m.Optional) {
			if flowFieldNamed[name] == nil {
				t.Errorf("%s: nothing gives %s", in.metric, name)
			}
		}
	}
	for i := range catalog.All() {
		m := &catalog.All()[i]
		if !measured[m.Name] && m.Kind != catalog.Info {
			t.Errorf("%s is not measured", m.Name)
		}
		seen := map[string]bool{}
		for _, name := range append(append([]string{}, m.Attributes...), m.Optional...) {
			if seen[name] {
				t.Errorf("%s: %s twice", m.Name, name)
			}
			seen[name] = true
		}
	}
}
