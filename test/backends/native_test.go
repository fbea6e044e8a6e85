package backends

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/prometheus"
	"millrace.dev/test/internal/traffic"
)

// Exponential histograms arrive in Prometheus as native ones, scraped by protobuf: counts are exact, quantiles are the
// exact ones within what a bucket spans.
func TestNativeHistograms(t *testing.T) {
	d := deploy(t, setup{config: features + "  histogram_aggregation: base2_exponential_bucket_histogram\n" + trafficRoutes})
	p := d.prometheus(true)
	truth := d.publish(150, 8*time.Second, nil)
	eventually(t, settle, func() error { return nativeCounts(p, truth) })
	exactQuantiles(t, p, truth, 1.2)
}

func nativeCounts(p *prometheus.Server, truth []traffic.Span) error {
	want := map[string]int{}
	for _, s := range truth {
		if s.Kind == traffic.Server && s.Target != "" {
			want[s.Service]++
		}
	}
	got, err := table(p, `histogram_count(sum by (service_name) (http_server_request_duration_seconds))`, "service_name")
	if err != nil {
		return err
	}
	failures := []error{differences("requests", got, want)}
	// The buckets themselves hold every request, and there are more of them than explicit bounds would give.
	samples, err := p.Query(`sum(http_server_request_duration_seconds{service_name="shop-0"})`)
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
	if total != float64(want["shop-0"]) || len(samples[0].Histogram.Buckets) < 20 {
		failures = append(failures, fmt.Errorf("%d buckets hold %g requests, want %d", len(samples[0].Histogram.Buckets), total, want["shop-0"]))
	}
	return errors.Join(failures...)
}
