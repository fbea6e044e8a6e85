package backends

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/prometheus"
	"millrace.dev/test/backends/internal/shop"
)

// settle is how long answers may take to become right after a load: hold time, window, export, scrape, and a machine
// that is busy.
const settle = time.Minute

// What a real Prometheus answers equals what was done: at one exporter and at three, and through restarts of exporters
// under load.
func TestExact(t *testing.T) {
	for _, exporters := range []int{1, 3} {
		t.Run(fmt.Sprint("exporters ", exporters), func(t *testing.T) {
			namespace := fmt.Sprint("exact-", exporters)
			s := shop.Open(t, namespace)
			d := deploy(t, setup{shop: s, exporters: exporters, config: features + routes})
			p := d.prometheus(false)

			const calm = 1500
			report := s.Go(t, shop.Node{Requests: calm, Concurrency: 16})
			eventually(t, settle, func() error { return compare(p, namespace, shop.TruthOf(0, calm)) })
			quantiles(t, p, namespace, report)

			// One exporter is killed and another one (or the same) stopped in an orderly way while requests go on.
			const stormy = 2400
			loaded := make(chan struct{})
			go func() {
				defer close(loaded)
				s.Go(t, shop.Node{First: calm, Requests: stormy, Concurrency: 16, Every: 5 * time.Millisecond})
			}()
			time.Sleep(2 * time.Second)
			d.restart(d.exporters[0], true)
			time.Sleep(2 * time.Second)
			d.restart(d.exporters[len(d.exporters)-1], false)
			<-loaded
			truth := shop.TruthOf(0, calm+stormy)
			eventually(t, settle, func() error { return compare(p, namespace, truth) })
			time.Sleep(5 * time.Second) // what was going to come too much has come
			if err := compare(p, namespace, truth); err != nil {
				t.Error("later:", err)
			}
			neverBack(t, p, fmt.Sprintf(`{service_namespace=%q}`, namespace))
			neverBack(t, p, fmt.Sprintf(`{client_service_namespace=%q}`, namespace))
		})
	}
}

// compare asks Prometheus for everything that the truth knows.
func compare(p *prometheus.Server, namespace string, truth shop.Truth) error {
	requests := func(counts map[string]shop.Count, pick func(shop.Count) int) map[string]int {
		out := map[string]int{}
		for key, c := range counts {
			out[key] = pick(c)
		}
		return out
	}
	count := func(c shop.Count) int { return c.Requests }
	sent := func(c shop.Count) int { return c.Sent }
	received := func(c shop.Count) int { return c.Received }
	routed := func(counts map[string]int, route string) map[string]int {
		out := map[string]int{}
		for key, n := range counts {
			method, status, _ := strings.Cut(key, " ")
			out[method+" "+route+" "+status] = n
		}
		return out
	}
	failures := func(counts map[string]shop.Count) map[string]int {
		n := 0
		for key, c := range counts {
			if _, status, _ := strings.Cut(key, " "); status >= "500" {
				n += c.Requests
			}
		}
		return map[string]int{"": n}
	}
	byRoute := []string{"http_request_method", "http_route", "http_response_status_code"}
	byStatus := []string{"http_request_method", "http_response_status_code"}
	edges := []string{"client", "server"}
	var checks []error
	check := func(what, expression string, labels []string, want map[string]int) {
		got, err := table(p, strings.ReplaceAll(expression, "NS", fmt.Sprintf("%q", namespace)), labels...)
		if err == nil {
			err = differences(what, got, want)
		}
		checks = append(checks, err)
	}
	check("requests of orders", `sum by (http_request_method, http_route, http_response_status_code) (http_server_request_duration_seconds_count{service_namespace=NS, service_name="orders"})`,
		byRoute, routed(requests(truth.Orders, count), shop.OrdersRoute))
	check("requests of stock", `sum by (http_request_method, http_route, http_response_status_code) (http_server_request_duration_seconds_count{service_namespace=NS, service_name="stock"})`,
		byRoute, routed(requests(truth.Stock, count), shop.StockRoute))
	check("failures of orders", `sum(http_server_request_duration_seconds_count{service_namespace=NS, service_name="orders", http_response_status_code=~"5.."})`,
		[]string{}, failures(truth.Orders))
	check("the same by error", `sum(http_server_request_duration_seconds_count{service_namespace=NS, service_name="orders", error_type!=""})`,
		[]string{}, failures(truth.Orders))
	check("buckets of orders", `sum by (http_request_method, http_response_status_code) (http_server_request_duration_seconds_bucket{service_namespace=NS, service_name="orders", le="+Inf"})`,
		byStatus, requests(truth.Orders, count))
	check("requests of the shopper", `sum by (http_request_method, http_response_status_code) (http_client_request_duration_seconds_count{service_namespace=NS, service_name="shopper"})`,
		byStatus, requests(truth.Orders, count))
	check("requests of orders to stock", `sum by (http_request_method, http_response_status_code) (http_client_request_duration_seconds_count{service_namespace=NS, service_name="orders"})`,
		byStatus, requests(truth.Stock, count))
	check("bytes that orders received", `sum by (http_request_method, http_response_status_code) (http_server_request_body_size_bytes_sum{service_namespace=NS, service_name="orders"})`,
		byStatus, requests(truth.Orders, sent))
	check("bytes that orders sent", `sum by (http_request_method, http_response_status_code) (http_server_response_body_size_bytes_sum{service_namespace=NS, service_name="orders"})`,
		byStatus, requests(truth.Orders, received))
	check("bytes that the shopper sent", `sum by (http_request_method, http_response_status_code) (http_client_request_body_size_bytes_sum{service_namespace=NS, service_name="shopper"})`,
		byStatus, requests(truth.Orders, sent))
	check("commands", `sum by (db_operation_name, error_type) (db_client_operation_duration_seconds_count{service_namespace=NS, service_name="orders", db_system_name="redis"})`,
		[]string{"db_operation_name", "error_type"}, truth.Cache)
	check("spans", `sum(traces_spanmetrics_calls_total{service_namespace=NS})`, []string{}, map[string]int{"": truth.Spans})
	check("durations of spans", `sum(traces_spanmetrics_latency_count{service_namespace=NS})`, []string{}, map[string]int{"": truth.Spans})
	check("edges", `sum by (client, server) (traces_service_graph_request_total{client_service_namespace=NS})`, edges, truth.Edges)
	check("failed edges", `sum by (client, server) (traces_service_graph_request_failed_total{client_service_namespace=NS}) > 0`, edges, truth.Failed)
	check("edges as clients measured", `sum by (client, server) (traces_service_graph_request_client_count{client_service_namespace=NS})`, edges, truth.Edges)
	check("edges as servers measured", `sum by (client, server) (traces_service_graph_request_server_count{client_service_namespace=NS})`, edges, truth.Edges)
	// Where it is not known when something arrived, the network's time is not told.
	check("network time of edges", `sum by (client, server) (traces_service_graph_request_total{client_service_namespace=NS})
		and sum by (client, server) (traces_service_graph_request_network_count{client_service_namespace=NS})
			<= sum by (client, server) (traces_service_graph_request_total{client_service_namespace=NS})`, edges, truth.Edges)
	return errors.Join(checks...)
}

