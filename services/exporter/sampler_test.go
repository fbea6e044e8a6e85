package exporter_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/errgroup"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/exporter"
	"millrace.dev/services/exporter/internal/destination"
	"millrace.dev/services/exporter/internal/export"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// samplerURL is set where the test binary is to be a sampler.
const samplerURL = "SAMPLER_TEST_URL"

func samplerConfig() *config.Config {
	cfg := config.Default()
	cfg.Bus.Partitions = 4
	cfg.Sampling.DecisionWait = 3 * time.Second
	cfg.Sampling.Policies = []config.SamplingPolicy{
		{Name: "errors", Type: "status_code", StatusCode: &config.StatusCodePolicy{StatusCodes: []string{"ERROR"}}},
	}
	return cfg
}

func samplerProcess(url string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := samplerConfig()
	cfg.Bus.URL = url
	err := func() error {
		conn, err := bus.Connect(ctx, cfg.Bus, "sampler")
		if err != nil {
			return err
		}
		defer conn.Close()
		tel, err := telemetry.New(config.Telemetry{LogLevel: "error"}, "sampler")
		if err != nil {
			return err
		}
		group, running := errgroup.WithContext(ctx)
		if err := exporter.StartSampler(running, group, &service.Env{Config: cfg, Bus: conn, Telemetry: tel}); err != nil {
			return err
		}
		return group.Wait()
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// launchSampler starts a sampler that dies with the test.
func launchSampler(t *testing.T, url string) (end func(syscall.Signal)) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), samplerURL+"="+url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(os.Stderr, "sampler:", lines.Text())
		}
		_ = cmd.Wait()
	}()
	end = func(s syscall.Signal) {
		_ = cmd.Process.Signal(s)
		<-done
	}
	t.Cleanup(func() { end(syscall.SIGKILL) })
	return end
}

// traffic publishes traces, and knows which of their spans must be kept.
type traffic struct {
	t      *testing.T
	conn   *bus.Conn
	spans  uint64
	expect map[string]int
}

// id of a trace: consecutive ones are in different partitions.
func (*traffic) id(trace int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], uint64(trace+1))
	binary.BigEndian.PutUint64(id[8:], uint64(trace)*0x9e3779b97f4a7c15+1)
	return id
}

func (w *traffic) send(trace int, service string, status millracev1.StatusCode, kept bool) {
	w.t.Helper()
	w.spans++
	id := w.id(trace)
	batch := &millracev1.SpanBatch{
		Version: 1,
		Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{
			{Key: "service.name", Value: &millracev1.KeyValue_StringValue{StringValue: service}},
		}},
		Spans: []*millracev1.Span{{TraceId: id[:], SpanId: w.spans, Name: "GET", Status: status, TraceFlags: 1}},
	}
	data, err := batch.MarshalVT()
	if err != nil {
		w.t.Fatal(err)
	}
	// Every fifth record comes twice, as after a crash of the enricher.
	for range 1 + w.spans%5/4 {
		subject := bus.SpanSubject(bus.TracePartition(id, 4), "shop", service)
		if _, err := w.conn.Publish(w.t.Context(), subject, "", data); err != nil {
			w.t.Fatal(err)
		}
	}
	if kept {
		w.expect[fmt.Sprintf("%016x", w.spans)] = 1
	}
}

// round sends some traces whose spans come one after the other, those of all at once. Every seventh has an error, at
// one of the services.
func (w *traffic) round(first, traces int, services []string) {
	for i, service := range services {
		for trace := first; trace < first+traces; trace++ {
			status := millracev1.StatusCode_STATUS_CODE_UNSPECIFIED
			if trace%7 == 0 && i == trace%len(services) {
				status = millracev1.StatusCode_STATUS_CODE_ERROR
			}
			w.send(trace, service, status, trace%7 == 0)
		}
		time.Sleep(40 * time.Millisecond)
	}
}

