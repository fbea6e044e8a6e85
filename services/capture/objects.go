package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/bpf/objects"
)

// object is a compiled object of the kernel side.
type object struct{ name, hash string }

// objectsOf are those that this program loads into the kernel, by the SHA-256 of what it holds of each.
func objectsOf() []object {
	var all []object
	for name, content := range map[string][]byte{"capture": objects.Capture, "goruntime": objects.GoRuntime} {
		sum := sha256.Sum256(content)
		all = append(all, object{name, hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a.name, b.name) })
	return all
}

// checkObjects refuses objects that are not on the list, if there is one.
func checkObjects(all []object, allowed []string) error {
	for _, o := range all {
		if len(allowed) > 0 && !slices.Contains(allowed, o.hash) {
			return fmt.Errorf("the eBPF object %s has SHA-256 %s, which capture.allowed_objects does not list: nothing was loaded; "+
				"add it if you trust this version of millrace-capture", o.name, o.hash)
		}
	}
	return nil
}

func logObjects(log *slog.Logger, all []object) {
	for _, o := range all {
		log.Info("eBPF object", "object", o.name, "sha256", o.hash)
	}
}

// objectMetrics have the value 1 and say what was loaded.
func objectMetrics(all []object) []prometheus.Collector {
	var collectors []prometheus.Collector
	for _, o := range all {
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "millrace_capture_object_info", Help: "1 for each eBPF object that this version loads, by the SHA-256 of its bytes.",
			ConstLabels: prometheus.Labels{"object": o.name, "sha256": o.hash},
		})
		gauge.Set(1)
		collectors = append(collectors, gauge)
	}
	return collectors
}
