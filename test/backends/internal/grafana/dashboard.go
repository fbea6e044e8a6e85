// Package grafana reads dashboards of Grafana as far as their queries need it, and checks what Grafana itself would not
// complain about.
package grafana

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// SchemaVersion is that of the dashboards: what Grafana 11 and 12 write.
const SchemaVersion = 41

// Dashboard is a file of deploy/dashboards.
type Dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	Description   string  `json:"description"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []Panel `json:"panels"`
	Links         []struct {
		URL string `json:"url"`
	} `json:"links"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
}

// Variable is a template variable.
type Variable struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Datasource *Datasource     `json:"datasource"`
	Query      json.RawMessage `json:"query"`
}

// Datasource is a reference to one.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Panel is a panel; rows hold others when they are collapsed.
type Panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  *Datasource `json:"datasource"`
	Targets     []Target    `json:"targets"`
	Panels      []Panel     `json:"panels"`
	GridPos     struct {
		X int `json:"x"`
		Y int `json:"y"`
		W int `json:"w"`
		H int `json:"h"`
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

// Target is a query of a panel.
type Target struct {
	RefID      string      `json:"refId"`
	Expr       string      `json:"expr"`
	Datasource *Datasource `json:"datasource"`
	Exemplar   bool        `json:"exemplar"`
}

// Read reads a dashboard.
func Read(path string) (*Dashboard, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &Dashboard{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// All gives every panel that is no row, those of collapsed rows too.
func (d *Dashboard) All() []Panel {
	var out []Panel
	var walk func([]Panel)
	walk = func(panels []Panel) {
		for _, p := range panels {
			if p.Type != "row" {
				out = append(out, p)
			}
			walk(p.Panels)
		}
	}
	walk(d.Panels)
	return out
}

// kinds are the panels of Grafana that take queries of Prometheus.
var kinds = []string{"timeseries", "stat", "gauge", "bargauge", "barchart", "table", "heatmap", "histogram", "state-timeline", "status-history", "piechart", "nodeGraph"}

// Check gives everything that is wrong with the structure.
func (d *Dashboard) Check() error {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if d.SchemaVersion != SchemaVersion {
		fail("schemaVersion is %d, not %d", d.SchemaVersion, SchemaVersion)
	}
	if !strings.HasPrefix(d.UID, "millrace-") || d.Title == "" || d.Description == "" {
		fail("uid %q, title %q, description %q", d.UID, d.Title, d.Description)
	}
	variables := map[string]bool{}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Type == "query" && !d.own(v.Datasource) {
			fail("variable %s does not ask ${datasource}", v.Name)
		}
	}
	if !variables["datasource"] {
		fail("there is no variable datasource")
	}
	ids := map[int]bool{}
	panels := d.All()
	for _, p := range panels {
		if ids[p.ID] {
			fail("panel %q: id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" {
			fail("panel %d %q: description %q, unit %q", p.ID, p.Title, p.Description, p.FieldConfig.Defaults.Unit)
		}
		if !slices.Contains(kinds, p.Type) {
			fail("panel %q has the type %q", p.Title, p.Type)
		}
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			fail("panel %q lies at %+v", p.Title, g)
		}
		if len(p.Targets) == 0 || !d.own(p.Datasource) {
			fail("panel %q has %d queries, datasource %+v", p.Title, len(p.Targets), p.Datasource)
		}
		refs := map[string]bool{}
		for _, t := range p.Targets {
			if refs[t.RefID] || t.Expr == "" || !d.own(t.Datasource) {
				fail("panel %q, query %q: %q", p.Title, t.RefID, t.Expr)
			}
			refs[t.RefID] = true
			for _, name := range used(t.Expr) {
				if !variables[name] && !strings.HasPrefix(name, "__") {
					fail("panel %q reads a variable %s that is not there", p.Title, name)
				}
			}
		}
	}
	for i, a := range panels {
		for _, b := range panels[i+1:] {
			if a.GridPos.X < b.GridPos.X+b.GridPos.W && b.GridPos.X < a.GridPos.X+a.GridPos.W &&
				a.GridPos.Y < b.GridPos.Y+b.GridPos.H && b.GridPos.Y < a.GridPos.Y+a.GridPos.H {
				fail("panels %q and %q lie on each other", a.Title, b.Title)
			}
		}
	}
	return errors.Join(wrong...)
}

func (d *Dashboard) own(s *Datasource) bool {
	return s != nil && s.Type == "prometheus" && s.UID == "${datasource}"
}

var variable = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(?::\w+)?\}`)

func used(text string) []string {
	var out []string
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

// Fill puts values in the place of variables, as Grafana does for a list of one.
func Fill(text string, values map[string]string) (string, error) {
	var failure error
	filled := variable.ReplaceAllStringFunc(text, func(found string) string {
		m := variable.FindStringSubmatch(found)
		value, known := values[m[1]+m[2]]
		if !known {
			failure = fmt.Errorf("no value for %s", found)
		}
		return value
	})
	return filled, failure
}

var labelValues = regexp.MustCompile(`^label_values\((?:(.+),\s*)?(\w+)\)$`)

// LabelValues gives the selector and the label that a variable's query asks for.
func (v Variable) LabelValues() (selector, label string, err error) {
	var query struct {
		Query string `json:"query"`
	}
	if err := json.Unmarshal(v.Query, &query); err != nil {
		return "", "", fmt.Errorf("variable %s: %w", v.Name, err)
	}
	m := labelValues.FindStringSubmatch(query.Query)
	if m == nil {
		return "", "", fmt.Errorf("variable %s: %q is no label_values query", v.Name, query.Query)
	}
	return m[1], m[2], nil
}
