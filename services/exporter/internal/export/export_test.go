package export

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/exporter/internal/destination"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// backend is an OTLP backend that notes what it took.
type backend struct {
	ptraceotlp.UnimplementedGRPCServer

	mu        sync.Mutex
	spans     map[string]int
	resources map[string]bool
	agent     string
	requests  int
	// answer decides about a request by its number; nil accepts all.
	answer func(request int) error
}

func (b *backend) take(traces ptrace.Traces, agent string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	b.agent = agent
	if b.answer != nil {
		if err := b.answer(b.requests); err != nil {
			return err
		}
	}
	if b.spans == nil {
		b.spans, b.resources = map[string]int{}, map[string]bool{}
	}
	for _, rs := range traces.ResourceSpans().All() {
		name, _ := rs.Resource().Attributes().Get("service.name")
		b.resources[name.Str()] = true
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				b.spans[span.SpanID().String()]++
			}
		}
	}
	return nil
}

func (b *backend) Export(ctx context.Context, request ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	return ptraceotlp.NewExportResponse(), b.take(request.Traces(), strings.Join(md.Get("user-agent"), ","))
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body []byte
	unzipped, err := gzip.NewReader(r.Body)
	if err == nil {
		body, err = io.ReadAll(unzipped)
	}
	request := ptraceotlp.NewExportRequest()
	if err == nil {
		err = request.UnmarshalProto(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch err := b.take(request.Traces(), r.UserAgent()); status.Code(err) {
	case codes.OK:
	case codes.Unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// once checks that n spans came, each once.
func (b *backend) once(t *testing.T, n int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spans) != n {
		t.Errorf("%d spans arrived, want %d", len(b.spans), n)
	}
	for id, times := range b.spans {
		if times != 1 {
			t.Errorf("span %s arrived %d times", id, times)
		}
	}
	if !strings.HasPrefix(b.agent, "Millrace/1.2.3 ") {
		t.Errorf("User-Agent %q", b.agent)
	}
}

func (b *backend) serveGRPC(t *testing.T, address string) (string, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String(), server
}

// records makes count batches of size spans, with ids from first.
func records(t testing.TB, first, count, size int) []stage.Record {
	t.Helper()
	var all []stage.Record
	id := uint64(first)
	for i := range count {
		batch := &millracev1.SpanBatch{Version: 1, Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{
			text("service.name", fmt.Sprintf("service-%d", i%3)), text("host.name", "node"),
		}}}
		for range size {
			batch.Spans = append(batch.Spans, &millracev1.Span{
				TraceId: bytes.Repeat([]byte{7}, 16), SpanId: id, ParentSpanId: id + 1, Kind: millracev1.SpanKind_SPAN_KIND_SERVER, Name: "GET",
				StartUnixNs: 1e18, EndUnixNs: 1e18 + 5e6, TraceFlags: 1,
				Attributes: []*millracev1.KeyValue{
					text("http.request.method", "GET"), text("url.path", "/orders/17"), text("url.scheme", "http"),
					text("server.address", "shop.example"), text("client.address", "192.0.2.7"), text("network.protocol.name", "http"),
					{Key: "server.port", Value: &millracev1.KeyValue_IntValue{IntValue: 8080}},
					{Key: "http.response.status_code", Value: &millracev1.KeyValue_IntValue{IntValue: 200}},
					{Key: "millrace.tcp.srtt", Value: &millracev1.KeyValue_DoubleValue{DoubleValue: 0.00025}},
				},
			})
			id++
		}
		data, err := batch.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stage.Record{Data: data})
	}
	return all
}

func text(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

func counters(t testing.TB) *Counters {
	t.Helper()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m.Of("test", tel.Log)
}

// start makes the only destination of a configuration.
func start(t testing.TB, cfg config.Exporters) destination.Destination {
	t.Helper()
	all, err := destination.New(cfg, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if err := all[0].Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all[0].Shutdown(context.Background()) })
	return all[0]
}

func newTestProcessor(to Destination, c *Counters) *Processor {
	p := NewProcessor(to, nil, c)
	p.pause = 10 * time.Millisecond
	return p
}

func grpcSettings(endpoint string) config.Exporters {
	return config.Exporters{OTLP: map[string]any{
		"endpoint": endpoint, "tls": map[string]any{"insecure": true},
		"retry_on_failure": map[string]any{"initial_interval": "20ms", "max_interval": "100ms"},
	}}
}

func httpSettings(endpoint string) config.Exporters {
	return config.Exporters{OTLPHTTP: map[string]any{
		"endpoint": endpoint, "retry_on_failure": map[string]any{"initial_interval": "20ms", "max_interval": "100ms"},
	}}
}

// Everything arrives once, also when records come twice and a predecessor's state is restored.
func TestArrivesOnce(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"otlp", "otlphttp"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := &backend{}
			var d destination.Destination
			if protocol == "otlp" {
				address, _ := b.serveGRPC(t, "127.0.0.1:0")
				d = start(t, grpcSettings(address))
			} else {
				server := httptest.NewServer(b)
				t.Cleanup(server.Close)
				d = start(t, httpSettings(server.URL))
			}
			c := counters(t)
			p := newTestProcessor(d, c)
			input := records(t, 1, 40, 50)
			if err := p.Process(t.Context(), input[:30], nil); err != nil {
				t.Fatal(err)
			}
			snapshot, err := p.Snapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			p = newTestProcessor(d, c)
			if err := p.Restore(snapshot); err != nil {
				t.Fatal(err)
			}
			if err := p.Process(t.Context(), append(input[20:], stage.Record{Data: []byte("\xff\xff")}), nil); err != nil {
				t.Fatal(err)
			}
			b.once(t, 2000)
			if len(b.resources) != 3 || b.requests != 2 {
				t.Errorf("%d resources in %d requests", len(b.resources), b.requests)
			}
			if got := testutil.ToFloat64(c.Duplicates); got != 500 {
				t.Errorf("%v duplicates", got)
			}
			if got := testutil.ToFloat64(c.Malformed); got != 1 {
				t.Errorf("%v malformed", got)
			}
		})
	}
}

