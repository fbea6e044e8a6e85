package config_test

import (
	"slices"
	"strings"
	"testing"

	"millrace.dev/lib/config"
)

// Exporters of one kind go by names; a kind that there is not, or a name that cannot be, is an unknown key.
func TestNamedExporters(t *testing.T) {
	t.Parallel()
	text := `exporters:
  otlp: {endpoint: "a:1"}
  otlp/tempo: {endpoint: "b:1", headers: {x-tenant: hunter2}, signals: [traces]}
  otlphttp/mimir: {endpoint: "http://c", temporality: delta}
  debug/two:
  file: {path: /f, signals: [metrics], temporality: delta, filter: {services: {include: ["shop-*"], exclude: [shop-test]}}}
`
	cfg, err := config.Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Exporters.Named; len(got) != 3 || got["otlp/tempo"]["endpoint"] != "b:1" || got["debug/two"] == nil {
		t.Errorf("named: %v", got)
	}
	if f := cfg.Exporters.File; f.Temporality != "delta" || !slices.Equal(f.Filter.Services.Include, []string{"shop-*"}) {
		t.Errorf("file: %+v", f)
	}
	printed, err := cfg.Print()
	if err != nil || strings.Contains(printed, "hunter2") {
		t.Fatalf("%v\n%s", err, printed)
	}
	if again, err := config.Parse("printed", []byte(printed)); err != nil || len(again.Exporters.Named) != 3 {
		t.Errorf("printed: %v, %v", err, again)
	}
	for text, mistake := range map[string]string{
		"exporters: {oltp/tempo: {}}":                                                `unknown key "exporters.oltp/tempo"`,
		"exporters: {prometheus/two: {}}":                                            `unknown key "exporters.prometheus/two"`,
		"exporters: {otlp/: {}}":                                                     `unknown key "exporters.otlp/"`,
		"exporters: {otlp/a b: {}}":                                                  `unknown key`,
		"exporters: {otlp/a: 7}":                                                     `exporters.otlp/a: want keys`,
		"exporters: {otlp/a: {}, otlp/a: {}}":                                        `set twice`,
		"exporters: {file: {path: x, signals: [logs]}}":                              `"logs" is none of traces, metrics`,
		"exporters: {file: {path: x, temporality: both}}":                            `"both" is none of cumulative, delta`,
		"exporters: {file: {path: x, filter: {services: {include: ['[']}}}}":         `exporters.file.filter.services.include`,
		"exporters: {prometheus: {endpoint: ':1', atributs: {}}}":                    `did you mean "exporters.prometheus.attributes"?`,
		"exporters: {prometheus: {endpoint: ':1', filter: {metrics: {exclud: []}}}}": `did you mean "exporters.prometheus.filter.metrics.exclude"?`,
	} {
		if _, err := config.Parse("test", []byte(text)); err == nil || !strings.Contains(err.Error(), mistake) {
			t.Errorf("%s: error %v, want %q", text, err, mistake)
		}
	}
}
