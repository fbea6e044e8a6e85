package destination

import (
	"strings"
	"testing"
)

// Settings as users of the Collector write them are taken, mistakes in them named at any depth.
func TestSettings(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	for name, test := range map[string]struct {
		component string
		settings  m
		mistake   string
	}{
		"everything of otlp": {"otlp", m{
			"endpoint": "https://a:4317", "compression": "zstd", "timeout": "10s", "headers": m{"x-key": "v"},
			"tls":       m{"ca_file": "/ca.pem", "insecure_skip_verify": true, "min_version": "1.3"},
			"keepalive": m{"time": "10s", "permit_without_stream": true}, "balancer_name": "round_robin",
			"retry_on_failure": m{"enabled": true, "max_elapsed_time": "1m"}, "sending_queue": m{"enabled": false},
		}, ""},
		"everything of otlphttp": {"otlphttp", m{
			"endpoint": "http://a:4318", "traces_endpoint": "http://a/t", "encoding": "json", "compression": "none", "timeout": "10s",
			"headers": m{"x-key": "v"}, "tls": m{"insecure": true}, "max_idle_conns": 3, "proxy_url": "http://p",
			"retry_on_failure": m{"initial_interval": "1s"}, "compression_params": m{"level": 3}, "cookies": m{"enabled": true},
		}, ""},
		"debug":              {"debug", m{"verbosity": "detailed"}, ""},
		"otlphttp misspelt":  {"otlphttp", m{"endpoint": "http://a", "hedaers": m{"a": "b"}}, `"hedaers"`},
		"tls misspelt":       {"otlphttp", m{"endpoint": "http://a", "tls": m{"insecurre": true}}, `"tls.insecurre"`},
		"otlp tls misspelt":  {"otlp", m{"endpoint": "a:1", "tls": m{"insecurre": true}}, `insecurre`},
		"cookies misspelt":   {"otlphttp", m{"endpoint": "http://a", "cookies": m{"enable": true}}, `enable`},
		"bad duration":       {"otlp", m{"endpoint": "a:1", "timeout": "soon"}, `timeout`},
		"unknown encryption": {"otlp", m{"endpoint": "a:1", "compression": "rar"}, `rar`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newComponent(test.component, test.settings, "1")
			switch {
			case test.mistake == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.mistake != "" && (err == nil || !strings.Contains(err.Error(), test.mistake)):
				t.Errorf("error %v, want %q in it", err, test.mistake)
			}
		})
	}
}
