package exporter_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// point is the value of a series at a time.
type point struct {
	start    uint64
	value    float64
	requests int // how many said so
}

// collector is an OTLP backend of metrics that notes every point of every series and what is wrong with them.
type collector struct {
	pmetricotlp.UnimplementedGRPCServer
	delta bool

	mu       sync.Mutex
	series   map[string]map[uint64]*point
	mistakes []string
}

func newCollector(t *testing.T, delta bool) (c *collector, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &collector{delta: delta, series: map[string]map[uint64]*point{}}
	server := grpc.NewServer()
	pmetricotlp.RegisterGRPCServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c, listener.Addr().String()
}

func (c *collector) Export(_ context.Context, request pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rm := range request.Metrics().ResourceMetrics().All() {
		service, _ := rm.Resource().Attributes().Get("service.name")
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				c.metric(service.Str(), m)
			}
		}
	}
	return pmetricotlp.NewExportResponse(), nil
}

func (c *collector) metric(service string, m pmetric.Metric) {
	want := pmetric.AggregationTemporalityCumulative
	if c.delta {
		want = pmetric.AggregationTemporalityDelta
	}
	note := func(attributes pcommon.Map, start, at pcommon.Timestamp, value float64) {
		route, _ := attributes.Get("http.route")
		c.note(service+" "+m.Name()+" "+route.Str(), uint64(start), uint64(at), value)
	}
	switch m.Type() {
	case pmetric.MetricTypeSum:
		if m.Sum().AggregationTemporality() != want || !m.Sum().IsMonotonic() {
			c.mistakes = append(c.mistakes, "temporality of "+m.Name())
		}
		for _, p := range m.Sum().DataPoints().All() {
			note(p.Attributes(), p.StartTimestamp(), p.Timestamp(), p.DoubleValue())
		}
	case pmetric.MetricTypeHistogram:
		if m.Histogram().AggregationTemporality() != want {
			c.mistakes = append(c.mistakes, "temporality of "+m.Name())
		}
		for _, p := range m.Histogram().DataPoints().All() {
			total := uint64(0)
			for _, n := range p.BucketCounts().All() {
				total += n
			}
			if total != p.Count() {
				c.mistakes = append(c.mistakes, "counts do not add up")
			}
			note(p.Attributes(), p.StartTimestamp(), p.Timestamp(), float64(p.Count()))
		}
	default:
		c.mistakes = append(c.mistakes, "type of "+m.Name())
	}
}

func (c *collector) note(key string, start, at uint64, value float64) {
	points := c.series[key]
	if points == nil {
		points = map[uint64]*point{}
		c.series[key] = points
	}
	p := points[at]
	if p == nil {
		points[at] = &point{start: start, value: value, requests: 1}
		return
	}
	p.requests++
	if p.start != start || p.value != value {
		c.mistakes = append(c.mistakes, fmt.Sprintf("%s at %d: %v since %d, then %v since %d", key, at, p.value, p.start, value, start))
	}
}

// totals gives the newest value of each series, or the sum of all deltas, and checks what came on the way. The caller
// holds mu.
func (c *collector) totals() map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	totals := map[string]float64{}
	for key, points := range c.series {
		times := make([]uint64, 0, len(points))
		for at := range points {
			times = append(times, at)
		}
		slices.Sort(times)
		for i, at := range times {
			p := points[at]
			if c.delta {
				totals[key] += p.value
				continue
			}
			if i > 0 && (p.value < totals[key] || p.start != points[times[0]].start) || p.start >= at {
				c.mistakes = append(c.mistakes, fmt.Sprintf("%s: %v since %d at %d, after %v", key, p.value, p.start, at, totals[key]))
			}
			totals[key] = p.value
		}
	}
	return totals
}

// instance is an exporter in a process of its own.
type instance struct {
	command  *exec.Cmd
	endpoint string
}

func startInstance(t *testing.T, cfg string) *instance {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{endpoint: listener.Addr().String()}
	_ = listener.Close()
	path := filepath.Join(t.TempDir(), "exporter.yaml")
	if err := os.WriteFile(path, []byte(fmt.Sprintf(cfg, i.endpoint)), 0o600); err != nil {
		t.Fatal(err)
	}
	i.command = exec.Command(os.Args[0])
	i.command.Env = append(os.Environ(), instanceConfig+"="+path)
	i.command.Stderr = os.Stderr
	if err := i.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.stop(syscall.SIGKILL) })
	return i
}

