package exporter_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/exporter"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// backend counts the spans it takes by id.
type backend struct {
	ptraceotlp.UnimplementedGRPCServer
	mu    sync.Mutex
	spans map[string]int
}

func (b *backend) Export(_ context.Context, request ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	count(request.Traces(), b.spans)
	return ptraceotlp.NewExportResponse(), nil
}

func count(traces ptrace.Traces, spans map[string]int) {
	for _, rs := range traces.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				spans[span.SpanID().String()]++
			}
		}
	}
}

func (b *backend) all() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.spans)
}

func inFile(t *testing.T, path string) map[string]int {
	t.Helper()
	data, _ := os.ReadFile(path)
	spans := map[string]int{}
	for line := range strings.Lines(string(data)) {
		request := ptraceotlp.NewExportRequest()
		if strings.HasSuffix(line, "\n") && request.UnmarshalJSON([]byte(line)) == nil {
			count(request.Traces(), spans)
		}
	}
	return spans
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// A backend that is away holds up no other destination, and gets everything once when it comes, from a later instance
// too.
func TestRunOneDestinationAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close() // Nobody is there yet.

	cfg := config.Default()
	cfg.Bus.Partitions = 4
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	cfg.Exporters = config.Exporters{
		OTLP: map[string]any{
			"endpoint": address, "tls": map[string]any{"insecure": true}, "retry_on_failure": map[string]any{"max_interval": "200ms", "initial_interval": "50ms"},
		},
		File: &config.FileExporter{Path: path},
	}
	if err := exporter.CheckConfig(cfg); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := bus.Connect(t.Context(), cfg.Bus, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.EnsureStreams(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	run := func() (stop func()) {
		tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "exporter")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- exporter.Run(ctx, &service.Env{Config: cfg, Bus: conn, Telemetry: tel}) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
	}

	stop := run()
	const total = 400
	for i := range total {
		trace := [16]byte{15: byte(i)}
		batch := &millracev1.SpanBatch{
			Version: 1, Resource: &millracev1.Resource{},
			Spans: []*millracev1.Span{{TraceId: trace[:], SpanId: uint64(i) + 1, Name: fmt.Sprint(i)}},
		}
		data, err := batch.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Publish(t.Context(), bus.SpanSubject(bus.TracePartition(trace, 4), "", "shop"), "", data); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the file has all spans although the backend is away", func() bool { return len(inFile(t, path)) == total })
	stop()
	defer run()()

	b := &backend{spans: map[string]int{}}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	ptraceotlp.RegisterGRPCServer(grpcServer, b)
	go func() { _ = grpcServer.Serve(listener) }()
	t.Cleanup(grpcServer.Stop)
	eventually(t, "the backend has all spans", func() bool { return b.all() == total })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, spans := range []map[string]int{b.spans, inFile(t, path)} {
		for id, times := range spans {
			if times != 1 {
				t.Errorf("span %s came %d times", id, times)
			}
		}
	}
}

func TestCheckConfigNamesTheKey(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Exporters.OTLPHTTP = map[string]any{"endpoint": "http://a", "hedaers": map[string]any{"a": "b"}}
	if err := exporter.CheckConfig(cfg); err == nil || !strings.Contains(err.Error(), "hedaers") {
		t.Errorf("error %v", err)
	}
}
