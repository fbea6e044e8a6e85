package backends

import (
	"fmt"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/program"
	"millrace.dev/test/backends/internal/shop"
)

// maxSeries bounds what a service may have in one metric, whatever its clients ask for.
const maxSeries = 4000

// maxMemory bounds what each process of the pipeline may use while it sees them, bytes: an enricher that owns every
// partition has the limit of series in each of them.
const maxMemory = 1 << 30

// Requests that each have a path of their own (1,000,000 with -paths 1000000) make a bounded number of series in
// bounded memory, and totals stay exact: with routes as they are by default, and where the user asks for raw paths.
func TestPaths(t *testing.T) {
	for name, config := range map[string]string{
		"default": "", "path": "routes:\n  unmatched: path\n", "low-cardinality": "routes:\n  unmatched: low-cardinality\n",
	} {
		t.Run(name, func(t *testing.T) {
			namespace := "paths-" + name
			s := &shop.Shop{Namespace: namespace}
			wall := s.OpenWall(t, 0)
			d := deploy(t, setup{shop: s, config: "metrics:\n  features: [application, application_span]\n" + config})
			p := d.prometheus(false)
			begin := time.Now()
			s.GoCrowd(t, shop.Node{Wall: wall, Requests: *paths, Concurrency: 4})
			took := time.Since(begin)
			for _, metric := range []string{
				"http_server_request_duration_seconds_count", "http_client_request_duration_seconds_count", "traces_spanmetrics_calls_total",
			} {
				want := *paths
				if metric == "traces_spanmetrics_calls_total" {
					want = 2 * *paths
				}
				selector := fmt.Sprintf("%s{service_namespace=%q}", metric, namespace)
				eventually(t, 2*settle, func() error {
					got, err := table(p, "sum("+selector+")")
					if err != nil {
						return err
					}
					return differences(metric, got, map[string]int{"": want})
				})
				samples, err := p.Query("count(" + selector + ")")
				if err != nil || len(samples) != 1 {
					t.Fatal(samples, err)
				}
				t.Logf("%s: %g series", selector, samples[0].Value)
				if samples[0].Value > maxSeries {
					t.Errorf("%s has %g series", selector, samples[0].Value)
				}
			}
			for who, pid := range map[string]int{"enricher": d.enricher.PID(), "exporter": d.exporters[0].PID()} {
				peak, err := program.PeakMemory(pid)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d paths in %v: the %s had at most %d MiB", *paths, took.Round(time.Second), who, peak>>20)
				if peak > maxMemory {
					t.Errorf("the %s had %d MiB", who, peak>>20)
				}
			}
		})
	}
}
