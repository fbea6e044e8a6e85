package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"millrace.dev/test/internal/natsserver"
	"millrace.dev/test/internal/product"
)

// bench is what the sections of the page need.
type bench struct {
	page           strings.Builder
	directory      string
	millrace, nats string // binaries
	requests       int
	// What the first replay left in the streams, which scaling begins with.
	exchanges, spans recording
}

func main() {
	out := flag.String("o", "", "Markdown file to write; standard output if empty")
	requests := flag.Int("requests", 128_000, "requests of a replay")
	only := flag.String("only", "", "pipeline, checkpoints, scaling or code; all if empty")
	rooms := flag.Bool("rooms", false, "measure protocols instead of stages")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *rooms {
		err = runRooms(ctx, *out)
	} else {
		err = run(ctx, *out, *only, *requests)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, only string, requests int) error {
	directory, err := os.MkdirTemp("", "millrace-stages-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	b := &bench{directory: directory, requests: max(1, requests/(pairs*perBatch)) * pairs * perBatch}
	if b.millrace, err = product.Binary(directory); err != nil {
		return err
	}
	if b.nats, err = product.Build(directory, natsserver.Package); err != nil {
		return err
	}
	fmt.Fprintf(&b.page, "# Benchmarks of the stages\n\nWritten by `make bench-stages` on %s; load average before the first run: %s.\n",
		time.Now().UTC().Format(time.DateOnly), loadAverage())
	b.page.WriteString("Above 0.5, other work on the machine is in the numbers, and rates are worth little; CPU times suffer less. Later sections have what they found at\n" +
		"their beginning, in which the work of the sections before is.\n")
	for _, section := range []struct {
		name  string
		write func(context.Context) error
	}{{"code", b.code}, {"pipeline", b.pipeline}, {"checkpoints", b.checkpoints}, {"scaling", b.scaling}} {
		if only != "" && only != section.name {
			continue
		}
		began, load := time.Now(), loadAverage()
		if err := section.write(ctx); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
		fmt.Fprintf(&b.page, "\nLoad average before: %s.\n", load)
		fmt.Fprintf(os.Stderr, "bench: %s took %v\n", section.name, time.Since(began).Round(time.Second))
	}
	return b.save(out)
}

// runRooms writes the page of protocols.
func runRooms(ctx context.Context, out string) error {
	b := &bench{}
	fmt.Fprintf(&b.page, "# Benchmarks of the protocols\n\nWritten by `make bench-rooms` on %s; load average before: %s. Above 0.5, other work on the machine is in\n"+
		"the numbers. The loads are in `protocols/*/conversations/loads.go`.\n", time.Now().UTC().Format(time.DateOnly), loadAverage())
	if err := b.rooms(ctx); err != nil {
		return err
	}
	return b.save(out)
}

// save writes the page.
func (b *bench) save(out string) error {
	if out == "" {
		_, err := os.Stdout.WriteString(b.page.String())
		return err
	}
	return os.WriteFile(filepath.Clean(out), []byte(b.page.String()), 0o644) //nolint:gosec // A page of the documentation.
}

// loadAverage is that of the last minute, five and fifteen.
func loadAverage() string {
	load, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(load)); err == nil && len(fields) > 3 {
		return strings.Join(fields[:3], " ")
	}
	return "unknown"
}