func (i *instance) stop(signal syscall.Signal) {
	if i.command.ProcessState == nil {
		_ = i.command.Process.Signal(signal)
		_ = i.command.Wait()
	}
}

// scrape gives the counters and counts of an endpoint by series, nil when it does not answer.
func scrape(endpoint string) (map[string]float64, error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + endpoint + "/metrics")
	if err != nil {
		return nil, nil //nolint:nilerr // It is not there, or not yet.
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for name, family := range families {
		for _, m := range family.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["job"] != "prod/"+labels["service_name"] || labels["instance"] != labels["service_name"] {
				return nil, fmt.Errorf("labels %v", labels)
			}
			key := labels["service_name"] + " " + name + " " + labels["http_route"]
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				values[key] = m.GetCounter().GetValue()
			case dto.MetricType_HISTOGRAM:
				values[key] = float64(m.GetHistogram().GetSampleCount())
			default:
				return nil, fmt.Errorf("type of %s", name)
			}
		}
	}
	return values, nil
}

// scraper scrapes all endpoints again and again, and notes values that went back.
type scraper struct {
	mu        sync.Mutex
	endpoints []string
	last      map[string]float64
	mistakes  []string
	rounds    int
}

func (s *scraper) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		endpoints := slices.Clone(s.endpoints)
		s.mu.Unlock()
		for _, endpoint := range endpoints {
			values, err := scrape(endpoint)
			s.mu.Lock()
			if err != nil {
				s.mistakes = append(s.mistakes, err.Error())
			}
			for key, value := range values {
				if value < s.last[key] {
					s.mistakes = append(s.mistakes, fmt.Sprintf("%s went from %v to %v at %s", key, s.last[key], value, endpoint))
				}
				s.last[key] = value
			}
			s.rounds++
			s.mu.Unlock()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// truth is what was published.
type truth struct {
	conn    *bus.Conn
	numbers map[string]uint64
	otlp    map[string]float64
	scraped map[string]float64
	n       int
}

const (
	services = 9
	routes   = 5
	writers  = 3
)

// publish writes a batch of each writer to each partition, sometimes twice.
func (tr *truth) publish(t *testing.T) {
	for w := range writers {
		byPartition := map[int][]*millracev1.ResourceDeltas{}
		for s := range services {
			service := fmt.Sprint("service-", s)
			resource := &millracev1.Resource{Attributes: []*millracev1.KeyValue{
				text("service.name", service), text("service.namespace", "prod"), text("telemetry.sdk.name", "millrace"),
			}}
			var deltas []*millracev1.MetricDelta
			for r := range routes {
				tr.n++
				route := fmt.Sprint("/", r)
				n := uint64(tr.n%7 + 1)
				attributes := []*millracev1.KeyValue{text("http.route", route)}
				deltas = append(deltas,
					&millracev1.MetricDelta{
						Name: "traces_spanmetrics_calls_total", Attributes: attributes, Value: &millracev1.MetricDelta_Sum{Sum: float64(n)},
					},
					&millracev1.MetricDelta{
						Name: "http.server.request.duration", Unit: "s", Attributes: attributes,
						Value: &millracev1.MetricDelta_Histogram{Histogram: &millracev1.HistogramDelta{
							Count: n, Sum: float64(n), Bounds: []float64{0.5, 5}, Counts: []uint64{0, n - 1, 1},
						}},
					})
				for name, scraped := range map[string]string{
					"traces_spanmetrics_calls_total": "traces_spanmetrics_calls_total", "http.server.request.duration": "http_server_request_duration_seconds",
				} {
					tr.otlp[service+" "+name+" "+route] += float64(n)
					tr.scraped[service+" "+scraped+" "+route] += float64(n)
				}
			}
			partition := bus.MetricPartition("prod", service, tr.conn.Partitions())
			byPartition[partition] = append(byPartition[partition], &millracev1.ResourceDeltas{Resource: resource, Deltas: deltas})
		}
		for partition, resources := range byPartition {
			key := fmt.Sprint(w, ".", partition)
			tr.numbers[key]++
			data, err := (&millracev1.MetricBatch{
				Version: 1, Source: uint32(w), EpochUnixNs: 1, Sequence: tr.numbers[key], Resources: resources,
			}).MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			for range 1 + tr.n%2 { // As a writer does that crashed and replays, beyond what the stream notices itself.
				if _, err := tr.conn.Publish(context.Background(), bus.MetricSubject(partition), "", data); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func text(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

// missing says how totals differ from the truth; "" when they do not.
func missing(got, want map[string]float64) string {
	for key, value := range want {
		if got[key] != value {
			return fmt.Sprintf("%s is %v of %v", key, got[key], value)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d series of %d", len(got), len(want))
	}
	return ""
}

// Totals are exact at an OTLP backend and at scrape, with one exporter and with three. One of the three is killed,
// another stopped and both come back: every point that comes twice is the same, and no counter ever goes back.
func TestExactTotals(t *testing.T) {
	t.Parallel()
	for _, instances := range []int{1, 3} {
		t.Run(fmt.Sprint(instances), func(t *testing.T) {
			t.Parallel()
			exactTotals(t, instances)
		})
	}
}

func exactTotals(t *testing.T, n int) {
	busConfig := config.Default().Bus
	busConfig.Partitions, busConfig.Embedded.Listen = 6, "127.0.0.1:0"
	server, err := embedded.Start(busConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := bus.Connect(t.Context(), busConfig, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.EnsureStreams(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	cumulative, cumulativeAddress := newCollector(t, false)
	delta, deltaAddress := newCollector(t, true)
	cfg := fmt.Sprintf(`
bus: {url: %q, partitions: 6}
telemetry: {log_level: error, listen: ""}
metrics: {export_interval: 1s}
exporters:
  otlp: {endpoint: %q, tls: {insecure: true}, signals: [metrics]}
  otlp/delta: {endpoint: %q, tls: {insecure: true}, signals: [metrics], temporality: delta, compression: zstd}
  prometheus: {endpoint: "%%s"}
`, server.ClientURL(), cumulativeAddress, deltaAddress)

	tr := &truth{conn: conn, numbers: map[string]uint64{}, otlp: map[string]float64{}, scraped: map[string]float64{}}
	watch := &scraper{last: map[string]float64{}}
	start := func() *instance {
		i := startInstance(t, cfg)
		watch.mu.Lock()
		watch.endpoints = append(watch.endpoints, i.endpoint)
		watch.mu.Unlock()
		return i
	}
	var all []*instance
	for range n {
		all = append(all, start())
	}
	scraping, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		watch.run(scraping)
	}()
	steps := map[int]func(){
		// Before the last victim's partitions have all moved, and after.
		60:  func() { all[0].stop(syscall.SIGKILL) },
		75:  func() { all[0] = start() },
		160: func() { all[n-1].stop(syscall.SIGTERM) },
		175: func() { all[n-1] = start() },
	}
	for step := range 240 {
		if act := steps[step]; act != nil {
			act()
		}
		tr.publish(t)
		time.Sleep(50 * time.Millisecond)
	}
	eventually(t, "the OTLP backend has all", func() bool { return missing(cumulative.totals(), tr.otlp) == "" })
	scraped := func() map[string]float64 {
		sum := map[string]float64{}
		for _, i := range all {
			values, err := scrape(i.endpoint)
			if err != nil {
				t.Fatal(err)
			}
			for key, value := range values {
				sum[key] += value // A series that two serve would be twice as much.
			}
		}
		return sum
	}
	eventually(t, "scrapes have all", func() bool { return missing(scraped(), tr.scraped) == "" })
	stop()
	<-stopped
	if len(watch.mistakes) > 0 || watch.rounds < 50 {
		t.Errorf("%d scrapes: %.2000s", watch.rounds, strings.Join(watch.mistakes, "\n"))
	}
	cumulative.totals()
	if len(cumulative.mistakes) > 0 {
		t.Errorf("cumulative: %.2000s", strings.Join(cumulative.mistakes, "\n"))
	}
	// Deltas that were sent between the checkpoint and the kill are sent again, with the same times and values: a
	// backend that counts each point once has the truth.
	eventually(t, "the backend of deltas has all", func() bool { return missing(delta.totals(), tr.otlp) == "" })
	if len(delta.mistakes) > 0 {
		t.Errorf("delta: %.2000s", strings.Join(delta.mistakes, "\n"))
	}
}
