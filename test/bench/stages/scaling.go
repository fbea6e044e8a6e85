package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/test/internal/product"
)

// share of one core that each instance gets.
const share = 0.25

// backlog is what waits before a stage.
type backlog struct {
	service, stage string
	requests       int
	messages       recording
}

const scalingText = `
## Scaling

Instances of one stage work off a backlog. Each may use %.0f %% of one core (CPU bandwidth of its control group), so that the machine's cores are not
what limits them, and what remains is there for nats-server and for writing the backlog. The backlog is written as fast as the server takes it, to instances that are ready and have
shared out the partitions. The decoder's is raw batches; the enricher's and the exporter's are what the decoder and the enricher have written in the run above.

- *instances*: of the stage; nothing else runs but nats-server.
- *backlog*: requests in it, both ends captured.
- *requests/s*: requests of the backlog by the time from writing its first message to having processed its last.
- *compared with one*: that rate by the rate of one instance; the number of instances would be perfect.
- *busiest instance*: the part of the backlog, in percent of its bytes, that the instance took which took most. Partitions are shared out evenly, requests are not: their processes,
  connections and traces fall into partitions by hashes. 100 divided by it is the comparison with one that this allows.
- *CPU-seconds per million requests*: of all instances, from the first message to the last: what more instances cost. Where it differs from one instance's, other work on the machine made
  the same work dearer or cheaper too, and the comparison with one is off by as much.

| stage | instances | backlog | requests/s | compared with one | busiest instance, %% | CPU-seconds per million requests |
|---|---|---|---|---|---|---|
`

// rawFactor is by how much the decoder's backlog is larger: it is the fastest stage.
const rawFactor = 3

// scaling writes how much faster two and four instances are than one.
func (b *bench) scaling(ctx context.Context) (err error) {
	fmt.Fprintf(&b.page, scalingText, 100*share)
	l, err := newLimiter()
	if errors.Is(err, errNoLimits) {
		fmt.Fprintf(&b.page, "| all | | | not measured: %s | | | |\n", err)
		return nil
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if b.spans == nil { // The pipeline was not measured.
		if _, _, err := b.replay(ctx, 1); err != nil {
			return err
		}
	}
	raw, err := b.recordRaw(ctx)
	if err != nil {
		return err
	}
	for _, work := range []backlog{
		{"decoder", "decoder", rawFactor * b.requests, raw},
		{"enricher", "enricher", b.requests, b.exchanges},
		{"exporter", "exporter-file", b.requests, b.spans},
	} {
		var one float64
		for _, instances := range []int{1, 2, 4} {
			r, err := b.drain(ctx, l, work, instances)
			if err != nil {
				return fmt.Errorf("%d instances of %s: %w", instances, work.service, err)
			}
			rate := float64(work.requests) / r.took.Seconds()
			if instances == 1 {
				one = rate
			}
			fmt.Fprintf(&b.page, "| %s | %d | %d | %.0f | %.2f | %.0f | %.1f |\n", work.stage, instances, work.requests, rate, rate/one,
				100*r.busiest, r.cpu/float64(work.requests)*1e6)
		}
	}
	return nil
}

// recordRaw makes the decoder's backlog, encoded and compressed, so that writing it takes less time than working it
// off.
func (b *bench) recordRaw(ctx context.Context) (recording, error) {
	s, err := b.newSystem(ctx, "raw")
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := publish(ctx, s.conn, rawFactor*b.requests, 0); err != nil {
		return nil, err
	}
	return read(ctx, s.conn, bus.StreamRaw, "millrace.raw.>")
}

// drained is what it took to work a backlog off.
type drained struct {
	took time.Duration
	cpu  float64 // seconds, of all instances
	// busiest is the part of the bytes that one instance took at most.
	busiest float64
}

// drain has some instances work a backlog off.
func (b *bench) drain(ctx context.Context, l *limiter, work backlog, instances int) (r drained, err error) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Second)
	defer cancel()
	s, err := b.newSystem(ctx, fmt.Sprint(work.service, instances))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.close()) }() // When the processes have ended.
	defer s.close()
	for range instances {
		group, err := l.group(share)
		if err != nil {
			return r, err
		}
		if err := s.launch(work.service, "", through(group)); err != nil {
			return r, err
		}
	}
	if err := s.ready(ctx); err != nil {
		return r, err
	}
	before, err := s.cpu()
	if err != nil {
		return r, err
	}
	began := time.Now()
	written := make(chan error, 1)
	go func() { written <- work.messages.write(ctx, s.conn) }()
	if err := s.await(ctx, work, written); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	after, err := s.cpu()
	if err != nil {
		return r, err
	}
	r.cpu = after[work.service] - before[work.service]
	r.busiest, err = s.busiest(work)
	return r, err
}

// busiest is the part of the bytes of a stage that one instance has taken at most.
func (s *system) busiest(work backlog) (float64, error) {
	most, all := 0.0, 0.0
	for _, x := range s.instances[work.service] {
		bytes, err := sums([]*product.Instance{x}, "millrace_stage_bytes_in_total")
		if err != nil {
			return 0, err
		}
		taken := bytes[label(work.stage)]
		most, all = max(most, taken), all+taken
	}
	return most / all, nil
}

// label is that of a stage's metrics.
func label(stage string) string { return fmt.Sprintf("{stage=%q}", stage) }

// await waits until all of the stream that is being written was processed.
func (s *system) await(ctx context.Context, work backlog, written <-chan error) error {
	whole := false
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the backlog is not worked off: %w", ctx.Err())
		case err := <-written:
			if err != nil {
				return fmt.Errorf("write the backlog: %w", err)
			}
			whole = true
		case <-time.After(200 * time.Millisecond):
		}
		// A limited process answers late: no answer is no error.
		records, err := sums(s.instances[work.service], "millrace_stage_records_in_total")
		if err == nil && whole && int(records[label(work.stage)]) >= len(work.messages) {
			return nil
		}
	}
}