// quantiles compares what Prometheus makes of the buckets with the client's own clock: the same bucket or the next.
func quantiles(t *testing.T, p *prometheus.Server, namespace string, report shop.Report) {
	t.Helper()
	edges, err := p.LabelValues("le", fmt.Sprintf(`http_client_request_duration_seconds_bucket{service_namespace=%q}`, namespace))
	if err != nil {
		t.Fatal(err)
	}
	var bounds []float64
	for _, text := range edges {
		var bound float64
		if _, err := fmt.Sscan(text, &bound); err == nil {
			bounds = append(bounds, bound)
		}
	}
	slices.Sort(bounds)
	if len(bounds) < 5 {
		t.Fatalf("the buckets are %v", edges)
	}
	bucket := func(seconds float64) int { n, _ := slices.BinarySearch(bounds, seconds); return n }
	for _, key := range slices.Sorted(maps.Keys(report.Durations)) {
		durations := report.Durations[key]
		slices.Sort(durations)
		method, status, _ := strings.Cut(key, " ")
		for _, q := range []float64{0.5, 0.9, 0.99} {
			expression := fmt.Sprintf(`histogram_quantile(%g, sum by (le) (http_client_request_duration_seconds_bucket{service_namespace=%q, service_name="shopper", http_request_method=%q, http_response_status_code=%q}))`,
				q, namespace, method, status)
			samples, err := p.Query(expression)
			if err != nil || len(samples) != 1 {
				t.Errorf("%s: %v %v", expression, samples, err)
				continue
			}
			own := durations[int(q*float64(len(durations)))].Seconds()
			if got := samples[0].Value; bucket(got)-bucket(own) > 1 || bucket(own)-bucket(got) > 1 {
				t.Errorf("quantile %g of %s: Prometheus says %.4f s, the client %.4f s (buckets %v)", q, key, got, own, bounds)
			}
		}
	}
}

// neverBack looks for counters that went back, whichever exporters they came from.
func neverBack(t *testing.T, p *prometheus.Server, selector string) {
	t.Helper()
	names, err := p.LabelValues("__name__", selector)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range names {
		if !strings.HasSuffix(name, "_total") && !strings.HasSuffix(name, "_count") && !strings.HasSuffix(name, "_bucket") && !strings.HasSuffix(name, "_sum") {
			continue
		}
		seen++
		samples, err := p.Query(fmt.Sprintf("max(resets(%s%s[1h]))", name, selector))
		if err != nil || len(samples) != 1 || samples[0].Value != 0 {
			t.Errorf("resets of %s: %v %v", name, samples, err)
		}
	}
	if seen < 5 {
		t.Errorf("%s: %d counters were found", selector, seen)
	}
}