// A backend that is away holds the processor up; when it is back everything arrives once.
func TestBackendAway(t *testing.T) {
	t.Parallel()
	b := &backend{}
	address, server := b.serveGRPC(t, "127.0.0.1:0")
	settings := grpcSettings(address)
	settings.OTLP["retry_on_failure"] = map[string]any{"enabled": false}
	d := start(t, settings)
	c := counters(t)
	p := newTestProcessor(d, c)
	input := records(t, 1, 20, 50)
	if err := p.Process(t.Context(), input[:10], nil); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	done := make(chan error, 1)
	go func() { done <- p.Process(t.Context(), input[10:], nil) }()
	select {
	case err := <-done:
		t.Fatalf("returned while the backend is away: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if testutil.ToFloat64(c.failures) == 0 {
		t.Error("no failure was counted")
	}
	_, _ = b.serveGRPC(t, address)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("does not go on although the backend is back")
	}
	b.once(t, 1000)
}

// A stage that stops while the backend is away gets its context's error, not success.
func TestStopsWhileAway(t *testing.T) {
	t.Parallel()
	d := start(t, grpcSettings("127.0.0.1:1"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := newTestProcessor(d, counters(t)).Process(ctx, records(t, 1, 1, 1), nil); err == nil {
		t.Fatal("no error")
	}
}

// What can be retried is, what is refused for good is counted and dropped.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"otlp", "otlphttp"} {
		for code, lost := range map[codes.Code]int{codes.Unavailable: 0, codes.InvalidArgument: 50} {
			t.Run(protocol+" "+code.String(), func(t *testing.T) {
				t.Parallel()
				b := &backend{answer: func(request int) error {
					if request == 1 {
						return status.Error(code, "not now")
					}
					return nil
				}}
				var d destination.Destination
				if protocol == "otlp" {
					address, _ := b.serveGRPC(t, "127.0.0.1:0")
					d = start(t, grpcSettings(address))
				} else {
					server := httptest.NewServer(b)
					t.Cleanup(server.Close)
					d = start(t, httpSettings(server.URL))
				}
				c := counters(t)
				p := newTestProcessor(d, c)
				input := records(t, 1, 2, 50)
				for i := range input {
					if err := p.Process(t.Context(), input[i:i+1], nil); err != nil {
						t.Fatal(err)
					}
				}
				b.once(t, 100-lost)
				if got := testutil.ToFloat64(c.refusedSpans); got != float64(lost) {
					t.Errorf("%v refused", got)
				}
			})
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg  config.Exporters
		want string
	}{
		"unknown key":   {config.Exporters{OTLP: map[string]any{"endpoint": "a:1", "endpiont": "b"}}, "endpiont"},
		"no endpoint":   {config.Exporters{OTLPHTTP: map[string]any{}}, "exporters.otlphttp: at least one endpoint"},
		"own queue":     {config.Exporters{OTLP: map[string]any{"endpoint": "a:1", "sending_queue": map[string]any{}}}, "exporters.otlp: sending_queue"},
		"bad verbosity": {config.Exporters{Debug: map[string]any{"verbosity": "loud"}}, "exporters.debug: "},
		"no path":       {config.Exporters{File: &config.FileExporter{}}, "exporters.file.path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := destination.New(test.cfg, "1"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestRestoreDamaged(t *testing.T) {
	t.Parallel()
	for _, snapshot := range [][]byte{nil, {9}, {1}, {1, 1, 8, 200}, append(mustSnapshot(t), 0)} {
		if NewProcessor(nil, nil, counters(t)).Restore(snapshot) == nil {
			t.Errorf("no error from %x", snapshot)
		}
	}
}

func mustSnapshot(t *testing.T) []byte {
	t.Helper()
	b, err := NewProcessor(nil, nil, counters(t)).Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// discard takes everything.
type discard struct{ destination.Request }

func (discard) Send(context.Context) error { return nil }

// discarding encodes for a destination and sends nothing.
type discarding struct{ destination.Destination }

func (d discarding) NewRequest() destination.Request { return discard{d.Destination.NewRequest()} }

func BenchmarkConvert(b *testing.B) {
	for name, cfg := range map[string]config.Exporters{
		"file": {File: &config.FileExporter{Path: "/dev/null"}}, "otlp": grpcSettings("127.0.0.1:1"),
	} {
		b.Run(name, func(b *testing.B) {
			all, err := destination.New(cfg, "1")
			if err != nil {
				b.Fatal(err)
			}
			input := records(b, 1, 100, 20)
			c := counters(b)
			b.ReportAllocs()
			spans := 0
			for b.Loop() {
				p := NewProcessor(discarding{all[0]}, nil, c)
				if err := p.Process(context.Background(), input, nil); err != nil {
					b.Fatal(err)
				}
				spans += 2000
			}
			b.ReportMetric(float64(spans)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}
