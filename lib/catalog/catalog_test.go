package catalog_test

import (
	"os"
	"slices"
	"testing"

	"millrace.dev/lib/catalog"
)

func TestNames(t *testing.T) {
	t.Parallel()
	names, prometheus := map[string]bool{}, map[string]bool{}
	for i := range catalog.All() {
		m := &catalog.All()[i]
		if names[m.Name] || prometheus[m.Prometheus] || m.Description == "" || len(m.Features) == 0 {
			t.Errorf("%+v", m)
		}
		names[m.Name], prometheus[m.Prometheus] = true, true
		if found, ok := catalog.ByName(m.Name); !ok || found != m {
			t.Errorf("%s is not found", m.Name)
		}
	}
	if _, found := catalog.ByName("no.such"); found {
		t.Error("found what is not there")
	}
}

func TestSelected(t *testing.T) {
	t.Parallel()
	m := &catalog.Metric{
		Name: "http.x.duration", Prometheus: "http_x_duration_seconds", Attributes: []string{"http.request.method", "server.port"},
		Optional: []string{"url.path"},
	}
	for _, test := range []struct{ include, exclude, want []string }{
		{nil, nil, []string{"http.request.method", "server.port"}},
		{[]string{"*"}, nil, []string{"http.request.method", "server.port", "url.path"}},
		{[]string{"*"}, []string{"http_request_method"}, []string{"server.port", "url.path"}},
		{[]string{"url_path", "server.*"}, nil, []string{"server.port", "url.path"}},
		{nil, []string{"*"}, nil},
		{[]string{"no_such", "no.*", "server_port"}, nil, []string{"server.port"}},
		{[]string{"db.query.summary", "server.port", "db.query.summary", "db.query.text"}, []string{"db.query.text"}, []string{"server.port", "db.query.summary"}},
	} {
		if got := m.Selected(test.include, test.exclude); !slices.Equal(got, test.want) {
			t.Errorf("include %v, exclude %v: %v, want %v", test.include, test.exclude, got, test.want)
		}
	}
	for glob, want := range map[string]bool{
		"http.x.duration": true, "http_x_duration": true, "http_x_duration_seconds": true, "http.*": true, "http_*_seconds": true, "rpc.*": false, "*": true,
	} {
		if m.Named(glob) != want {
			t.Errorf("%s: %v", glob, !want)
		}
	}
}

// The list in docs/metrics.md is that of this version: run "go generate ./catalog" in lib.
func TestPageIsCurrent(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := catalog.Insert(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != string(want) {
		t.Error("docs/metrics.md is not current")
	}
	if _, err := catalog.Insert([]byte("# Metrics")); err == nil {
		t.Error("a page without a place for the list is taken")
	}
}
