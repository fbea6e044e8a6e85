package backends

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"millrace.dev/test/backends/internal/collector"
	"millrace.dev/test/backends/internal/pki"
	"millrace.dev/test/internal/traffic"
)

// Two Collectors get the same load at once: one over gRPC with mutual TLS, gzip and cumulative points, one over HTTP
// with TLS, a token in a header, zstd and deltas. What each wrote to its file adds up to the truth.
func TestCollector(t *testing.T) {
	certificates := pki.New(t)
	path := backend(t, "otelcol")
	cumulative, delta := collector.Start(t, path, certificates), collector.Start(t, path, certificates)
	d := deploy(t, setup{config: features + "  export_interval: 2s\n" + trafficRoutes, destinations: fmt.Sprintf(`otlp:
  endpoint: %s
  compression: gzip
  headers: {x-tenant: shop}
  tls: {ca_file: %s, cert_file: %s, key_file: %s}
otlphttp:
  endpoint: %s
  compression: zstd
  headers: {authorization: Bearer %s}
  tls: {ca_file: %s}
  temporality: delta`, cumulative.GRPC, certificates.CA, certificates.ClientCert, certificates.ClientKey,
		delta.HTTP, collector.Token, certificates.CA)})
	truth := d.publish(100, 8*time.Second, nil)
	for _, one := range []struct {
		name        string
		collector   *collector.Collector
		temporality pmetric.AggregationTemporality
	}{
		{"gRPC", cumulative, pmetric.AggregationTemporalityCumulative},
		{"HTTP", delta, pmetric.AggregationTemporalityDelta},
	} {
		t.Run(one.name, func(t *testing.T) {
			eventually(t, settle, func() error { return received(one.collector, one.temporality, truth) })
		})
	}
}

// received compares what a Collector wrote with the truth.
func received(c *collector.Collector, temporality pmetric.AggregationTemporality, truth []traffic.Span) error {
	metrics, err := c.Metrics()
	if err != nil {
		return err
	}
	series, err := collector.Merge(metrics)
	if err != nil {
		return err
	}
	requests, edges, calls, sums := map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}
	traces := map[string]bool{}
	for _, s := range series {
		if s.Temporality != pmetric.AggregationTemporalityUnspecified && s.Temporality != temporality {
			return fmt.Errorf("%s has the temporality %v", s.Name, s.Temporality)
		}
		service := s.Resource["service.name"]
		switch s.Name {
		case "http.server.request.duration":
			requests[service+" "+s.Attributes["http.request.method"]+" "+s.Attributes["http.route"]+" "+s.Attributes["http.response.status_code"]] += float64(s.Count)
			sums[service] += s.Sum
		case "traces_spanmetrics_calls_total":
			calls[service] += s.Sum
		case "traces_service_graph_request_total":
			edges[s.Attributes["client"]+" "+s.Attributes["server"]] += s.Sum
		}
		for _, id := range s.Exemplars {
			traces[id] = true
		}
	}
	wantRequests, wantEdges, wantCalls, wantSums := map[string]int{}, map[string]int{}, map[string]int{}, map[string]float64{}
	ids := map[string]int{}
	for _, s := range truth {
		wantCalls[s.Service]++
		ids[s.ID]++
		switch {
		case s.Kind == traffic.Client:
			wantEdges[s.Service+" "+s.Peer]++
		case s.Target != "":
			wantRequests[fmt.Sprintf("%s %s %s %d", s.Service, s.Name, routeOf(s), s.Status)]++
			wantSums[s.Service] += float64(s.End-s.Start) / 1e9
		}
	}
	failures := []error{
		differences("requests", requests, wantRequests), differences("edges", edges, wantEdges), differences("spans as metrics", calls, wantCalls),
	}
	for service, want := range wantSums {
		if got := sums[service]; math.Abs(got-want) > 1e-6*want {
			failures = append(failures, fmt.Errorf("durations of %s add up to %.9f s, want %.9f s", service, got, want))
		}
	}
	spans, err := c.Spans()
	if err != nil {
		return err
	}
	got := map[string]float64{}
	for _, span := range spans {
		got[span.SpanID]++
	}
	failures = append(failures, differences("spans", got, ids))
	if len(traces) == 0 {
		failures = append(failures, errors.New("no exemplars"))
	}
	for _, span := range spans {
		delete(traces, span.TraceID)
	}
	if len(traces) > 0 {
		failures = append(failures, fmt.Errorf("%d exemplars lead to no trace that was received", len(traces)))
	}
	return errors.Join(failures...)
}
