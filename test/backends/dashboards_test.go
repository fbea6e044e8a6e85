package backends

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/grafana"
	"millrace.dev/test/backends/internal/prometheus"
	"millrace.dev/test/backends/internal/shop"
)

func dashboards(t *testing.T) map[string]*grafana.Dashboard {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(deployFolder, "dashboards", "*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("dashboards: %q %v", files, err)
	}
	out := map[string]*grafana.Dashboard{}
	for _, file := range files {
		d, err := grafana.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = d
	}
	return out
}

// Every dashboard is what Grafana expects, and its links lead to dashboards that are there.
func TestDashboardStructure(t *testing.T) {
	all := dashboards(t)
	uids := map[string]string{}
	for name, d := range all {
		if other, taken := uids[d.UID]; taken {
			t.Errorf("%s and %s have the same uid", name, other)
		}
		uids[d.UID] = name
	}
	for name, d := range all {
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, link := range d.Links {
			uid := filepath.Base(link.URL)
			if _, known := uids[uid]; !known {
				t.Errorf("%s links to %s, which is not there", name, link.URL)
			}
		}
	}
}

// After a load with failures at every level, every query of every panel has an answer, as have the variables; and no
// rule fails.
func TestDashboards(t *testing.T) {
	const namespace, requests = "dashboards", 1200
	s := shop.Open(t, namespace)
	d := deploy(t, setup{shop: s, config: features + routes})
	p := d.prometheus(false)
	s.Go(t, shop.Node{Requests: requests, Concurrency: 16, Every: 8 * time.Millisecond})
	eventually(t, settle, func() error { return compare(p, namespace, shop.TruthOf(0, requests)) })
	for name, d := range dashboards(t) {
		if name == "millrace.json" {
			continue // about Millrace itself, tested where it belongs
		}
		t.Run(name, func(t *testing.T) { answers(t, p, d, namespace) })
	}
	rules, err := p.Rules()
	if err != nil || len(rules) < 10 {
		t.Fatalf("%d rules, %v", len(rules), err)
	}
	for _, rule := range rules {
		if rule.Health != "ok" {
			t.Errorf("rule %s: %s %s", rule.Name, rule.Health, rule.LastError)
		}
	}
	for _, expression := range cookbook(t) {
		samples, err := p.Query(expression)
		special := strings.Contains(expression, "overflow") || strings.Contains(expression, "duration_seconds{")
		if err != nil || len(samples) == 0 && !special { // only an overflow, or native histograms, have an answer to those
			t.Errorf("cookbook: %s: %d samples, %v", expression, len(samples), err)
		}
	}
	failures, err := p.ScrapeFailures()
	if err != nil || len(failures) > 0 {
		t.Errorf("scrapes failed: %v %v", failures, err)
	}
}

// answers asks every query of a dashboard, for one namespace and all else.
func answers(t *testing.T, p *prometheus.Server, d *grafana.Dashboard, namespace string) {
	t.Helper()
	// The whole load lies in the window of rates.
	values := map[string]string{"__rate_interval": "2m", "__interval": "15s", "__range": "5m"}
	for _, v := range d.Templating.List {
		values[v.Name] = ".*"
	}
	values["service_namespace"] = namespace
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		selector, label, err := v.LabelValues()
		if err == nil {
			selector, err = grafana.Fill(selector, values)
		}
		if err != nil {
			t.Error(err)
			continue
		}
		found, err := p.LabelValues(label, selector)
		if err != nil || len(found) == 0 || v.Name == "service_namespace" && !slices.Contains(found, namespace) {
			t.Errorf("variable %s: %s of %s has the values %q %v", v.Name, label, selector, found, err)
		}
	}
	queries := 0
	for _, panel := range d.All() {
		for _, target := range panel.Targets {
			queries++
			if err := answered(p, target.Expr, values); err != nil {
				t.Errorf("panel %q, query %s: %v", panel.Title, target.RefID, err)
			}
		}
	}
	t.Logf("%d queries have answers", queries)
}

func answered(p *prometheus.Server, expression string, values map[string]string) error {
	filled, err := grafana.Fill(expression, values)
	if err != nil {
		return err
	}
	samples, err := p.Query(filled)
	if err != nil {
		return err
	}
	for _, s := range samples {
		if s.Value == s.Value { // some number
			return nil
		}
	}
	return fmt.Errorf("no data: %s (%d samples)", filled, len(samples))
}

// cookbook gives the queries of docs/dashboards.md. An expression begins at the start of a line, and goes on in lines
// that are indented.
func cookbook(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```promql\n")
	block, _, _ := strings.Cut(after, "```")
	var out []string
	for line := range strings.Lines(block) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == ' ':
			out[len(out)-1] += line
		default:
			out = append(out, line)
		}
	}
	if len(out) < 12 {
		t.Fatalf("docs/dashboards.md has %d queries", len(out))
	}
	return out
}
