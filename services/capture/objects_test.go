package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestObjects: hashes are those of the files that are committed, and a list of others has nothing loaded.
func TestObjects(t *testing.T) {
	t.Parallel()
	all := objectsOf()
	if len(all) != 2 {
		t.Fatalf("objects: %v", all)
	}
	for _, o := range all {
		content, err := os.ReadFile("../../bpf/objects/" + o.name + "_" + runtime.GOARCH + ".o")
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); o.hash != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: %s", o.name, o.hash)
		}
	}
	for _, tt := range []struct {
		allowed []string
		want    string
	}{
		{nil, ""},
		{[]string{all[0].hash, all[1].hash, strings.Repeat("0", 64)}, ""},
		{[]string{all[0].hash}, all[1].hash},
		{[]string{strings.Repeat("0", 64)}, all[0].hash},
	} {
		err := checkObjects(all, tt.allowed)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "capture.allowed_objects")) {
			t.Errorf("allowed %v: %v", tt.allowed, err)
		}
	}
	registry := prometheus.NewRegistry()
	for _, c := range objectMetrics(all) {
		registry.MustRegister(c)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 2 {
		t.Errorf("metrics: %v, %v", families, err)
	}
}
