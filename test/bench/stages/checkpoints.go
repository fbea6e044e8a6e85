package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace.dev/test/internal/product"
)

// What the run for checkpoints lasts, and how much goes through it.
const (
	checkpointRate = 4000 // requests a second
	checkpointTime = 45 * time.Second
)

const checkpointText = `
## Checkpoints

%d requests a second for %.0f s, one instance of each service, with every stage that there is: a sampler that keeps a tenth of the traces, a file and a
Prometheus endpoint that is scraped every ten seconds. Each of the 32 partitions of a stage writes a checkpoint every 5 s (the sampler every 10 s) if something has changed.

- *checkpoints*: written in that time by all partitions.
- *bytes*: mean size of one, compressed.
- *CPU of checkpoints*: processor time of taking snapshots and compressing them (millrace_stage_checkpoint_cpu_seconds_total), in CPU-seconds of the whole run. Waiting for the server and sending
  to it are not in it.
- *CPU of the process*: user and system time of the service's process in that time; the exporter's is shared by five stages.
- *share*: the former in percent of the latter.
- *stored after*: mean time from taking a snapshot to having it stored, waiting for the server and for outputs included.

| stage | checkpoints | bytes | CPU of checkpoints, s | CPU of the process, s | share, %% | stored after, ms |
|---|---|---|---|---|---|---|
`

// checkpoints writes what part of the CPU checkpoints take in real processes.
func (b *bench) checkpoints(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkpointTime+60*time.Second)
	defer cancel()
	s, err := b.newSystem(ctx, "checkpoints")
	if err != nil {
		return err
	}
	defer s.close()
	port, err := product.FreePort()
	if err != nil {
		return err
	}
	endpoint := fmt.Sprintf("127.0.0.1:%d", port)
	s.exporters = fmt.Sprintf("  prometheus:\n    endpoint: %s\n", endpoint)
	settings := "sampling:\n  policies: [{name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}]\n"
	for _, service := range services {
		if err := s.launch(service, settings, nil); err != nil {
			return err
		}
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	scraping, stop := context.WithCancel(ctx)
	defer stop()
	scraped := scrape(scraping, "http://"+endpoint+"/metrics", 10*time.Second)
	requests := int(checkpointTime.Seconds()) * checkpointRate
	if err := publish(ctx, s.conn, requests, checkpointRate); err != nil {
		return err
	}
	used, err := s.cpu()
	if err != nil {
		return err
	}
	stop()
	if err := <-scraped; err != nil {
		return fmt.Errorf("scrape: %w", err)
	}
	fmt.Fprintf(&b.page, checkpointText, checkpointRate, checkpointTime.Seconds())
	for _, service := range services {
		if err := b.checkpointRows(s.instances[service], used[service]-before[service]); err != nil {
			return err
		}
	}
	return nil
}

// checkpointRows writes a row for each stage of a service.
func (b *bench) checkpointRows(list []*product.Instance, cpu float64) error {
	values := map[string]map[string]float64{}
	for _, name := range []string{"checkpoints_total", "checkpoint_bytes_sum", "checkpoint_cpu_seconds_total", "checkpoint_seconds_sum"} {
		var err error
		if values[name], err = sums(list, "millrace_stage_"+name); err != nil {
			return err
		}
	}
	for _, labels := range slices.Sorted(maps.Keys(values["checkpoints_total"])) {
		n := values["checkpoints_total"][labels]
		if n == 0 {
			return fmt.Errorf("stage %s has written no checkpoint", labels)
		}
		spent := values["checkpoint_cpu_seconds_total"][labels]
		fmt.Fprintf(&b.page, "| %s | %.0f | %.0f | %.2f | %.1f | %.1f | %.0f |\n", strings.TrimSuffix(strings.TrimPrefix(labels, `{stage="`), `"}`), n,
			values["checkpoint_bytes_sum"][labels]/n, spent, cpu, 100*spent/cpu, 1000*values["checkpoint_seconds_sum"][labels]/n)
	}
	return nil
}