// Traces spread over services are kept whole or not at all, each span once behind the destinations, while samplers are
// killed.
func TestSamplerKilled(t *testing.T) {
	t.Parallel()
	cfg := samplerConfig()
	cfg.Bus.Embedded.Listen = "127.0.0.1:0"
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
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	stop, counters := exportSampled(t, conn, path)
	defer stop()

	w := &traffic{t: t, conn: conn, expect: map[string]int{}}
	url := server.ClientURL()
	end := launchSampler(t, url)
	// Each comes when the sampler before it has kept traces.
	faults := []func(){
		func() { // A planned change: the next one goes on from its checkpoint, in which traces wait.
			next := launchSampler(t, url)
			end(syscall.SIGTERM)
			end = next
		},
		func() { end(syscall.SIGKILL); end = launchSampler(t, url) },
		func() { end(syscall.SIGKILL); end = launchSampler(t, url) },
		func() {},
	}
	services := []string{"front", "cart", "stock", "pay"}
	const together, late = 50, 4
	traces, kept := 0, 0
	for start := time.Now(); len(faults) > 0; {
		if time.Since(start) > 90*time.Second {
			t.Fatalf("%d faults are left after 90 s: no sampler makes progress", len(faults))
		}
		w.round(traces, together, services)
		traces += together
		// Long after their decisions, some traces have one more span, which follows: an error changes nothing.
		for trace := traces - 24*together; trace >= 0 && trace < traces-24*together+late; trace++ {
			w.send(trace, "late", millracev1.StatusCode_STATUS_CODE_ERROR, trace%7 == 0)
		}
		if now := len(inFile(t, path)); now >= kept+50 {
			faults[0]()
			faults, kept = faults[1:], len(inFile(t, path))
		}
	}
	// The last traces of each partition are decided after all others.
	for trace := traces; trace < traces+4; trace++ {
		w.send(trace, "front", millracev1.StatusCode_STATUS_CODE_ERROR, true)
	}
	last := w.spans
	eventually(t, "the last traces are there", func() bool {
		got := inFile(t, path)
		for id := last - 3; id <= last; id++ {
			if got[fmt.Sprintf("%016x", id)] == 0 {
				return false
			}
		}
		return true
	})
	if testutil.ToFloat64(counters.Duplicates) == 0 {
		t.Error("no span came twice: nothing was replayed")
	}
	got := inFile(t, path)
	if maps.Equal(got, w.expect) {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(w.expect)) {
		if got[id] != 1 {
			t.Errorf("span %s of a kept trace is there %d times", id, got[id])
		}
	}
	for id := range got {
		if w.expect[id] == 0 {
			t.Errorf("span %s of a dropped trace is there", id)
		}
	}
}

// exportSampled writes what the sampler keeps to a file, as the destination of that name does.
func exportSampled(t *testing.T, conn *bus.Conn, path string) (stop func(), counters *export.Counters) {
	t.Helper()
	destinations, err := destination.New(config.Exporters{File: &config.FileExporter{Path: path}}, "1")
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error"}, "exporter")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := export.NewMetrics(tel.Registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := destinations[0].Start(ctx); err != nil {
		t.Fatal(err)
	}
	counters = metrics.Of("file", tel.Log)
	done := make(chan error, 1)
	go func() {
		done <- stage.Run(ctx, stage.Options{
			Name: "exporter-file", Stream: bus.StreamSampled, Bus: conn, Telemetry: tel,
			Subjects: func(p int) []string { return []string{"millrace.sampled." + strconv.Itoa(p) + ".>"} },
			Factory:  func(int) (stage.Processor, error) { return export.NewProcessor(destinations[0], nil, counters), nil },
		})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("exporter: %v", err)
		}
	}, counters
}

// run runs the service until stop is called.
func run(t *testing.T, cfg *config.Config, conn *bus.Conn) (tel *telemetry.Telemetry, stop func()) {
	t.Helper()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error"}, "exporter")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- exporter.Run(ctx, &service.Env{Config: cfg, Bus: conn, Telemetry: tel}) }()
	eventually(t, "it is ready", func() bool { ready, _ := tel.Ready(); return ready })
	return tel, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// With policies, the service's destinations get what the sampler keeps. What was exported before sampling was switched
// on does not come twice.
func TestSwitchOn(t *testing.T) {
	t.Parallel()
	cfg := samplerConfig()
	policies := cfg.Sampling.Policies
	cfg.Sampling.DecisionWait = 200 * time.Millisecond
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	cfg.Exporters.File = &config.FileExporter{Path: path}
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
	w := &traffic{t: t, conn: conn, expect: map[string]int{}}
	for i, policies := range [][]config.SamplingPolicy{nil, policies} {
		cfg.Sampling.Policies = policies
		if err := exporter.CheckConfig(cfg); err != nil {
			t.Fatal(err)
		}
		tel, stop := run(t, cfg, conn)
		if names := stages(t, tel); slices.Contains(names, "sampler") != (policies != nil) {
			t.Errorf("stages are %v", names)
		}
		for trace := 100 * i; trace < 100*i+100; trace++ {
			kept := trace%2 == 0 || policies == nil
			w.send(trace, "front", millracev1.StatusCode_STATUS_CODE_UNSPECIFIED, kept)
			w.send(trace, "back", millracev1.StatusCode(trace%2*-2+2), kept)
		}
		eventually(t, "all kept spans are there", func() bool { return len(inFile(t, path)) >= len(w.expect) })
		stop()
	}
	if got := inFile(t, path); !maps.Equal(got, w.expect) {
		t.Errorf("%d spans in the file, want %d", len(got), len(w.expect))
	}
}

// stages gives the stages that say something of themselves in the metrics.
func stages(t *testing.T, tel *telemetry.Telemetry) (names []string) {
	t.Helper()
	families, err := tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				if label.GetName() == "stage" && !slices.Contains(names, label.GetValue()) {
					names = append(names, label.GetValue())
				}
			}
		}
	}
	return names
}
