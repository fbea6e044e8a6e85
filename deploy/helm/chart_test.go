package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestPackage: the package has this repository's dashboards and rules, byte by byte, and nothing that it does not need.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, problems, err := helm(t, "package", chart, "--destination", dir)
	if err != nil || problems != "" {
		t.Fatalf("%v: %s%s", err, out, problems)
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("packages: %v, %v", archives, err)
	}
	packed := unpack(t, archives[0])
	want := map[string]string{}
	for folder, pattern := range map[string]string{"dashboards": "*.json", "prometheus": "*.rules.yaml"} {
		files, err := filepath.Glob(filepath.Join("..", folder, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", folder, files, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want["millrace/files/"+folder+"/"+filepath.Base(file)] = string(content)
		}
	}
	maps.DeleteFunc(packed, func(name, _ string) bool { return !strings.HasPrefix(name, "millrace/files/") })
	if !maps.Equal(packed, want) {
		t.Errorf("the package has %v, the repository %v", slices.Sorted(maps.Keys(packed)), slices.Sorted(maps.Keys(want)))
	}
}

func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inflated, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(inflated); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := io.Copy(&content, archive); err != nil {
			t.Fatal(err)
		}
		files[header.Name] = content.String()
	}
}

// TestMonitoring: dashboards and rules come out as they are in the repository.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	all := objects(t, sets["monitored"])
	dashboard := find(t, all, "ConfigMap", "millrace-dashboard-overview")
	content, err := os.ReadFile("../dashboards/overview.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(dashboard.Data["millrace-overview.json"]) != strings.TrimSpace(string(content)) || dashboard.Metadata.Labels["grafana_dashboard"] != "1" || dashboard.Metadata.Namespace != "grafana" {
		t.Errorf("dashboard: %+v", dashboard.Metadata)
	}
	var rules map[string]any
	if content, err = os.ReadFile("../prometheus/millrace-self.rules.yaml"); err == nil {
		err = yaml.Unmarshal(content, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, all, "PrometheusRule", "millrace-self").Spec; !reflect.DeepEqual(got, rules) {
		t.Errorf("rules: %v", got)
	}
}

// TestSecrets: what may be secret in exporters is in Secrets alone, and each service has its own credential and no
// other's.
func TestSecrets(t *testing.T) {
	t.Parallel()
	all := objects(t, "exporters: {otlp: {endpoint: 'x:1', headers: {authorization: planted}}}")
	for _, o := range all {
		if strings.Contains(o.text, "planted") && o.Kind != "Secret" {
			t.Errorf("%s %s shows the header of an exporter", o.Kind, o.Metadata.Name)
		}
	}
	own := map[string][]string{
		"decoder": {"millrace-decoder"}, "enricher": {"millrace-enricher"}, "exporter": {"millrace-exporter", "millrace-exporter-config"},
		"admin": {"millrace-admin"}, "capture": {"millrace-capture"}, "nats": {"millrace-nats"}, "test": {"millrace-observer"},
		"check": {"millrace-check"}, "keys": nil,
	}
	seen := map[string]bool{}
	for _, o := range all {
		component := o.Metadata.Labels["app.kubernetes.io/component"]
		if !slices.Contains([]string{"Deployment", "DaemonSet", "StatefulSet", "Job", "Pod"}, o.Kind) {
			continue
		}
		seen[component] = true
		for name := range strings.FieldsSeq(o.text) {
			name = strings.Trim(name, "{},\"")
			named := slices.Contains([]string{
				"millrace-operator", "millrace-observer", "millrace-exporter-config",
			}, name)
			if named && !slices.Contains(own[component], name) {
				t.Errorf("%s names the Secret %s", component, name)
			}
		}
		for _, secret := range secretsOf(o.Spec) {
			if !slices.Contains(own[component], secret) {
				t.Errorf("%s mounts the Secret %s", component, secret)
			}
		}
	}
	if len(seen) != len(own) {
		t.Errorf("pods of %v, expected of %v", slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(own)))
	}
}

// secretsOf gives the Secrets that anything in a specification names as a volume.
func secretsOf(spec any) (names []string) {
	switch v := spec.(type) {
	case map[string]any:
		for key, value := range v {
			if inner, ok := value.(map[string]any); ok && key == "secret" {
				for _, entry := range []string{"secretName", "name"} {
					if name, ok := inner[entry].(string); ok {
						names = append(names, name)
					}
				}
			}
			names = append(names, secretsOf(value)...)
		}
	case []any:
		for _, value := range v {
			names = append(names, secretsOf(value)...)
		}
	}
	return names
}

// TestTokens: tokens for the API server are with those that ask it something, and with nobody else.
func TestTokens(t *testing.T) {
	t.Parallel()
	for values, want := range map[string][]string{
		sets["otlp"]:               {"admin", "enricher", "keys"},
		sets["without Kubernetes"]: {"admin", "keys"},
		sets["open NATS"]:          {"enricher"},
		sets["own NATS"]:           {"admin", "enricher", "keys"},
	} {
		var with []string
		for _, o := range objects(t, values) {
			pods := o.Kind != "ServiceAccount" && strings.Contains(o.text, "containers:")
			if pods && strings.Contains(o.text, "automountServiceAccountToken: true") {
				with = append(with, o.Metadata.Labels["app.kubernetes.io/component"])
			}
			if pods && !strings.Contains(o.text, "automountServiceAccountToken: ") {
				t.Errorf("%s %s leaves the token to the defaults", o.Kind, o.Metadata.Name)
			}
		}
		if slices.Sort(with); !slices.Equal(with, want) {
			t.Errorf("%s: tokens with %v, want %v", values, with, want)
		}
	}
}

// TestChecksums: a change of the exporters replaces exporters alone, another one replaces all, and one of a limit of
// streams is no reason to replace NATS unless its own configuration changes.
func TestChecksums(t *testing.T) {
	t.Parallel()
	before := sums(t, "exporters: {otlp: {endpoint: 'x:1'}}")
	for values, want := range map[string][]string{
		"exporters: {otlp: {endpoint: 'x:1'}}":                                              nil,
		"exporters: {otlp: {endpoint: 'x:2'}}":                                              {"exporter"},
		"exporters: {otlp: {endpoint: 'x:1'}}\nconfig: {enricher: {hold_time: 1s}}":         {"admin", "capture", "decoder", "enricher", "exporter"},
		"exporters: {otlp: {endpoint: 'x:1'}}\nnats: {rotation: a}":                         {"admin", "capture", "decoder", "enricher", "exporter"},
		"exporters: {otlp: {endpoint: 'x:1'}}\nnats: {persistence: {size: 5Gi}}":            {"nats"},
		"exporters: {otlp: {endpoint: 'x:1'}}\ncommonLabels: {a: b}\nimage: {tag: '0.0.0'}": {"admin", "capture", "decoder", "enricher", "exporter", "nats"},
	} {
		var changed []string
		for component, sum := range sums(t, values) {
			if before[component] != sum {
				changed = append(changed, component)
			}
		}
		if slices.Sort(changed); !slices.Equal(changed, want) {
			t.Errorf("%s replaces %v, want %v", values, changed, want)
		}
	}
}

// sums gives the templates of pods that stay, by component.
func sums(t *testing.T, values string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, o := range objects(t, values) {
		if slices.Contains([]string{"Deployment", "DaemonSet", "StatefulSet"}, o.Kind) {
			text, err := yaml.Marshal(o.Spec["template"])
			if err != nil {
				t.Fatal(err)
			}
			found[o.Metadata.Labels["app.kubernetes.io/component"]] = string(text)
		}
	}
	return found
}
