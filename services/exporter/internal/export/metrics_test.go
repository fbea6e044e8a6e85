package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/exporter/internal/selection"
	"millrace.dev/services/exporter/internal/series"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var noon = time.Unix(1_800_000_000, 0)

// sink notes requests; answer decides about each by its number.
type sink struct {
	requests []pmetric.Metrics
	answer   func(n int) error
	n        int
}

func (s *sink) SendMetrics(_ context.Context, metrics pmetric.Metrics) error {
	s.n++
	if s.answer != nil {
		if err := s.answer(s.n); err != nil {
			return err
		}
	}
	s.requests = append(s.requests, metrics)
	return nil
}

// points gives one line for each point.
func (s *sink) points() (all []string) {
	for _, request := range s.requests {
		for _, rm := range request.ResourceMetrics().All() {
			name, _ := rm.Resource().Attributes().Get("service.name")
			for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
				if m.Type() != pmetric.MetricTypeSum {
					all = append(all, fmt.Sprint(name.Str(), " ", m.Name(), " ", m.Type()))
					continue
				}
				for _, p := range m.Sum().DataPoints().All() {
					all = append(all, fmt.Sprintf("%s %s %v %v..%v", name.Str(), m.Name(), p.DoubleValue(),
						p.StartTimestamp().AsTime().Sub(noon), p.Timestamp().AsTime().Sub(noon)))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

func seriesCounters(t testing.TB) *SeriesCounters {
	t.Helper()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewSeriesMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m.Of("test", tel.Log)
}

func newMetricProcessor(t testing.TB, to MetricDestination, c *SeriesCounters, delta bool) *MetricProcessor {
	p := NewMetricProcessor(to, series.Options{
		Interval: 10 * time.Second, TTL: time.Minute, CardinalityLimit: 10000, MaxSeries: 100000, Delta: delta,
	}, c, "1.2.3")
	p.pause = time.Millisecond
	return p
}

func metricRecord(t testing.TB, sequence uint64, at time.Duration, deltas ...*millracev1.MetricDelta) stage.Record {
	t.Helper()
	data, err := (&millracev1.MetricBatch{
		Version: 1, EpochUnixNs: 1, Sequence: sequence,
		Resources: []*millracev1.ResourceDeltas{{
			Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{text("service.name", "shop")}}, Deltas: deltas,
		}},
	}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Subject: bus.MetricSubject(0), Time: noon.Add(at), Data: data}
}

func calls(n float64) *millracev1.MetricDelta {
	return &millracev1.MetricDelta{Name: "calls", Value: &millracev1.MetricDelta_Sum{Sum: n}}
}

func process(t *testing.T, p *MetricProcessor, records ...stage.Record) {
	t.Helper()
	if err := p.Process(t.Context(), records, nil); err != nil {
		t.Fatal(err)
	}
}

func tick(t *testing.T, p *MetricProcessor, at time.Duration) {
	t.Helper()
	if err := p.Tick(t.Context(), noon.Add(at), nil); err != nil {
		t.Fatal(err)
	}
}

// Points are those of the boundary whoever passes it: a record, or time alone; a replay from a checkpoint repeats them.
func TestPointsAtBoundaries(t *testing.T) {
	t.Parallel()
	for _, delta := range []bool{false, true} {
		to := &sink{}
		p := newMetricProcessor(t, to, seriesCounters(t), delta)
		process(t, p, metricRecord(t, 1, time.Second, calls(1)), metricRecord(t, 2, 9*time.Second, calls(2)))
		snapshot, err := p.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		rest := func(p *MetricProcessor) {
			tick(t, p, 9800*time.Millisecond)
			process(t, p, metricRecord(t, 2, 9900*time.Millisecond, calls(2)), metricRecord(t, 3, 9900*time.Millisecond, calls(4)))
			process(t, p, metricRecord(t, 4, 12*time.Second, calls(8)))
			tick(t, p, 20*time.Second)
			tick(t, p, 30*time.Second)
		}
		rest(p)
		want := []string{"shop calls 15 0s..20s", "shop calls 15 0s..30s", "shop calls 7 0s..10s"}
		if delta {
			want = []string{"shop calls 7 0s..10s", "shop calls 8 10s..20s"}
		}
		if got := to.points(); !slices.Equal(got, want) {
			t.Errorf("delta %v: %v, want %v", delta, got, want)
		}
		again := &sink{}
		q := newMetricProcessor(t, again, seriesCounters(t), delta)
		if err := q.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		rest(q)
		if got := again.points(); !slices.Equal(got, want) {
			t.Errorf("delta %v, replayed: %v, want %v", delta, got, want)
		}
	}
}

// A backend that is away holds the processor up; what it refuses for good is counted and gone.
func TestMetricsBackendAway(t *testing.T) {
	t.Parallel()
	c := seriesCounters(t)
	to := &sink{answer: func(n int) error {
		switch {
		case n <= 3:
			return errors.New("away")
		case n == 4:
			return consumererror.NewPermanent(errors.New("never"))
		}
		return nil
	}}
	p := newMetricProcessor(t, to, c, false)
	process(t, p, metricRecord(t, 1, time.Second, calls(1)), metricRecord(t, 2, 11*time.Second, calls(2)), metricRecord(t, 3, 21*time.Second, calls(4)))
	if got := to.points(); !slices.Equal(got, []string{"shop calls 3 0s..20s"}) {
		t.Errorf("points %v", got)
	}
	if testutil.ToFloat64(c.failures) != 3 || testutil.ToFloat64(c.refusedPoints) != 1 || testutil.ToFloat64(c.points) != 1 ||
		testutil.ToFloat64(c.series) != 1 {
		t.Error("counted wrongly")
	}
	to.answer = func(int) error { return errors.New("away") }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Tick(ctx, noon.Add(time.Minute), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if err := p.Close(); err != nil || testutil.ToFloat64(c.series) != 0 || testutil.ToFloat64(c.bytes) != 0 {
		t.Error("a discarded store is still counted")
	}
}

// Requests are bounded: many series go out in several.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	to := &sink{}
	p := newMetricProcessor(t, to, seriesCounters(t), false)
	var deltas []*millracev1.MetricDelta
	for i := range 9000 {
		d := &millracev1.MetricDelta{
			Name: "http.server.request.duration", Unit: "s", Attributes: []*millracev1.KeyValue{text("http.route", fmt.Sprint("/", i, strings.Repeat("x", 200)))},
			Value: &millracev1.MetricDelta_Histogram{Histogram: &millracev1.HistogramDelta{Count: 1, Sum: 1, Bounds: make([]float64, 0), Counts: []uint64{1}}},
		}
		if i%2 == 1 {
			d.Value = &millracev1.MetricDelta_ExponentialHistogram{ExponentialHistogram: &millracev1.ExponentialHistogramDelta{Count: 1, Counts: []uint64{1}}}
		}
		deltas = append(deltas, d)
	}
	process(t, p, metricRecord(t, 1, time.Second, deltas...))
	tick(t, p, 11*time.Second)
	total := 0
	for _, request := range to.requests {
		data, err := pmetricotlp.NewExportRequestFromMetrics(request).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 3<<20 {
			t.Errorf("a request of %d bytes", len(data))
		}
		total += request.DataPointCount()
	}
	if total != 9000 || len(to.requests) < 2 {
		t.Errorf("%d points in %d requests", total, len(to.requests))
	}
}

// A file has lines of metrics beside those of spans, or in a file of its own.
func TestMetricsInFile(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		dir := t.TempDir()
		section := &config.FileExporter{Path: filepath.Join(dir, "all.jsonl")}
		where := section.Path
		if own {
			section.MetricsPath = filepath.Join(dir, "metrics.jsonl")
			where = section.MetricsPath
		}
		to := start(t, config.Exporters{File: section})
		p := NewMetricProcessor(to, series.Options{Interval: time.Second, TTL: time.Minute, CardinalityLimit: 10, MaxSeries: 1000}, seriesCounters(t), "1")
		process(t, p, metricRecord(t, 1, 0, calls(7)))
		tick(t, p, 2*time.Second)
		if err := newTestProcessor(to, counters(t)).Process(t.Context(), records(t, 1, 1, 1), nil); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(where)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(string(data)) {
			request := pmetricotlp.NewExportRequest()
			if strings.HasPrefix(line, `{"resourceMetrics":`) && request.UnmarshalJSON([]byte(line)) == nil && request.Metrics().DataPointCount() == 1 {
				found = true
			}
		}
		if spans := strings.Contains(string(data), "resourceSpans"); !found || spans == own {
			t.Errorf("own %v:\n%s", own, data)
		}
	}
}

// Destinations of spans leave out what the filter says.
func TestSpansAreFiltered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	to := start(t, config.Exporters{File: &config.FileExporter{Path: path}})
	filter := selection.New(config.ExportFilter{Services: config.Globs{Exclude: []string{"service-1"}}}, config.ExportAttributes{
		Spans: config.Globs{Include: []string{"http.*"}}, Resource: config.Globs{Exclude: []string{"host.name"}},
	})
	c := counters(t)
	p := NewProcessor(to, filter, c)
	if err := p.Process(t.Context(), records(t, 1, 3, 4), nil); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines(t, path)) != 8 || testutil.ToFloat64(c.filtered) != 4 {
		t.Errorf("%d spans, %v left out", len(lines(t, path)), testutil.ToFloat64(c.filtered))
	}
	for text, want := range map[string]bool{"http.request.method": true, "url.path": false, "host.name": false, "service-1": false, "service-2": true} {
		if strings.Contains(string(data), text) != want {
			t.Errorf("%q in the file: %v", text, !want)
		}
	}
}

