package backends

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/test/backends/internal/prometheus"
)

// deployFolder is deploy/ of the repository.
const deployFolder = "../../deploy"

// scrape starts a Prometheus with the scrape configuration and the rules that users get, and with targets and an
// interval of the test.
func scrape(t *testing.T, native bool, targets, own []string) *prometheus.Server {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployFolder, "prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(deployFolder, "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"scrape_interval: 15s", "scrape_interval: 1s"},
		{"evaluation_interval: 15s", "evaluation_interval: 1s"},
		{"- rules/*.rules.yaml", "- " + rules + "/*.rules.yaml"},
		{"[127.0.0.1:9400]", "[" + strings.Join(targets, ", ") + "]"},
		{"[127.0.0.1:9401]", "[" + strings.Join(own, ", ") + "]"},
	} {
		if strings.Count(config, change[0]) != 1 {
			t.Fatalf("deploy/prometheus/prometheus.yml has %q not once", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	return prometheus.Start(t, prometheus.Options{Config: config, NativeHistograms: native})
}

// table asks an instant query and gives the values by labels, see [prometheus.Sample.Key].
func table(p *prometheus.Server, expression string, labels ...string) (map[string]float64, error) {
	samples, err := p.Query(expression)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for _, s := range samples {
		key := s.Key(labels...)
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%s: two series for %s", expression, key)
		}
		out[key] = s.Value
	}
	return out, nil
}

// differences says where got is not want.
func differences(what string, got map[string]float64, want map[string]int) error {
	var wrong []string
	for key, n := range want {
		if got[key] != float64(n) {
			wrong = append(wrong, fmt.Sprintf("%s: %g, want %d", key, got[key], n))
		}
	}
	for key, v := range got {
		if _, known := want[key]; !known {
			wrong = append(wrong, fmt.Sprintf("%s: %g, want none", key, v))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %d wrong: %s", what, len(wrong), strings.Join(wrong[:min(10, len(wrong))], "; "))
	}
	return nil
}
