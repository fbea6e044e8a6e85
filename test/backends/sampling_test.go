package backends

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/jaeger"
	"millrace.dev/test/internal/traffic"
)

// Traces that a policy wants arrive whole and no others do; metrics are those of all requests; exemplars lead to kept
// traces.
func TestSampling(t *testing.T) {
	j := jaeger.Start(t, backend(t, "all-in-one"))
	d := deploy(t, setup{destinations: toJaeger(j), config: features + trafficRoutes + `
sampling:
  decision_wait: 6s
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1500}}
`})
	p := d.prometheus(false)
	truth := d.publish(100, 10*time.Second, nil)
	eventually(t, settle, func() error { return keptOnly(j, truth) })
	eventually(t, settle, func() error { return compareTraffic(p, truth) })
	time.Sleep(5 * time.Second) // what was going to come too much has come
	if err := keptOnly(j, truth); err != nil {
		t.Error("later:", err)
	}
	exemplars, err := p.Exemplars(`http_server_request_duration_seconds_bucket`)
	if err != nil {
		t.Fatal(err)
	}
	if len(exemplars) == 0 {
		t.Error("there are no exemplars")
	}
	for _, e := range exemplars {
		if _, err := j.Trace(e.TraceID); err != nil {
			t.Errorf("exemplar %v: %v", e, err)
		}
	}
	t.Logf("%d exemplars lead to kept traces", len(exemplars))
}

// keptOnly compares the spans that Jaeger has with those of the traces in which something failed or took long.
func keptOnly(j *jaeger.Server, truth []traffic.Span) error {
	kept := map[string]bool{}
	first, last := map[string]int64{}, map[string]int64{}
	for _, s := range truth {
		if begin, seen := first[s.Trace]; !seen || s.Start < begin {
			first[s.Trace] = s.Start
		}
		last[s.Trace] = max(last[s.Trace], s.End)
		kept[s.Trace] = kept[s.Trace] || s.Status >= 400
	}
	want, services := map[string]int{}, map[string]bool{}
	for _, s := range truth {
		services[s.Service] = true
		if kept[s.Trace] || last[s.Trace]-first[s.Trace] >= int64(1500*time.Millisecond) {
			want[s.Trace+" "+s.ID+" "+s.Parent+" "+s.Service]++
		}
	}
	if len(want) == 0 || len(want) == len(truth) {
		return fmt.Errorf("%d of %d spans are to be kept", len(want), len(truth))
	}
	got := map[string]float64{}
	for service := range services {
		traces, err := j.Search(service, len(truth))
		if err != nil {
			return err
		}
		for _, trace := range traces {
			for _, s := range trace {
				got[s.TraceID+" "+s.SpanID+" "+s.Parent+" "+s.Service] = 1
			}
		}
	}
	if len(got) == 0 {
		return errors.New("jaeger has nothing yet")
	}
	return differences("spans of kept traces", got, want)
}