// Points that were sent because time passed are in the checkpoint of a hand-over: the next owner does not send them
// again.
func TestSentSinceSnapshot(t *testing.T) {
	t.Parallel()
	p := newMetricProcessor(t, &sink{}, seriesCounters(t), true)
	process(t, p, metricRecord(t, 1, time.Second, calls(1)))
	if p.Sent() {
		t.Error("sent before a boundary")
	}
	tick(t, p, 11*time.Second)
	if !p.Sent() {
		t.Error("points of a boundary are not known to be sent")
	}
	snapshot, err := p.Snapshot(nil)
	if err != nil || p.Sent() {
		t.Errorf("sent after a snapshot, %v", err)
	}
	to := &sink{}
	next := newMetricProcessor(t, to, seriesCounters(t), true)
	if err := next.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	tick(t, next, 21*time.Second)
	if got := to.points(); len(got) > 0 {
		t.Errorf("sent again: %v", got)
	}
}

// When the stage ends, points go out before their boundary, at the time that is known; later ones go on from there.
func TestPointsAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, delta := range []bool{false, true} {
		to := &sink{}
		p := newMetricProcessor(t, to, seriesCounters(t), delta)
		process(t, p, metricRecord(t, 1, time.Second, calls(1)), metricRecord(t, 2, 2*time.Second, calls(2)))
		tick(t, p, 3*time.Second)
		for range 2 {
			if err := p.Finish(t.Context(), false, nil); err != nil {
				t.Fatal(err)
			}
		}
		if !p.Sent() {
			t.Error("a hand-over would not save what was sent")
		}
		process(t, p, metricRecord(t, 3, 4*time.Second, calls(4)))
		tick(t, p, 10*time.Second)
		want := []string{"shop calls 3 0s..3s", "shop calls 7 0s..10s"}
		if delta {
			want = []string{"shop calls 3 0s..3s", "shop calls 4 3s..10s"}
		}
		if got := to.points(); !slices.Equal(got, want) {
			t.Errorf("delta %v: %v, want %v", delta, got, want)
		}
	}
}
