package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"millrace.dev/lib/catalog"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/capture"
	"millrace.dev/services/decoder"
	"millrace.dev/services/enricher"
	"millrace.dev/services/exporter"
)

const deployed = "../../deploy"

// dashboard is the part of Grafana's model that is checked.
type dashboard struct {
	UID, Title, Description string
	SchemaVersion           int
	Refresh                 string
	Templating              struct {
		List []struct {
			Name, Type, Definition string
			Datasource             datasource
		}
	}
	Panels []panel
}

type datasource struct{ Type, UID string }

type panel struct {
	ID          int
	Type, Title string
	Datasource  datasource
	GridPos     struct{ X, Y, W, H int }
	Panels      []panel
	Targets     []struct {
		RefID, Expr string
		Datasource  datasource
	}
}

// TestDashboards checks what Grafana would only show as an empty panel.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deployed, "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	known := exported(t)
	uids := map[string]string{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var d dashboard
			if err := json.Unmarshal(text, &d); err != nil {
				t.Fatal(err)
			}
			if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) == 0 {
				t.Errorf("uid %q, title %q, schema version %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
			}
			if other, taken := uids[d.UID]; taken {
				t.Errorf("uid %s is also that of %s", d.UID, other)
			}
			uids[d.UID] = file
			checkVariables(t, &d, known)
			checkPanels(t, d.Panels, known)
		})
	}
}

func checkVariables(t *testing.T, d *dashboard, known map[string]bool) {
	t.Helper()
	sources, names := 0, map[string]bool{}
	for _, v := range d.Templating.List {
		if names[v.Name] {
			t.Errorf("variable %s twice", v.Name)
		}
		names[v.Name] = true
		if v.Type == "datasource" {
			sources++
		}
		checkExpression(t, "variable "+v.Name, v.Definition, known)
	}
	if sources == 0 {
		t.Error("no variable for the data source")
	}
}

func checkPanels(t *testing.T, panels []panel, known map[string]bool) {
	t.Helper()
	ids, cells := map[int]string{}, map[[2]int]string{}
	var walk func([]panel)
	walk = func(panels []panel) {
		for i := range panels {
			p := &panels[i]
			if other, taken := ids[p.ID]; taken || p.ID == 0 {
				t.Errorf("panel %q: id %d is also that of %q", p.Title, p.ID, other)
			}
			ids[p.ID] = p.Title
			g := p.GridPos
			if p.Title == "" || g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
				t.Errorf("panel %d %q: grid %+v", p.ID, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, taken := cells[[2]int{x, y}]; taken {
						t.Fatalf("panel %q lies over %q", p.Title, other)
					}
					cells[[2]int{x, y}] = p.Title
				}
			}
			if p.Type != "row" && p.Type != "text" && (len(p.Targets) == 0 || !strings.HasPrefix(p.Datasource.UID, "$")) {
				t.Errorf("panel %q: %d queries to data source %q", p.Title, len(p.Targets), p.Datasource.UID)
			}
			refs := map[string]bool{}
			for _, q := range p.Targets {
				if refs[q.RefID] {
					t.Errorf("panel %q: query %s twice", p.Title, q.RefID)
				}
				refs[q.RefID] = true
				if q.Datasource.Type == "prometheus" {
					checkExpression(t, fmt.Sprintf("panel %q", p.Title), q.Expr, known)
				}
			}
			walk(p.Panels)
		}
	}
	walk(panels)
}

