package destination

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

// A destination over HTTP makes no more connections than it has requests at a time, as often as it sends.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const senders, rounds = 8, 5
	for name, test := range map[string]struct {
		settings map[string]any
		kept     bool
	}{
		"by default":                    {map[string]any{}, true},
		"with settings of their time":   {map[string]any{"keepalive": map[string]any{"idle_conn_timeout": "60s"}}, true},
		"with settings to the contrary": {map[string]any{"keepalive": map[string]any{"max_idle_conns_per_host": 2}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var made atomic.Int32
			var together sync.WaitGroup
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				together.Done()
				together.Wait() // Until all senders of the round have a connection.
				w.Header().Set("Content-Type", "application/x-protobuf")
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					made.Add(1)
				}
			}
			server.Start()
			t.Cleanup(server.Close)
			test.settings["endpoint"] = server.URL
			c, err := newComponent("otlphttp", test.settings, "1")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range rounds {
				together.Add(senders)
				var done sync.WaitGroup
				for range senders {
					done.Go(func() {
						if err := c.SendMetrics(t.Context(), oneGauge()); err != nil {
							t.Error(err)
						}
					})
				}
				done.Wait()
			}
			if err := c.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if n := made.Load(); test.kept != (n == senders) {
				t.Errorf("%d senders made %d connections", senders, n)
			}
		})
	}
}

func oneGauge() pmetric.Metrics {
	metrics := pmetric.NewMetrics()
	metric := metrics.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName("x")
	metric.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	return metrics
}
