package backends

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/backends/internal/prometheus"
	"millrace.dev/test/backends/internal/shop"
)

// Exponential histograms arrive in Prometheus as native ones, scraped by protobuf: counts are exact, quantiles are the client's own within
// the resolution of a bucket.
func TestNativeHistograms(t *testing.T) {
	const namespace, requests = "native", 1200
	s := shop.Open(t, namespace)
	d := deploy(t, setup{shop: s, config: features + "  histogram_aggregation: base2_exponential_bucket_histogram\n" + routes})
	p := d.prometheus(true)
	report := s.Go(t, shop.Node{Requests: requests, Concurrency: 16})
	truth := shop.TruthOf(0, requests)
	eventually(t, settle, func() error { return nativeCounts(p, namespace, truth) })

	for key, durations := range report.Durations {
		slices.Sort(durations)
		method, status, _ := strings.Cut(key, " ")
		for _, q := range []float64{0.5, 0.9} {
			expression := fmt.Sprintf(`histogram_quantile(%g, sum(http_client_request_duration_seconds{service_namespace=%q, service_name="shopper", http_request_method=%q, http_response_status_code=%q}))`,
				q, namespace, method, status)
			samples, err := p.Query(expression)
			if err != nil || len(samples) != 1 {
				t.Errorf("%s: %v %v", expression, samples, err)
				continue
			}
			// The client's clock includes its own scheduling, so compare generously: what is wrong by a bucket of explicit bounds would show.
			own, got := durations[int(q*float64(len(durations)))].Seconds(), samples[0].Value
			if got < own/2.5 || got > own*2.5 {
				t.Errorf("quantile %g of %s: Prometheus says %.4f s, the client %.4f s", q, key, got, own)
			}
		}
	}
}

func nativeCounts(p *prometheus.Server, namespace string, truth shop.Truth) error {
	got, err := table(p, fmt.Sprintf(`histogram_count(sum by (http_request_method, http_response_status_code) (http_server_request_duration_seconds{service_namespace=%q, service_name="orders"}))`, namespace),
		"http_request_method", "http_response_status_code")
	if err != nil {
		return err
	}
	want := map[string]int{}
	for key, c := range truth.Orders {
		want[key] = c.Requests
	}
	failures := []error{differences("requests of orders", got, want)}
	// The buckets themselves hold every request, and there are more of them than explicit bounds would give.
	samples, err := p.Query(fmt.Sprintf(`sum(http_server_request_duration_seconds{service_namespace=%q, service_name="orders"})`, namespace))
	if err != nil || len(samples) != 1 || samples[0].Histogram == nil {
		return errors.Join(append(failures, fmt.Errorf("no native histogram: %v %w", samples, errors.Join(err)))...)
	}
	total := 0.0
	for _, bucket := range samples[0].Histogram.Buckets {
		if len(bucket) != 4 {
			return fmt.Errorf("a bucket is %v", bucket)
		}
		text, _ := bucket[3].(string)
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		total += n
	}
	requests := 0
	for _, c := range truth.Orders {
		requests += c.Requests
	}
	if total != float64(requests) || len(samples[0].Histogram.Buckets) < 10 {
		failures = append(failures, fmt.Errorf("%d buckets hold %g requests, want %d", len(samples[0].Histogram.Buckets), total, requests))
	}
	return errors.Join(failures...)
}
