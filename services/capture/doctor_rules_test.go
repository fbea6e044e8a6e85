package capture

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace.dev/lib/config"
)

// What doctor says of rules that name pods, by what the capture that runs says.
func TestDoctorOfPodRules(t *testing.T) {
	t.Parallel()
	aboutPods := []config.Service{{K8sNamespace: "shop"}, {ExePath: "/usr/bin/x"}, {K8sNamespace: "store"}}
	for name, test := range map[string]struct {
		rules  []config.Service
		enable string
		status int // 0: no capture runs
		body   string
		want   string
	}{
		"no rule":       {[]config.Service{{ExePath: "/usr/bin/x"}}, "true", 200, "ready", "ok       rules about pods           none in discovery"},
		"decided":       {aboutPods, "true", 200, "ready", "ok       rules about pods           2, and an enricher decides"},
		"not decided":   {aboutPods, "true", 503, "bus: waiting\npods: no enricher has decided", "limited  rules about pods           2: no enricher has decided"},
		"another fault": {aboutPods, "true", 503, "bus: waiting for NATS", "ok       rules about pods           2, and an enricher decides"},
		"no cluster":    {aboutPods, "false", 200, "ready", "limited  rules about pods           2; this is no pod"},
		"none runs":     {aboutPods, "true", 0, "", "unknown  rules about pods           2; no capture answers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body + "\n"))
			}))
			cfg := config.Default()
			cfg.Discovery.Services, cfg.Telemetry.Listen = test.rules, strings.TrimPrefix(server.URL, "http://")
			if test.status == 0 {
				server.Close()
			} else {
				defer server.Close()
			}
			cfg.Attributes.Kubernetes.Enable = test.enable
			var out bytes.Buffer
			(&doctor{w: &out}).podRules(t.Context(), cfg)
			if !strings.HasPrefix(out.String(), test.want) {
				t.Errorf("%q, want %q", out.String(), test.want)
			}
		})
	}
}
