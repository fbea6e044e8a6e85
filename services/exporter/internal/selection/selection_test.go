package selection

import (
	"strconv"
	"testing"

	"millrace.dev/lib/config"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	f := New(config.ExportFilter{
		Services:   config.Globs{Include: []string{"shop*", "a/*"}, Exclude: []string{"shop-test"}},
		Namespaces: config.Globs{Exclude: []string{""}},
		Metrics:    config.Globs{Include: []string{"http_server_*", "traces.*"}},
	}, config.ExportAttributes{
		Metrics:  config.Globs{Exclude: []string{"http.route"}},
		Resource: config.Globs{Include: []string{"host.*"}},
	})
	for range 2 { // The second time from memory.
		for name, test := range map[string]struct{ got, want bool }{
			"included service":      {f.Service("prod", "shop-1"), true},
			"excluded service":      {f.Service("prod", "shop-test"), false},
			"other service":         {f.Service("prod", "cart"), false},
			"slashes":               {f.Service("prod", "a/b/c"), true},
			"no namespace":          {f.Service("", "shop"), false},
			"metric in underscores": {f.Metric("http.server.request.duration"), true},
			"metric in dots":        {f.Metric("traces.x"), true},
			"metric in either":      {f.Metric("traces_x"), true},
			"other metric":          {f.Metric("http.client.request.duration"), false},
			"attribute left out":    {f.MetricAttribute("http.route"), false},
			"attribute":             {f.MetricAttribute("http.request.method"), true},
			"attribute of spans":    {f.SpanAttribute("http.route"), true},
			"resource":              {f.ResourceAttribute("host.name"), true},
			"other of a resource":   {f.ResourceAttribute("process.pid"), false},
			"identity stays":        {f.ResourceAttribute("service.name"), true},
			"resources of spans":    {f.AllSpanAttributes(), false},
		} {
			if test.got != test.want {
				t.Errorf("%s: %v", name, test.got)
			}
		}
	}
	for i := range 3 * maxDecisions {
		f.Metric(strconv.Itoa(i))
	}
	if len(f.metrics.decided) > maxDecisions {
		t.Errorf("%d decisions remembered", len(f.metrics.decided))
	}
}

func TestNothingLeftOut(t *testing.T) {
	t.Parallel()
	f := New(config.ExportFilter{}, config.ExportAttributes{})
	if f != nil || !f.Service("", "x") || !f.Metric("x") || !f.SpanAttribute("x") || !f.MetricAttribute("x") || !f.ResourceAttribute("x") ||
		!f.AllSpanAttributes() {
		t.Error("something is left out")
	}
}
