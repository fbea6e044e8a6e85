package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// figures are what the benchmarks beside the code of metrics and sampling report.
var figures = []struct {
	what, pkg, benchmark, unit, budget string
	// most is the budget in the unit; 0: there is none.
	most float64
	// format of the figure after it was multiplied by scale.
	format string
	scale  float64
}{
	{"aggregation of an exchange, feature application", "enricher/internal/metrics", "BenchmarkObserve/application", "cpu-ns/op", "under 300 ns", 300, "%.0f ns of CPU", 1},
	{"aggregation of an exchange, all features", "enricher/internal/metrics", "BenchmarkObserve/all", "cpu-ns/op", "under 300 ns", 300, "%.0f ns of CPU", 1},
	{"exporter, memory of a series (histogram, 7 attributes)", "exporter/internal/series", "BenchmarkMemory", "B/series", "", 0, "%.0f bytes", 1},
	{"exporter, scrape of 100,000 counters, OpenMetrics", "exporter/internal/scrape", "BenchmarkScrape/counters/openmetrics", "ns/op", "under 1 s", 1e9, "%.2f s", 1e-9},
	{"exporter, scrape of 100,000 counters, protobuf", "exporter/internal/scrape", "BenchmarkScrape/counters/protobuf", "ns/op", "under 1 s", 1e9, "%.2f s", 1e-9},
	{"exporter, scrape of 100,000 histograms, OpenMetrics", "exporter/internal/scrape", "BenchmarkScrape/histograms/openmetrics", "ns/op", "under 1 s", 1e9, "%.2f s", 1e-9},
	{"exporter, scrape of 100,000 histograms, protobuf", "exporter/internal/scrape", "BenchmarkScrape/histograms/protobuf", "ns/op", "under 1 s", 1e9, "%.2f s", 1e-9},
	{"sampler, memory of a buffered trace of 5 spans", "exporter/internal/sampling", "BenchmarkWaiting", "bytes/trace", "", 0, "%.0f bytes", 1},
}

// metrics runs the benchmarks of metrics and sampling.
func (b *bench) metrics() error {
	for _, f := range figures {
		command := []string{"test", "-run", "^$", "-bench", "^" + f.benchmark + "$", "-benchtime", "3x", "-cpu", "1", "millrace.dev/services/" + f.pkg}
		if f.unit == "cpu-ns/op" {
			command[6] = "1s"
		}
		out, err := exec.Command("go", command...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("go test %s: %w: %.300s", f.pkg, err, out)
		}
		found := regexp.MustCompile(`(?m)^Benchmark\S+\s.*?\s([0-9.e+]+) ` + regexp.QuoteMeta(f.unit)).FindSubmatch(out)
		if found == nil {
			return fmt.Errorf("%s of %s reports no %s:\n%s", f.benchmark, f.pkg, f.unit, out)
		}
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			return err
		}
		r := row{
			what: f.what, budget: f.budget, measured: fmt.Sprintf(f.format, value*f.scale), verdict: "-",
			command: "go test -run xxx -bench " + f.benchmark + " -cpu 1 ./services/" + f.pkg,
		}
		if f.most > 0 {
			r.verdict = verdict(value <= f.most)
		}
		b.add(r)
	}
	return nil
}
