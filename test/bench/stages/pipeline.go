package main

import (
	"context"
	"fmt"
	"time"
)

// replay is what one run of all requests through the pipeline has cost.
type replay struct {
	took time.Duration
	cpu  map[string]float64 // seconds, by service
}

const pipelineText = `
## Pipeline

%d HTTP requests of %d pairs of processes, both ends captured, as raw batches of %d, published as fast as the server takes them; nats-server and
all services are processes of their own on this machine. The exporter writes a file.

- *instances of each*: how many processes of each service there are; there is one nats-server.
- *requests/s*: requests by the time from the first raw batch to the last span in the file.
- *CPU-seconds per million requests*: user and system time of the process, or of all instances of it, in that time.

| instances of each | requests/s | process | CPU-seconds per million requests |
|---|---|---|---|
`

// pipeline writes what the pipeline costs as a whole, and what goes through its streams.
func (b *bench) pipeline(ctx context.Context) error {
	fmt.Fprintf(&b.page, pipelineText, b.requests, pairs, perBatch)
	var streams []traffic
	for instances := 1; instances <= 2; instances++ {
		r, found, err := b.replay(ctx, instances)
		if err != nil {
			return fmt.Errorf("replay with %d instances: %w", instances, err)
		}
		if instances == 1 {
			streams = found
		}
		total := 0.0
		for _, process := range append([]string{natsServer}, services...) {
			total += r.cpu[process]
			b.pipelineRow(instances, r, process, r.cpu[process])
		}
		b.pipelineRow(instances, r, "all", total)
	}
	b.streams(streams)
	return nil
}

func (b *bench) pipelineRow(instances int, r replay, process string, cpu float64) {
	fmt.Fprintf(&b.page, "| %d | %.0f | %s | %.1f |\n", instances, float64(b.requests)/r.took.Seconds(), process, cpu/float64(b.requests)*1e6)
}

// replay publishes the requests to the given number of instances of each service, and waits for their spans.
func (b *bench) replay(ctx context.Context, instances int) (r replay, found []traffic, err error) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Second)
	defer cancel()
	s, err := b.newSystem(ctx, fmt.Sprint("pipeline", instances))
	if err != nil {
		return r, nil, err
	}
	defer s.close()
	for _, service := range services {
		for range instances {
			if err := s.launch(service, "", nil); err != nil {
				return r, nil, err
			}
		}
	}
	if err := s.ready(ctx); err != nil {
		return r, nil, err
	}
	before, err := s.cpu()
	if err != nil {
		return r, nil, err
	}
	began := time.Now()
	if err := publish(ctx, s.conn, b.requests, 0); err != nil {
		return r, nil, err
	}
	if err := s.exported(ctx, b.requests); err != nil {
		return r, nil, err
	}
	r.took = time.Since(began)
	if r.cpu, err = s.cpu(); err != nil {
		return r, nil, err
	}
	for process := range r.cpu {
		r.cpu[process] -= before[process]
	}
	if instances > 1 {
		return r, nil, nil
	}
	if found, err = s.traffic(ctx); err != nil {
		return r, nil, err
	}
	return r, found, b.record(ctx, s.conn)
}

// exported waits until both spans of each request are out.
func (s *system) exported(ctx context.Context, requests int) error {
	spans := 0.0
	for spans < float64(2*requests) {
		if ctx.Err() != nil {
			return fmt.Errorf("%.0f spans of %d: %w", spans, 2*requests, ctx.Err())
		}
		time.Sleep(50 * time.Millisecond)
		if n, err := sum(s.instances["exporter"], "millrace_exporter_spans_total"); err == nil { // a busy machine answers late
			spans = n
		}
	}
	if spans != float64(2*requests) {
		return fmt.Errorf("%.0f spans of %d", spans, 2*requests)
	}
	return nil
}
