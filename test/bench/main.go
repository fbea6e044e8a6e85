package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"millrace.dev/test/internal/product"
)

// row is one line of the report.
type row struct {
	what, budget, measured, command string
	verdict                         string // "met", "missed", or what stands in the way of one
}

// bench holds what the measurements share.
type bench struct {
	directory string
	millrace  string
	nats      string
	// captureBinary is that of the service alone.
	captureBinary string
	rounds        int
	span          time.Duration // length of one run
	rows          []row
	notes         []string
}

func main() {
	playRole()
	out := flag.String("o", "docs/benchmarks.md", "file to write")
	only := flag.String("only", "", "run only the measurements whose name contains this; the file is not written then")
	rounds := flag.Int("rounds", 3, "alternations of runs with and without the agent")
	span := flag.Duration("span", 4*time.Second, "length of one run")
	flag.Parse()
	if err := run(*out, *only, *rounds, *span); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out, only string, rounds int, span time.Duration) error {
	directory, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }() // What stays in the temporary directory does no harm.
	b := &bench{directory: directory, rounds: rounds, span: span}
	if b.millrace, err = product.Binary(directory); err != nil {
		return err
	}
	if b.nats, err = product.Build(directory, "github.com/nats-io/nats-server/v2"); err != nil {
		return err
	}
	if b.captureBinary, err = product.Build(directory, "millrace.dev/services/capture/cmd/millrace-capture"); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		run  func(*bench) error
	}{
		{"capture", (*bench).capture},
		{"allinone", (*bench).allInOne},
		{"completeness-http", (*bench).completenessHTTP},
		{"completeness-redis", (*bench).completenessRedis},
		{"redis-throughput", (*bench).redisThroughput},
		{"decoder", (*bench).decoder},
		{"metrics", (*bench).metrics},
		{"latency", (*bench).latency},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		begin, first := time.Now(), len(b.rows)
		before, err := othersWork()
		if err != nil {
			return err
		}
		if err := m.run(b); err != nil {
			// One measurement that fails is a result, and not the end of the others.
			b.rows = append(b.rows, row{what: m.name, measured: "failed: " + strings.ReplaceAll(err.Error(), "\n", " "), verdict: "missed"})
		}
		for _, r := range b.rows[first:] {
			fmt.Printf("%-62s budget %-18s %s: %s\n", r.what, r.budget, r.verdict, r.measured)
		}
		after, err := othersWork()
		if err != nil {
			return err
		}
		others := (after - before) / time.Since(begin).Seconds()
		fmt.Printf("  (%s, %.0f s, other work on the machine %.2f core)\n", m.name, time.Since(begin).Seconds(), others)
		if others > quiet {
			b.notes = append(b.notes, fmt.Sprintf("While `%s` ran, other work on the machine and its host took %.2f core: its rates and CPU are worth little.", m.name, others))
		}
	}
	if only != "" {
		return nil
	}
	return os.WriteFile(out, []byte(b.markdown()), 0o644)
}

// quiet is how many cores of other work leave a measurement worth something.
const quiet = 0.1

func (b *bench) add(r row) { b.rows = append(b.rows, r) }

func (b *bench) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "# Benchmarks\n\nWritten by `make bench` on %s; %s. Load, services, agent and NATS share the machine.\n",
		time.Now().UTC().Format("2006-01-02"), machine())
	fmt.Fprintf(&s, "Each cost is a difference between runs with and without the agent, %d alternations of %v, medians.\n\n", b.rounds, b.span)
	s.WriteString("| what | budget | measured | verdict | command |\n|---|---|---|---|---|\n")
	for _, r := range b.rows {
		fmt.Fprintf(&s, "| %s | %s | %s | %s | `%s` |\n", r.what, r.budget, r.measured, r.verdict, r.command)
	}
	if len(b.notes) > 0 {
		s.WriteString("\n## Notes\n\n")
		for _, n := range b.notes {
			fmt.Fprintf(&s, "- %s\n", n)
		}
	}
	return s.String()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}
