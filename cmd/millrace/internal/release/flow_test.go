package release

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestExported(t *testing.T) {
	t.Parallel()
	metrics := "# HELP millrace_exporter_spans_total spans\n# TYPE millrace_exporter_spans_total counter\n" +
		"millrace_exporter_spans_total{exporter=\"otlp\"} 12\nmillrace_exporter_spans_total{exporter=\"otlp/tempo\"} 1.5e+06\n" +
		"millrace_exporter_refused_spans_total{exporter=\"otlp\"} 3\nmillrace_exporter_spans_total{exporter=\"file\"} none\n"
	if got, want := spansTaken(metrics), map[string]float64{"otlp": 12, "otlp/tempo": 1.5e6}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			_, _ = w.Write([]byte(metrics))
		}
	}))
	defer server.Close()
	f := Flow{Exporters: strings.TrimPrefix(server.URL, "http://")}
	for name, before := range map[string]map[string]float64{
		"":           {"otlp": 11, "otlp/tempo": 1},
		"otlp/tempo": {"otlp": 11, "otlp/tempo": 1.5e6},
		"otlp ":      {"otlp": 12, "otlp/tempo": 1},
	} {
		err := f.sent(t.Context(), before)
		if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), "exporter "+strings.TrimSpace(name)+" ") {
			t.Errorf("%q: %v", name, err)
		}
	}
	f.Exporters = "127.0.0.1:1"
	if err := f.sent(t.Context(), nil); err == nil {
		t.Error("no exporter answers, and that is no error")
	}
}
