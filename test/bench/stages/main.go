// Command stages measures what each stage costs: the benchmarks beside the code, and a pipeline of real processes over an external NATS server.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"millrace.dev/test/internal/product"
)

func main() {
	out := flag.String("o", "", "Markdown file to write; standard output if empty")
	requests := flag.Int("requests", 128_000, "requests of a replay")
	only := flag.String("only", "", "pipeline or code; both if empty")
	flag.Parse()
	if err := run(*out, *only, *requests); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out, only string, requests int) error {
	requests = max(1, requests/(pairs*perBatch)) * pairs * perBatch
	directory, err := os.MkdirTemp("", "millrace-stages-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	millrace, err := product.Binary(directory)
	if err != nil {
		return err
	}
	nats, err := product.Build(directory, "github.com/nats-io/nats-server/v2")
	if err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks of the stages\n\nWritten by `make bench-stages` on %s; load average before the first run: %s.\n",
		time.Now().UTC().Format(time.DateOnly), strings.Join(strings.Fields(string(load))[:3], " "))
	b.WriteString("Above 0.5, other work on the machine is in the numbers, and rates are worth little; CPU times suffer less.\n")
	if only != "code" {
		if err := replays(&b, millrace, nats, directory, requests); err != nil {
			return err
		}
	}
	if only != "pipeline" {
		if err := goBenchmarks(&b); err != nil {
			return err
		}
	}
	if out == "" {
		_, err = os.Stdout.WriteString(b.String())
		return err
	}
	return os.WriteFile(filepath.Clean(out), []byte(b.String()), 0o644) //nolint:gosec // A page of the documentation.
}

// replays writes what the pipeline costs as a whole.
func replays(b *strings.Builder, millrace, nats, directory string, requests int) error {
	fmt.Fprintf(b, "\n## Pipeline\n\n%d HTTP requests of %d pairs of processes, both ends captured, as raw batches of %d, published as fast as the "+
		"server takes them; nats-server and all services are processes of their own on this machine. The exporter writes a file.\n\n",
		requests, pairs, perBatch)
	b.WriteString("| instances of each | requests/s | process | CPU-seconds per million requests | checkpoints | taken to stored, mean |\n|---|---|---|---|---|---|\n")
	for instances := 1; instances <= 2; instances++ {
		r, err := replay(millrace, nats, directory, instances, requests)
		if err != nil {
			return fmt.Errorf("replay with %d instances: %w", instances, err)
		}
		for _, s := range append([]string{"nats-server"}, services...) {
			checkpoints, mean := "", ""
			if n := r.checkpoints[s]; n > 0 {
				checkpoints, mean = fmt.Sprintf("%.0f", n), fmt.Sprintf("%.0f ms", 1000*r.checkpointSeconds[s]/n)
			}
			fmt.Fprintf(b, "| %d | %.0f | %s | %.1f | %s | %s |\n", instances, float64(requests)/r.took.Seconds(), s,
				r.cpu[s]/float64(requests)*1e6, checkpoints, mean)
		}
	}
	b.WriteString("\nTimes of checkpoints include waiting for the server; what taking one costs is below.\n")
	return nil
}

// benchmarks that are run, by module.
var benchmarks = []struct{ stage, pkg, pattern, cpu string }{
	{"decoder", "millrace.dev/services/decoder", "Exchanges", "1"},
	{"decoder, checkpoint of 2,000 connections", "millrace.dev/services/decoder", "Snapshot", "1"},
	{"decoder, one hot process", "millrace.dev/services/decoder", "HotProcess", "1,2"},
	{"enricher", "millrace.dev/services/enricher/internal/...", "Exchanges|Encode", "1"},
	{"exporter", "millrace.dev/services/exporter/internal/export", "Convert", "1"},
	{"stage runtime", "millrace.dev/lib/stage", "Identity", "2"},
}

var line = regexp.MustCompile(`(?m)^Benchmark(\S+)\s+\d+\s+(.*)$`)

// columns separates what a benchmark reports.
var columns = regexp.MustCompile(`\s*\t\s*`)

// goBenchmarks writes what the benchmarks beside the code measure.
func goBenchmarks(b *strings.Builder) error {
	b.WriteString("\n## Benchmarks beside the code\n\n| stage | benchmark | result |\n|---|---|---|\n")
	for _, m := range benchmarks {
		out, err := exec.Command("go", "test", "-run", "^$", "-bench", m.pattern, "-benchmem", "-benchtime", "0.5s", "-cpu", m.cpu, //nolint:gosec // Constants.
			m.pkg).CombinedOutput()
		if err != nil {
			return fmt.Errorf("go test %s: %w: %.500s", m.pkg, err, out)
		}
		found := line.FindAllSubmatch(out, -1)
		if len(found) == 0 {
			return fmt.Errorf("no benchmark of %s matches %q", m.pkg, m.pattern)
		}
		for _, f := range found {
			fmt.Fprintf(b, "| %s | %s | %s |\n", m.stage, f[1], columns.ReplaceAllString(strings.TrimSpace(string(f[2])), ", "))
		}
	}
	return nil
}

// usage is the CPU time that processes have used, in seconds.
func usage(pids map[string][]int) (map[string]float64, error) {
	used := map[string]float64{}
	for name, list := range pids {
		for _, pid := range list {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				return nil, err
			}
			fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
			for _, f := range fields[11:13] { // utime and stime, fields 14 and 15 of proc(5), in hundredths of a second
				n, err := strconv.Atoi(f)
				if err != nil {
					return nil, err
				}
				used[name] += float64(n) / 100
			}
		}
	}
	return used, nil
}