// TestAlerts checks the names in the alerts about Millrace itself, and runs their tests.
func TestAlerts(t *testing.T) {
	directory := filepath.Join(deployed, "prometheus")
	text, err := os.ReadFile(filepath.Join(directory, "millrace-self.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	known, seen := exported(t), 0
	for _, name := range regexp.MustCompile(`\bmillrace_[a-z0-9_]+`).FindAllString(string(text), -1) {
		if seen++; !known[name] {
			t.Errorf("no service exports %s", name)
		}
	}
	if seen == 0 {
		t.Error("no metric in the alerts")
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian package prometheus): the tests of the alerts did not run")
	}
	out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", filepath.Join(directory, "tests", "millrace-self.test.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// TestSelfMetricsAreDocumented compares docs/self-metrics.md with what the services export.
func TestSelfMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/self-metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := regexp.MustCompile("(?m)^\\| `(millrace_[a-z0-9_]+)").FindAllStringSubmatch(string(text), -1)
	families := describe(t)
	for name := range families {
		if strings.HasPrefix(name, "millrace_") && !slices.ContainsFunc(documented, func(m []string) bool { return m[1] == name }) {
			t.Errorf("%s is not in docs/self-metrics.md", name)
		}
	}
	for _, m := range documented {
		if !families[m[1]] {
			t.Errorf("docs/self-metrics.md has %s, which no service exports", m[1])
		}
	}
}

var (
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
	matchers   = regexp.MustCompile(`\{[^}]*\}`)
	durations  = regexp.MustCompile(`\[[^\]]*\]`)
	labelLists = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	variable   = regexp.MustCompile(`\$\{?\w+\}?`)
	identifier = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	keywords   = map[string]bool{"and": true, "or": true, "unless": true, "bool": true, "offset": true, "by": true, "without": true, "on": true, "ignoring": true, "inf": true, "nan": true, "start": true, "end": true}
)

// metricNames are the names of metrics in an expression of PromQL, or in a query of a variable.
func metricNames(expression string) []string {
	if arguments, found := strings.CutPrefix(expression, "label_values("); found {
		expression, _, _ = strings.Cut(matchers.ReplaceAllString(quoted.ReplaceAllString(arguments, ""), ""), ",")
	}
	for _, strip := range []*regexp.Regexp{quoted, matchers, durations, labelLists, variable} {
		expression = strip.ReplaceAllString(expression, " ")
	}
	var names []string
	for _, at := range identifier.FindAllStringIndex(expression, -1) {
		word := strings.TrimSpace(expression[at[0]:at[1]])
		digit := at[0] > 0 && expression[at[0]-1] >= '0' && expression[at[0]-1] <= '9' // 1e5
		if !strings.HasSuffix(word, "(") && !keywords[strings.ToLower(word)] && !digit {
			names = append(names, word)
		}
	}
	return names
}

func TestMetricNames(t *testing.T) {
	for expression, want := range map[string]string{
		`sum by (le, a) (rate(x_bucket{a=~"b_c{", d!=""}[5m])) / on (i) group_left (j) y > 1e5`: "x_bucket y",
		`histogram_quantile(0.9, sum(rate(z_bucket[$__rate_interval])) by (le)) or vector(0)`:   "z_bucket",
		`label_values(up{job="a"}, instance)`:                                                   "up",
		`label_values({__name__=~"a|b"}, c)`:                                                    "",
		`topk($n, a:b:c offset 5m) unless on () d`:                                              "a:b:c d",
	} {
		if got := strings.Join(metricNames(expression), " "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

func checkExpression(t *testing.T, where, expression string, known map[string]bool) {
	t.Helper()
	for _, name := range metricNames(expression) {
		if !known[name] && !strings.Contains(name, ":") { // With colons: a recording rule's, which promtool checks.
			t.Errorf("%s: nobody exports %s", where, name)
		}
	}
}

// exported are the names of series that Prometheus gets: of Millrace's own metrics and those of the catalog.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{"up": true}
	bases := describe(t)
	for _, m := range catalog.All() {
		bases[m.Prometheus] = true
	}
	for base := range bases {
		for _, suffix := range []string{"", "_bucket", "_sum", "_count", "_total"} {
			names[base+suffix] = true
		}
	}
	return names
}

// describe gives the metrics that the services register: decoder, enricher and exporter run in this process until they
// are ready; capture, which needs a kernel, says what it would register.
func describe(t *testing.T) map[string]bool {
	t.Helper()
	cfg := config.Default()
	cfg.Bus.Partitions = 1
	cfg.Exporters.File = &config.FileExporter{Path: filepath.Join(t.TempDir(), "spans.jsonl")}
	cfg.Exporters.Prometheus = &config.PrometheusExporter{Endpoint: "127.0.0.1:0"}
	cfg.Sampling.Policies = []config.SamplingPolicy{{Name: "all", Type: "always_sample"}}
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := capture.DescribeMetrics(tel.Registry); err != nil {
		t.Fatal(err)
	}
	p := newPipeline(cfg, tel)
	defer p.Close()
	if err := p.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	for name, run := range map[string]func(context.Context, *service.Env) error{"decoder": decoder.Run, "enricher": enricher.Run, "exporter": exporter.Run} {
		tel.Announce(name)
		p.start(ctx, group, run, name)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ready, reasons := tel.Ready()
		if ready {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not ready: %v", reasons)
		}
	}
	stop()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		tel.Registry.Describe(descriptions)
		close(descriptions)
	}()
	names := map[string]bool{}
	for d := range descriptions { // Desc{fqName: "name", ...
		if parts := strings.SplitN(d.String(), `"`, 3); len(parts) == 3 {
			names[parts[1]] = true
		}
	}
	return names
}
