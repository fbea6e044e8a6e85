package backends

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace.dev/test/backends/internal/jaeger"
	"millrace.dev/test/backends/internal/shop"
)

// toJaeger is YAML of an exporter that sends spans to a Jaeger.
func toJaeger(j *jaeger.Server) string {
	return fmt.Sprintf("otlp:\n  endpoint: %s\n  tls: {insecure: true}\n  signals: [traces]", j.GRPC)
}

// Jaeger has every trace, each whole; and every exemplar of Prometheus leads to a span that Jaeger has.
func TestTraces(t *testing.T) {
	const namespace, requests = "traces", 1000
	j := jaeger.Start(t, backend(t, "all-in-one"))
	s := shop.Open(t, namespace)
	d := deploy(t, setup{shop: s, config: features + routes, destinations: toJaeger(j)})
	p := d.prometheus(false)
	s.Go(t, shop.Node{Requests: requests, Concurrency: 16})
	eventually(t, settle, func() error { return whole(j, requests) })
	eventually(t, settle, func() error { return compare(p, namespace, shop.TruthOf(0, requests)) })

	exemplars := 0
	for _, metric := range []string{
		"http_server_request_duration_seconds_bucket", "http_client_request_duration_seconds_bucket", "db_client_operation_duration_seconds_bucket",
		"traces_spanmetrics_latency_bucket",
	} {
		found, err := p.Exemplars(fmt.Sprintf("%s{service_namespace=%q}", metric, namespace))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			t.Errorf("%s has no exemplars", metric)
		}
		exemplars += len(found)
		for _, e := range found {
			trace, err := j.Trace(e.TraceID)
			if err != nil {
				t.Errorf("exemplar of %v: trace %s: %v", e.Series, e.TraceID, err)
				continue
			}
			if !slices.ContainsFunc(trace, func(span jaeger.Span) bool {
				return span.SpanID == e.SpanID && span.Service == e.Series["service_name"]
			}) {
				t.Errorf("exemplar of %v: trace %s has no span %s of that service", e.Series, e.TraceID, e.SpanID)
			}
		}
	}
	t.Logf("%d exemplars lead to traces", exemplars)
}

// whole checks that Jaeger has exactly the traces of the requests, and each as it must be.
func whole(j *jaeger.Server, requests int) error {
	traces, err := j.Search("shopper", 2*requests)
	if err != nil {
		return err
	}
	seen := map[int]int{}
	var wrong []string
	for _, trace := range traces {
		n, err := shape(trace)
		switch {
		case err != nil:
			wrong = append(wrong, err.Error())
		case n >= requests:
			wrong = append(wrong, fmt.Sprintf("trace of request %d should not be there", n))
		default:
			seen[n]++
		}
	}
	for n := range requests {
		if seen[n] != 1 {
			wrong = append(wrong, fmt.Sprintf("request %d has %d traces", n, seen[n]))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d traces, %d things wrong: %s", len(traces), len(wrong), strings.Join(wrong[:min(5, len(wrong))], "; "))
	}
	return nil
}

// shape checks a trace of the shop span by span and gives the number of its request.
func shape(trace []jaeger.Span) (int, error) {
	byID := map[string]jaeger.Span{}
	for _, span := range trace {
		if _, twice := byID[span.SpanID]; twice {
			return 0, fmt.Errorf("trace %s has the span %s twice", span.TraceID, span.SpanID)
		}
		byID[span.SpanID] = span
	}
	n := -1
	var got []string
	for _, span := range trace {
		line := span.Service + " " + span.Kind
		if span.Parent != "" {
			parent, found := byID[span.Parent]
			if !found {
				return 0, fmt.Errorf("trace %s: span %s of %s has a parent that is not there", span.TraceID, span.SpanID, span.Service)
			}
			line = parent.Service + " " + parent.Kind + " > " + line
		}
		got = append(got, line)
		if path, is := span.Tags["url.path"].(string); is && span.Service == "orders" && span.Kind == "server" {
			if _, err := fmt.Sscanf(path, "/orders/%d", &n); err != nil {
				return 0, fmt.Errorf("path %q: %w", path, err)
			}
		}
	}
	if n < 0 {
		return 0, errors.New("a trace without a request of orders: " + strings.Join(got, ", "))
	}
	want := []string{"shopper client", "shopper client > orders server"}
	truth := shop.TruthOf(n, 1)
	if truth.Edges["orders stock"] > 0 {
		want = append(want, "orders server > orders client", "orders client > stock server")
	}
	if truth.Edges["orders cache"] > 0 {
		want = append(want, "orders server > orders client", "orders client > cache server")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return 0, fmt.Errorf("trace of request %d is %q, want %q", n, got, want)
	}
	return n, nil
}
