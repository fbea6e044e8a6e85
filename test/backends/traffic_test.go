package backends

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/test/backends/internal/prometheus"
	"millrace.dev/test/internal/traffic"
)

// Patterns of the paths of package traffic.
const (
	trafficRoutes = "routes:\n  patterns: [\"" + orderRoute + "\", \"" + stockRoute + "\"]\n"
	orderRoute    = "/order/{lane}/{chain}/{n}"
	stockRoute    = "/stock/{lane}/{chain}/{n}"
)

// connect connects to the deployment's bus.
func (d *deployment) connect() *bus.Conn {
	d.t.Helper()
	cfg, err := config.Parse("test", []byte(d.bus+"  max_pending: 256MiB\n"))
	if err != nil {
		d.t.Fatal(err)
	}
	conn, err := bus.Connect(d.t.Context(), cfg.Bus, "backends")
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(conn.Close)
	return conn
}

// publish runs generated traffic on the deployment's bus for a while and gives the spans that must come of it.
func (d *deployment) publish(rate float64, during time.Duration, meanwhile func()) []traffic.Span {
	d.t.Helper()
	load := traffic.Start(d.connect(), traffic.Options{Rate: rate})
	end := time.After(during)
	if meanwhile != nil {
		meanwhile()
	}
	<-end
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	truth, err := load.Stop(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	return truth
}

// Of three exporters one is killed and another stopped in an orderly way, each twice, while more comes: what
// Prometheus answers equals what was published, and quantiles lie in the bucket of the exact ones.
func TestExportersRestart(t *testing.T) {
	d := deploy(t, setup{exporters: 3, config: features + trafficRoutes})
	p := d.prometheus(false)
	truth := d.publish(150, 24*time.Second, func() {
		for n := range 4 {
			time.Sleep(3 * time.Second)
			d.restart(d.exporters[n%3], n%2 == 0)
		}
	})
	eventually(t, settle, func() error { return compareTraffic(p, truth) })
	time.Sleep(5 * time.Second) // what was going to come too much has come
	if err := compareTraffic(p, truth); err != nil {
		t.Error("later:", err)
	}
	exactQuantiles(t, p, truth, 1)
	for _, service := range []string{"shop-0", "front-1", "stock-2"} {
		neverBack(t, p, fmt.Sprintf(`{service_name=%q}`, service))
	}
}

// compareTraffic asks Prometheus for what the spans say.
func compareTraffic(p *prometheus.Server, truth []traffic.Span) error {
	servers, clients, failures, commands, edges, failed, all := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range truth {
		all[s.Service]++
		route := routeOf(s)
		http := s.Target != ""
		switch {
		case s.Kind == traffic.Server && http:
			servers[fmt.Sprintf("%s %s %s %d", s.Service, s.Name, route, s.Status)]++
			if s.Status >= 500 {
				failures[s.Service]++
			}
		case s.Kind == traffic.Client && http:
			clients[fmt.Sprintf("%s %s %d", s.Service, s.Name, s.Status)]++
		case s.Kind == traffic.Client:
			commands[s.Service+" "+s.Name]++
		}
		if s.Kind == traffic.Client {
			edges[s.Service+" "+s.Peer]++
			if s.Status >= 400 {
				failed[s.Service+" "+s.Peer]++
			}
		}
	}
	var checks []error
	check := func(what, expression string, labels []string, want map[string]int) {
		got, err := table(p, "sum by ("+strings.Join(labels, ", ")+") ("+expression+")", labels...)
		if err == nil {
			err = differences(what, got, want)
		}
		checks = append(checks, err)
	}
	check("requests answered", `http_server_request_duration_seconds_count`,
		[]string{"service_name", "http_request_method", "http_route", "http_response_status_code"}, servers)
	check("requests made", `http_client_request_duration_seconds_count`, []string{"service_name", "http_request_method", "http_response_status_code"}, clients)
	check("failures", `http_server_request_duration_seconds_count{error_type!=""}`, []string{"service_name"}, failures)
	check("commands", `db_client_operation_duration_seconds_count`, []string{"service_name", "db_operation_name"}, commands)
	check("edges", `traces_service_graph_request_total`, []string{"client", "server"}, edges)
	check("failed edges", `traces_service_graph_request_failed_total`, []string{"client", "server"}, failed)
	check("spans", `traces_spanmetrics_calls_total`, []string{"service_name"}, all)
	check("durations of spans", `traces_spanmetrics_latency_count`, []string{"service_name"}, all)
	return errors.Join(checks...)
}

// exactQuantiles compares quantiles with those of the spans, whose durations are known to the nanosecond: they may
// differ by what is inside of a bucket, that is by the factor spread where buckets are no explicit ones, or else by the
// bounds around the exact one.
func exactQuantiles(t *testing.T, p *prometheus.Server, truth []traffic.Span, spread float64) {
	t.Helper()
	for _, service := range []string{"shop-0", "stock-1", "shop-3"} {
		var durations []float64
		for _, s := range truth {
			if s.Service == service && s.Kind == traffic.Server {
				durations = append(durations, float64(s.End-s.Start)/1e9)
			}
		}
		slices.Sort(durations)
		metric := fmt.Sprintf(`http_server_request_duration_seconds_bucket{service_name=%q}`, service)
		expression := "sum by (le) (" + metric + ")"
		if spread > 1 {
			expression = fmt.Sprintf(`sum(http_server_request_duration_seconds{service_name=%q})`, service)
		}
		bounds := defaultBounds
		for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
			samples, err := p.Query(fmt.Sprintf("histogram_quantile(%g, %s)", q, expression))
			if err != nil || len(samples) != 1 {
				t.Errorf("quantile %g of %s: %v %v", q, service, samples, err)
				continue
			}
			got, own := samples[0].Value, durations[min(len(durations)-1, int(q*float64(len(durations))))]
			least, most := own/spread, own*spread
			if spread <= 1 {
				i, _ := slices.BinarySearch(bounds, own)
				least, most = bounds[max(0, i-1)], bounds[min(i, len(bounds)-1)]
			}
			if got < least || got > most {
				t.Errorf("quantile %g of %s: Prometheus says %.5f s, it is %.5f s", q, service, got, own)
			}
		}
	}
}

// defaultBounds are those of metrics.buckets.duration_histogram.
var defaultBounds = config.Default().Metrics.Buckets.DurationHistogram

func routeOf(s traffic.Span) string {
	if strings.HasPrefix(s.Target, "/stock") {
		return stockRoute
	}
	return orderRoute
}
