package k8s

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/test/internal/product"
)

// plugin: `kubectl millrace` shows spans, partitions, and what each node's kernel allows.
func (c *cluster) plugin(t *testing.T) {
	folder := t.TempDir()
	binary, err := product.Binary(folder)
	if err != nil {
		t.Fatal(err)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(folder, "kubectl-millrace")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))

	report := must(t, "kubectl", "millrace", "doctor")
	for _, node := range get(t, "nodes") {
		if !strings.Contains(report, "node "+node.Metadata.Name+" (pod ") {
			t.Errorf("doctor says nothing of node %s:\n%s", node.Metadata.Name, report)
		}
	}
	if strings.Contains(report, "\nmissing ") {
		t.Errorf("doctor misses something that is there:\n%s", report)
	}

	partitions := must(t, "kubectl", "millrace", "-n", ourNamespace, "partitions")
	for _, stage := range []string{"decoder", "enricher"} {
		if !strings.Contains(partitions, "\n"+stage) {
			t.Errorf("no partitions of %s:\n%s", stage, partitions)
		}
	}
	if strings.Contains(partitions, "no owner") {
		t.Errorf("partitions without an owner:\n%s", partitions)
	}

	c.observe(t)
	if out, err := run(t.Context(), "", "kubectl", "millrace", "partitions", "--release", "other"); err == nil || !strings.Contains(err.Error(), ourNamespace+"/"+release) {
		t.Errorf("another release: %s, %v", out, err)
	}
}

// observe makes requests until the plug-in has shown what it was asked for: it shows what comes while it looks.
func (c *cluster) observe(t *testing.T) {
	t.Helper()
	const wanted = 10
	seen, failed := make(chan string, 1), make(chan error, 1)
	go func() {
		out, err := run(t.Context(), "", "kubectl", "millrace", "observe", "--release", release, "--service", "frontend", "--kind", "server",
			"--json", "--count", fmt.Sprint(wanted))
		failed <- err
		seen <- out
	}()
	for len(failed) == 0 {
		client, prefix := c.load(t, 2*wanted)
		c.exact(t, client, prefix, 2*wanted)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(<-seen), "\n")
	for _, line := range lines {
		var span struct{ Service, Kind string }
		if err := json.Unmarshal([]byte(line), &span); err != nil || span.Service != "frontend" || span.Kind != "server" {
			t.Errorf("observe shows %s", line)
		}
	}
	if len(lines) != wanted {
		t.Errorf("observe shows %d spans, want %d", len(lines), wanted)
	}
}
