package backends

import (
	"os/exec"
	"path/filepath"
	"testing"

	"millrace.dev/test/backends/internal/prometheus"
)

// promtool finds nothing wrong with the rules and the scrape configuration, and the rules do what their tests say.
func TestRules(t *testing.T) {
	tool := prometheus.Path(t, "promtool")
	folder := filepath.Join(deployFolder, "prometheus")
	rules, err := filepath.Glob(filepath.Join(folder, "*.rules.yaml"))
	if err != nil || len(rules) < 2 {
		t.Fatalf("rules: %q %v", rules, err)
	}
	tests, err := filepath.Glob(filepath.Join(folder, "tests", "*.test.yaml"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("tests of rules: %q %v", tests, err)
	}
	for name, arguments := range map[string][]string{
		"check":  append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, rules...),
		"test":   append([]string{"test", "rules"}, tests...),
		"config": {"check", "config", "--syntax-only", filepath.Join(folder, "prometheus.yml")},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := exec.Command(tool, arguments...).CombinedOutput(); err != nil {
				t.Errorf("promtool %v: %v\n%s", arguments, err, out)
			}
		})
	}
}
