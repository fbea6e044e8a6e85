package scrape

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/exporter/internal/export"
	"millrace.dev/services/exporter/internal/series"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var noon = time.Unix(1_800_000_000, 0)

func text2(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

// newServer makes a server without a listener.
func newServer() *Server {
	return &Server{
		slots: make(chan struct{}, maxScrapes), processors: map[*Processor]struct{}{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{}), refused: prometheus.NewCounter(prometheus.CounterOpts{}),
		lines: prometheus.NewCounter(prometheus.CounterOpts{}),
	}
}

func newProcessor(t testing.TB, server *Server, partition int) *Processor {
	t.Helper()
	metrics, err := export.NewSeriesMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return NewProcessor(server, partition, series.Options{
		Partition: partition, Interval: 10 * time.Second, TTL: time.Minute, CardinalityLimit: 100000, MaxSeries: 1000000, KeepExemplars: true, Identity: true,
	}, metrics.Of("prometheus", tel.Log))
}

// apply gives a processor one batch.
func apply(t testing.TB, p *Processor, sequence uint64, resources ...*millracev1.ResourceDeltas) {
	t.Helper()
	data, err := (&millracev1.MetricBatch{Version: 1, EpochUnixNs: 1, Sequence: sequence, Resources: resources}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Process(t.Context(), []stage.Record{{Subject: bus.MetricSubject(p.partition), Time: noon.Add(time.Second), Data: data}}, nil); err != nil {
		t.Fatal(err)
	}
}

func yes() bool { return true }

func resource(attributes ...string) *millracev1.Resource {
	r := &millracev1.Resource{}
	for i := 0; i < len(attributes); i += 2 {
		r.Attributes = append(r.Attributes, text2(attributes[i], attributes[i+1]))
	}
	return r
}

func example(trace byte, value float64) *millracev1.Exemplar {
	id := make([]byte, 16)
	id[0], id[15] = 0xab, trace
	return &millracev1.Exemplar{TraceId: id, SpanId: 0xc0ffee, Value: value, TimeUnixNs: uint64(noon.UnixNano()) + 5e8}
}

// every kind of series, with texts that need care.
func everything() []*millracev1.ResourceDeltas {
	histogram := func(name string, attributes ...*millracev1.KeyValue) *millracev1.MetricDelta {
		return &millracev1.MetricDelta{
			Name: name, Unit: "s", Attributes: attributes,
			Value: &millracev1.MetricDelta_Histogram{Histogram: &millracev1.HistogramDelta{
				Count: 6, Sum: 12.25, Bounds: []float64{0, 0.005, 1, 2.5}, Counts: []uint64{0, 1, 2, 0, 3},
			}},
			Exemplars: []*millracev1.Exemplar{example(1, 0.5), example(2, 99)},
		}
	}
	info := func(name string, attributes ...*millracev1.KeyValue) *millracev1.MetricDelta {
		return &millracev1.MetricDelta{Name: name, Attributes: attributes, Value: &millracev1.MetricDelta_Gauge{Gauge: 1}}
	}
	return []*millracev1.ResourceDeltas{
		{
			Resource: resource("service.name", "shop", "service.namespace", "prod", "telemetry.sdk.name", "millrace"),
			Deltas: []*millracev1.MetricDelta{
				histogram("http.server.request.duration", text2("http.request.method", "GET"), text2("http.route", "/a\"b\\c\nd"),
					&millracev1.KeyValue{Key: "server.port", Value: &millracev1.KeyValue_IntValue{IntValue: 80}}),
				{
					Name: "traces_spanmetrics_calls_total", Attributes: []*millracev1.KeyValue{text2("service", "shop"), text2("service.namespace", "prod")},
					Value: &millracev1.MetricDelta_Sum{Sum: 3}, Exemplars: []*millracev1.Exemplar{example(3, 1)},
				},
				info("target_info"),
			},
		},
		{
			Resource: resource("service.name", "cart", "host.name", "node-1", "service.instance.id", "node-1:7", "process.pid", "7", "k8s.pod.name", "x"),
			Deltas: []*millracev1.MetricDelta{
				histogram("http.server.request.duration", text2("instance", "mine"), text2("le", "9"), text2("service.name", "cart")),
				{
					Name: "http.client.request.duration", Unit: "s",
					Value: &millracev1.MetricDelta_ExponentialHistogram{ExponentialHistogram: &millracev1.ExponentialHistogramDelta{
						Count: 12, Sum: 7.5, Scale: 3, ZeroCount: 2, Offset: -3, Counts: []uint64{1, 0, 2, 0, 0, 0, 0, 7},
					}},
					Exemplars: []*millracev1.Exemplar{example(4, 1)},
				},
				info("target_info"), info("traces_host_info", text2("host.name", "node-1")),
				{Name: "new.metric", Unit: "By", Value: &millracev1.MetricDelta_Sum{Sum: 1.5}},
			},
		},
	}
}

func get(t *testing.T, server *Server, accept string) (body, contentType string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	server.ServeHTTP(recorder, request)
	return recorder.Body.String(), recorder.Header().Get("Content-Type")
}

const (
	plain    = "text/plain;version=0.0.4"
	open     = "application/openmetrics-text;version=1.0.0"
	protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

func parse(t *testing.T, body string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return families
}

func decode(t *testing.T, body string) (families []*dto.MetricFamily) {
	t.Helper()
	decoder := expfmt.NewDecoder(strings.NewReader(body), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		family := &dto.MetricFamily{}
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) {
			return families
		}
		if err != nil {
			t.Fatal(err)
		}
		families = append(families, family)
	}
}

var exemplarTime = regexp.MustCompile(`(?m) [0-9.e+]+$`)

// The text is what the library writes of the messages, byte for byte; only the time of exemplars has fewer digits, and
// an exponential histogram keeps its exemplar.
func TestTextIsThatOfTheLibrary(t *testing.T) {
	t.Parallel()
	server := newServer()
	p := newProcessor(t, server, 0)
	apply(t, p, 1, everything()...)
	p.CaughtUp(yes)
	body, _ := get(t, server, protobuf)
	messages := decode(t, body)
	for accept, format := range map[string]expfmt.Format{
		plain: expfmt.NewFormat(expfmt.TypeTextPlain), open: expfmt.NewFormat(expfmt.TypeOpenMetrics),
	} {
		var want bytes.Buffer
		encoder := expfmt.NewEncoder(&want, format)
		for _, m := range messages {
			if err := encoder.Encode(m); err != nil {
				t.Fatal(err)
			}
		}
		if closer, ok := encoder.(expfmt.Closer); ok {
			if err := closer.Close(); err != nil {
				t.Fatal(err)
			}
		}
		got, contentType := get(t, server, accept)
		if !strings.HasPrefix(contentType, strings.SplitN(accept, ";", 2)[0]) {
			t.Errorf("type %q for %q", contentType, accept)
		}
		shorten := func(s string) string {
			lines := strings.Split(s, "\n")
			for i, line := range lines {
				if strings.HasPrefix(line, "http_client_") {
					lines[i], _, _ = strings.Cut(line, " # {")
				} else if strings.Contains(line, " # {") {
					lines[i] = exemplarTime.ReplaceAllString(line, " TIME")
				}
			}
			return strings.Join(lines, "\n")
		}
		gotLines, wantLines := strings.Split(shorten(got), "\n"), strings.Split(shorten(want.String()), "\n")
		for i := range max(len(gotLines), len(wantLines)) {
			a, b := "", ""
			if i < len(gotLines) {
				a = gotLines[i]
			}
			if i < len(wantLines) {
				b = wantLines[i]
			}
			if a != b {
				t.Fatalf("%s line %d:\n%s\nwant\n%s", accept, i, a, b)
			}
		}
		if accept == open && strings.Count(got, ` # {trace_id="ab0000000000000000000000000000`) < 5 {
			t.Errorf("exemplars are missing:\n%s", got)
		}
	}
}

func labelsOf(m *dto.Metric) string {
	var all []string
	for _, l := range m.Label {
		all = append(all, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(all, " ")
}

// Labels say whose a series is; names that are taken get others; no two series are the same.
func TestLabels(t *testing.T) {
	t.Parallel()
	server := newServer()
	p := newProcessor(t, server, 0)
	apply(t, p, 1, everything()...)
	p.CaughtUp(yes)
	body, _ := get(t, server, plain)
	families := parse(t, body)
	got := map[string]bool{}
	for name, family := range families {
		for _, m := range family.Metric {
			key := name + " " + labelsOf(m)
			if got[key] {
				t.Errorf("twice: %s", key)
			}
			got[key] = true
		}
	}
	for _, want := range []string{
		"http_server_request_duration_seconds job=prod/shop instance=shop service_name=shop service_namespace=prod http_request_method=GET http_route=/a\"b\\c\nd server_port=80",
		"http_server_request_duration_seconds job=cart instance=node-1:7 service_name=cart host_name=node-1 process_pid=7 exported_instance=mine exported_le=9",
		"traces_spanmetrics_calls_total job=prod/shop instance=shop service_name=shop service_namespace=prod service=shop",
		"target_info job=prod/shop instance=shop service_name=shop service_namespace=prod telemetry_sdk_name=millrace",
		"target_info job=cart instance=node-1:7 service_name=cart host_name=node-1 k8s_pod_name=x process_pid=7 service_instance_id=node-1:7",
		"traces_host_info job=cart instance=node-1:7 service_name=cart host_name=node-1 k8s_pod_name=x process_pid=7 service_instance_id=node-1:7",
		"new_metric_bytes_total job=cart instance=node-1:7 service_name=cart host_name=node-1 process_pid=7",
	} {
		if !got[want] {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestNativeHistogram(t *testing.T) {
	t.Parallel()
	server := newServer()
	p := newProcessor(t, server, 0)
	apply(t, p, 1, everything()...)
	p.CaughtUp(yes)
	body, contentType := get(t, server, protobuf)
	if !strings.Contains(contentType, "protobuf") {
		t.Fatalf("type %q", contentType)
	}
	for _, family := range decode(t, body) {
		if family.GetName() != "http_client_request_duration_seconds" {
			continue
		}
		h := family.Metric[0].Histogram
		// Buckets -3, -1 and 4 of OTLP are -2, 0 and 5 of Prometheus, which counts by upper bounds.
		counts, index, i, last := map[int]int64{}, 0, 0, int64(0)
		for _, span := range h.PositiveSpan {
			index += int(span.GetOffset())
			for range span.GetLength() {
				last += h.PositiveDelta[i]
				if last > 0 {
					counts[index] = last
				}
				i, index = i+1, index+1
			}
		}
		if fmt.Sprint(counts) != "map[-2:1 0:2 5:7]" || h.GetSchema() != 3 || h.GetZeroCount() != 2 || h.GetSampleCount() != 12 || i != len(h.PositiveDelta) {
			t.Errorf("%v of %v", counts, h)
		}
		if len(h.Exemplars) != 1 || !h.CreatedTimestamp.AsTime().Equal(noon) {
			t.Errorf("exemplars %v, created %v", h.Exemplars, h.CreatedTimestamp.AsTime())
		}
		return
	}
	t.Error("the histogram is missing")
}

// A partition is shown from when it has caught up, while it is owned, until it is closed.
func TestShownWhileOwned(t *testing.T) {
	t.Parallel()
	server := newServer()
	p := newProcessor(t, server, 0)
	count := func(n float64) *millracev1.ResourceDeltas {
		return &millracev1.ResourceDeltas{Resource: resource("service.name", "shop"), Deltas: []*millracev1.MetricDelta{
			{Name: "traces_spanmetrics_calls_total", Value: &millracev1.MetricDelta_Sum{Sum: n}},
		}}
	}
	shown := func() (total float64, series int) {
		body, _ := get(t, server, plain)
		for _, family := range parse(t, body) {
			for _, m := range family.Metric {
				series++
				total += m.Counter.GetValue()
			}
		}
		return total, series
	}
	apply(t, p, 1, count(5))
	snapshot, err := p.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, p, 2, count(7))
	if _, n := shown(); n != 0 {
		t.Errorf("%d series before it has caught up", n)
	}
	owned := true
	p.CaughtUp(func() bool { return owned })
	if total, _ := shown(); total != 12 {
		t.Errorf("total %v", total)
	}
	owned = false // The lease is in doubt.
	if _, n := shown(); n != 0 {
		t.Errorf("%d series of a partition that is not owned", n)
	}
	owned = true
	// Another takes over: it has less at first.
	q := newProcessor(t, server, 0)
	if err := q.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	if total, n := shown(); total != 12 || n != 1 {
		t.Errorf("total %v in %d series while another restores", total, n)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, n := shown(); n != 0 {
		t.Errorf("%d series after the end", n)
	}
	apply(t, q, 2, count(7))
	q.CaughtUp(yes)
	if total, n := shown(); total != 12 || n != 1 {
		t.Errorf("total %v in %d series after the takeover", total, n)
	}
	// Idle for the TTL.
	if err := q.Tick(t.Context(), noon.Add(5*time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	if _, n := shown(); n != 0 {
		t.Errorf("%d series after their time to live", n)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	server, err := Listen("127.0.0.1:0", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p := newProcessor(t, server, 0)
	apply(t, p, 1, everything()...)
	p.CaughtUp(yes)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- server.Serve(ctx) }()
	request, err := http.NewRequest(http.MethodGet, "http://"+server.Address()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	unzipped, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(unzipped)
	if err != nil || len(parse(t, string(body))) != 6 {
		t.Errorf("%v\n%s", err, body)
	}
	for range maxScrapes {
		server.slots <- struct{}{}
	}
	refused, err := http.Get("http://" + server.Address() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = refused.Body.Close()
	if refused.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d with every place taken", refused.StatusCode)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
