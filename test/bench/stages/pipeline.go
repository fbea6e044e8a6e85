package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"millrace.dev/test/internal/product"
)

var services = []string{"decoder", "enricher", "exporter"}

// result of one replay.
type result struct {
	instances int
	took      time.Duration
	cpu       map[string]float64 // seconds, by service
	spans     float64
	raw       int
	// checkpoints written and the seconds that they took in sum, by service.
	checkpoints, checkpointSeconds map[string]float64
}

// replay starts a NATS server and the given number of instances of each service, publishes the requests and waits for their spans.
func replay(millrace, nats, directory string, instances, requests int) (r result, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	r = result{
		instances: instances, cpu: map[string]float64{}, checkpoints: map[string]float64{}, checkpointSeconds: map[string]float64{},
	}
	port, err := product.FreePort()
	if err != nil {
		return r, err
	}
	name := fmt.Sprint("nats", instances)
	text := fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\nmax_payload: 8MB\n", port, filepath.Join(directory, name))
	file := filepath.Join(directory, name+".conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return r, err
	}
	server := exec.CommandContext(ctx, nats, "-c", file)
	if err := server.Start(); err != nil {
		return r, err
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	}()
	time.Sleep(time.Second)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	conn, err := connect(ctx, url)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	started := map[string][]*product.Instance{}
	defer func() {
		for _, list := range started {
			for _, x := range list {
				_ = x.Stop()
			}
		}
	}()
	for _, s := range services {
		for i := range instances {
			x, err := product.Start(product.Options{
				Binary: millrace, Arguments: []string{s}, Directory: directory, Name: fmt.Sprint(s, instances, i), NoFile: s != "exporter",
				Config: fmt.Sprintf("bus:\n  url: %s\n  max_bytes: 512MB\n", url),
			})
			if err != nil {
				return r, err
			}
			started[s] = append(started[s], x)
		}
	}
	for s, list := range started {
		for _, x := range list {
			if err := x.Ready(30 * time.Second); err != nil {
				return r, fmt.Errorf("%s: %w\n%s", s, err, x.Log())
			}
		}
	}
	time.Sleep(2 * time.Second) // partitions find their owners
	pids := map[string][]int{"nats-server": {server.Process.Pid}}
	for s, list := range started {
		for _, x := range list {
			pids[s] = append(pids[s], x.PID())
		}
	}
	before, err := usage(pids)
	if err != nil {
		return r, err
	}
	begin := time.Now()
	if r.raw, err = publish(ctx, conn, requests); err != nil {
		return r, err
	}
	for r.spans < float64(2*requests) && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		if spans, err := sum(started["exporter"], "millrace_exporter_spans_total"); err == nil { // a busy machine answers late
			r.spans = spans
		}
	}
	r.took = time.Since(begin)
	after, err := usage(pids)
	if err != nil {
		return r, err
	}
	for s := range after {
		r.cpu[s] = after[s] - before[s]
	}
	time.Sleep(time.Second)
	for s, list := range started {
		if r.checkpoints[s], err = sum(list, "millrace_stage_checkpoints_total"); err != nil {
			return r, err
		}
		if r.checkpointSeconds[s], err = sum(list, "millrace_stage_checkpoint_seconds_sum"); err != nil {
			return r, err
		}
	}
	if r.spans != float64(2*requests) {
		return r, fmt.Errorf("%.0f spans of %d", r.spans, 2*requests)
	}
	return r, nil
}

// sum adds up a metric of all instances, over its labels.
func sum(list []*product.Instance, name string) (total float64, err error) {
	for _, x := range list {
		m, err := x.Metrics()
		if err != nil {
			return 0, err
		}
		for key, v := range m {
			if key == name || strings.HasPrefix(key, name+"{") {
				total += v
			}
		}
	}
	return total, nil
}
