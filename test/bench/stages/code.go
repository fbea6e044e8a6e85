package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// compared are the benchmarks that have the same units, one or more for each stage.
var compared = []suite{
	{"decoder", "exchange side", "millrace.dev/services/decoder", "^BenchmarkStage$", "1"},
	{"enricher", "exchange side", "millrace.dev/services/enricher", "^BenchmarkStage$", "1"},
	{"sampler", "span", "millrace.dev/services/exporter/internal/sampling", "^BenchmarkStage$", "1"},
	{"exporter", "span", "millrace.dev/services/exporter/internal/export", "^BenchmarkStage$", "1"},
	{"exporter-metrics", "delta", "millrace.dev/services/exporter/internal/export", "^BenchmarkMetricsStage$", "1"},
	{"exporter-prometheus", "delta", "millrace.dev/services/exporter/internal/scrape", "^BenchmarkStage$", "1"},
	{"stage runtime", "message", "millrace.dev/lib/stage", "^BenchmarkStage$", "2"},
}

// others are benchmarks of parts, each with units of its own.
var others = []suite{
	{"decoder, causes looked up", "exchange", "millrace.dev/services/decoder", "^BenchmarkExchangesCause$", "1"},
	{"decoder, one hot process", "exchange", "millrace.dev/services/decoder", "^BenchmarkHotProcess$", "1,2"},
	{"decoder, checkpoint of 2,000 connections", "", "millrace.dev/services/decoder", "^BenchmarkSnapshot$", "1"},
	{"enricher, encoding a span", "", "millrace.dev/services/enricher/internal/spans", "^BenchmarkEncode$", "1"},
	{"exporter-prometheus, a scrape of 100,000 series", "", "millrace.dev/services/exporter/internal/scrape", "^BenchmarkScrape$/.*/^(openmetrics|gzip)$", "1"},
}

// suite is benchmarks of one package.
type suite struct{ stage, item, pkg, pattern, cpu string }

// benchtime of all suites but those of many benchmarks, which have as many iterations as they need.
const benchtime = "1s"

// column is a unit of a benchmark and what stands above it.
type column struct{ unit, title string }

// columns of the table, by the unit in which [millrace.dev/lib/stage/stagebench] reports them.
var columns = []column{
	{"items/cpu-s", "items/s per core"},
	{"in-MB/cpu-s", "input MB/s per core"},
	{"in-B/item", "input bytes"},
	{"out-B/item", "output bytes"},
	{"allocs/item", "allocations"},
	{"alloc-B/item", "bytes allocated"},
	{"checkpoint-%", "checkpoints, % of CPU"},
	{"checkpoint-B", "checkpoint, KiB"},
}

const comparedText = `
## Cost of each stage

Go benchmarks beside the code, one partition on one core (the runtime: two). The processor of the stage gets records as the runtime hands them in, gets the time every 100 ms
of the stream and checkpointed as often as in production (every 5 s of the stream, the sampler every 10 s), at 10,000 items per second of the
stream's time. The decoder's input are a service's sides of requests over 50 connections; the enricher's both sides of requests with their links, after 40 s, when what it
remembers no longer grows; the sampler's and the exporter's spans of five services, the sampler with 10 s of traces waiting. It keeps
1 % or 100 %; those of metrics deltas of histograms in a thousand series. The file is a real one; otlphttp sends to a server in the same process, whose work is counted in;
exporter-prometheus is scraped every 10 s of the stream. The runtime's row is what lib/stage adds to each message of that many bytes, which it
reads from a NATS server in another process, decompresses, compresses and publishes again.

- *case*: protocol, part of the traces that is kept, destination, or size of messages.
- *item*: what is counted in the row. A request that is captured at both ends is two exchange sides and two spans. A message of a stream holds many of them; the runtime's row is of whole messages.
- *items/s per core*: items per second of CPU time of the process, with the collection of garbage and checkpoints. It is that of the cheapest ten
  seconds of the stream, which other work on the machine has disturbed least; of the runtime it is the mean.
- *input MB/s per core*: the same in millions of bytes of input.
- *input bytes*, *output bytes*: of an item, as the processor sees them: decompressed, with the item's share of what a message says once. In the streams they are
  compressed, see the table of the pipeline. What is sent is counted as sent: JSON lines, gzip in the case of otlphttp and scrapes.
- *allocations*, *bytes allocated*: on the heap, for an item, those of checkpoints included.
- *checkpoints, % of CPU*: the part of the CPU time that taking snapshots and compressing them takes. The enricher's state has the exchanges of half a minute, and
  the sampler's the spans of ten seconds, so theirs grows with the rate and its part stays; see below for what it is of whole processes at a usual rate.
- *checkpoint, KiB*: size of the last one, compressed. The repetitive traffic of a benchmark compresses better than that of a fleet.

`

const othersText = `
## Benchmarks of parts

What a single part costs, in the units of its benchmark.

| what | benchmark | result |
|---|---|---|
`

// code writes what the benchmarks beside the code measure.
func (b *bench) code(ctx context.Context) error {
	b.page.WriteString(comparedText + "| stage | case | item |")
	for _, c := range columns {
		fmt.Fprintf(&b.page, " %s |", c.title)
	}
	b.page.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, s := range compared {
		results, err := s.run(ctx, benchtime)
		if err != nil {
			return err
		}
		for _, r := range results {
			_, variant, _ := strings.Cut(r.name, "/")
			fmt.Fprintf(&b.page, "| %s | %s | %s |", s.stage, variant, s.item)
			for _, c := range columns {
				fmt.Fprintf(&b.page, " %s |", r.cell(c.unit))
			}
			b.page.WriteByte('\n')
		}
	}
	b.page.WriteString(othersText)
	for _, s := range others {
		results, err := s.run(ctx, benchtime)
		if err != nil {
			return err
		}
		for _, r := range results {
			fmt.Fprintf(&b.page, "| %s | %s | %s |\n", s.stage, r.name, strings.Join(r.text, ", "))
		}
	}
	return nil
}

// outcome is one line of a benchmark.
type outcome struct {
	name   string
	values map[string]float64 // by unit
	text   []string           // value and unit
}

func (s suite) run(ctx context.Context, benchtime string) ([]outcome, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", s.pattern, "-benchmem", "-benchtime", benchtime, "-cpu", s.cpu, //nolint:gosec // Constants.
		"-timeout", "30m", s.pkg).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test %s: %w: %.500s", s.pkg, err, out)
	}
	results, err := outcomes(string(out))
	if err != nil {
		return nil, fmt.Errorf("go test %s, benchmark %s: %w", s.pkg, s.pattern, err)
	}
	return results, nil
}

// outcomes reads what `go test -bench` prints.
func outcomes(text string) (all []outcome, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		r := outcome{name: strings.TrimPrefix(fields[0], "Benchmark"), values: map[string]float64{}}
		for rest := fields[2:]; len(rest) > 1; rest = rest[2:] {
			v, err := strconv.ParseFloat(rest[0], 64)
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			r.values[rest[1]] = v
			r.text = append(r.text, rest[0]+" "+rest[1])
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, errors.New("it does not exist")
	}
	return all, nil
}

// cell gives a value for the table, empty if it was not measured.
func (r outcome) cell(unit string) string {
	v, measured := r.values[unit]
	if unit == "checkpoint-B" {
		v /= 1 << 10
	}
	switch {
	case !measured:
		return ""
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
