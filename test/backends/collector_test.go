package backends

import (
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"millrace.dev/test/backends/internal/collector"
	"millrace.dev/test/backends/internal/pki"
	"millrace.dev/test/backends/internal/shop"
)

// Two Collectors get the same load at once: one over gRPC with mutual TLS, gzip and cumulative points, one over HTTP with TLS, a token in a
// header, zstd and deltas. What each wrote to its file adds up to the truth.
func TestCollector(t *testing.T) {
	const namespace, requests = "collector", 1200
	certificates := pki.New(t)
	path := backend(t, "otelcol")
	cumulative, delta := collector.Start(t, path, certificates), collector.Start(t, path, certificates)
	s := shop.Open(t, namespace)
	deploy(t, setup{shop: s, config: features + routes, destinations: fmt.Sprintf(`otlp:
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
	s.Go(t, shop.Node{Requests: requests, Concurrency: 16})
	truth := shop.TruthOf(0, requests)
	for _, one := range []struct {
		name        string
		collector   *collector.Collector
		temporality pmetric.AggregationTemporality
	}{
		{"gRPC", cumulative, pmetric.AggregationTemporalityCumulative},
		{"HTTP", delta, pmetric.AggregationTemporalityDelta},
	} {
		eventually(t, settle, func() error { return received(one.collector, one.temporality, truth) })
	}
}

// received compares what a Collector wrote with the truth.
func received(c *collector.Collector, temporality pmetric.AggregationTemporality, truth shop.Truth) error {
	metrics, err := c.Metrics()
	if err != nil {
		return err
	}
	series, err := collector.Merge(metrics)
	if err != nil {
		return err
	}
	orders, commands, edges := map[string]float64{}, map[string]float64{}, map[string]float64{}
	bytes := map[string]float64{}
	traces := map[string]bool{}
	for _, s := range series {
		if s.Temporality != pmetric.AggregationTemporalityUnspecified && s.Temporality != temporality {
			return fmt.Errorf("%s has the temporality %v", s.Name, s.Temporality)
		}
		status := s.Attributes["http.request.method"] + " " + s.Attributes["http.response.status_code"]
		switch {
		case s.Name == "http.server.request.duration" && s.Resource["service.name"] == "orders":
			orders[status] += float64(s.Count)
		case s.Name == "http.server.request.body.size" && s.Resource["service.name"] == "orders":
			bytes[status] += s.Sum
		case s.Name == "db.client.operation.duration" && s.Resource["service.name"] == "orders":
			class := s.Attributes["error.type"]
			if class == "" {
				class = "-"
			}
			commands[s.Attributes["db.operation.name"]+" "+class] += float64(s.Count)
		case s.Name == "traces_service_graph_request_total":
			edges[s.Attributes["client"]+" "+s.Attributes["server"]] += s.Sum
		}
		for _, id := range s.Exemplars {
			traces[id] = true
		}
	}
	want, wantBytes := map[string]int{}, map[string]int{}
	for key, count := range truth.Orders {
		want[key], wantBytes[key] = count.Requests, count.Sent
	}
	spans, err := c.Spans()
	if err != nil {
		return err
	}
	failures := []error{
		differences("requests of orders", orders, want), differences("bytes that orders received", bytes, wantBytes),
		differences("commands", commands, truth.Cache), differences("edges", edges, truth.Edges),
		differences("spans", map[string]float64{"": float64(len(spans))}, map[string]int{"": truth.Spans}),
	}
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
