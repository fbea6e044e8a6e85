package enricher_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/enricher"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// numbering is what makes a batch of metrics known.
type numbering struct {
	source, partition int
	epoch             uint64
}

// counted reads MILLRACE_METRIC as an exporter does: it drops a batch that it has counted, and wants the numbers
// without gaps.
type counted struct {
	t    *testing.T
	last map[numbering]uint64
	// requests by service and route.
	requests map[string]uint64
	seconds  map[string]float64
	repeated int
}

func (c *counted) take(subject string, b *millracev1.MetricBatch) {
	n := numbering{source: int(b.Source), epoch: b.EpochUnixNs}
	if _, err := fmt.Sscanf(subject, "millrace.metric.%d", &n.partition); err != nil {
		c.t.Fatal(err)
	}
	if b.Sequence <= c.last[n] {
		c.repeated++
		return
	}
	if b.Sequence != c.last[n]+1 {
		c.t.Errorf("batch %d of %+v follows %d", b.Sequence, n, c.last[n])
	}
	c.last[n] = b.Sequence
	for _, r := range b.Resources {
		name := ""
		for _, kv := range r.Resource.Attributes {
			if kv.Key == "service.name" {
				name = kv.GetStringValue()
			}
		}
		for _, d := range r.Deltas {
			if d.Name != "http.server.request.duration" {
				continue
			}
			for _, kv := range d.Attributes {
				if kv.Key == "http.route" {
					c.requests[name+kv.GetStringValue()] += d.GetHistogram().Count
					c.seconds[name+kv.GetStringValue()] += d.GetHistogram().Sum
				}
			}
		}
	}
}

// Counts are exact although instances are killed and begin anew in between: one takes over the windows that another
// began.
func TestMetricsAreExact(t *testing.T) {
	t.Parallel()
	env := environment(t)
	env.Config.Metrics.Interval = time.Second
	const requests = 600
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint64(requests) {
			key := identity.Key{Flow: i<<32 | (i+1)*7919, Offset: i}
			x := &millracev1.Exchange{
				Key: key.Proto(), Side: millracev1.Side_SIDE_SERVER, Process: 1 + i%3, StartUnixNs: 1e18, EndUnixNs: 1e18 + 1e6,
				Outcome: millracev1.Outcome_OUTCOME_COMPLETE,
				Detail:  &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{Method: "GET", Target: fmt.Sprint("/orders/", i), Status: 200}},
			}
			publish(t, env, bus.ExchangeSubject(bus.ConnectionPartition(key.Flow, env.Bus.Partitions())), &millracev1.ExchangeBatch{
				Version: 1, Exchanges: []*millracev1.Exchange{x},
				Processes: []*millracev1.Process{{Id: x.Process, RuleServiceName: fmt.Sprint("shop-", x.Process)}},
			})
			time.Sleep(20 * time.Millisecond)
		}
	}()
	// Two are killed in the middle of windows, far from a checkpoint; then one stops in an orderly way.
	kill(t, env, 2300*time.Millisecond)
	kill(t, env, 6700*time.Millisecond)
	stop := run(t, env)
	time.Sleep(500 * time.Millisecond)
	stop()
	defer run(t, env)()
	<-done

	consumer, err := env.Bus.JetStream().OrderedConsumer(ctx, bus.StreamMetric, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{t: t, last: map[numbering]uint64{}, requests: map[string]uint64{}, seconds: map[string]float64{}}
	total := func() (n uint64) {
		for _, count := range c.requests {
			n += count
		}
		return n
	}
	for total() < requests && ctx.Err() == nil {
		batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			data, err := bus.Decompress(m.Headers().Get(bus.HeaderEncoding), nil, m.Data(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			b := &millracev1.MetricBatch{}
			if err := b.UnmarshalVT(data); err != nil {
				t.Fatal(err)
			}
			c.take(m.Subject(), b)
		}
	}
	for i := 1; i <= 3; i++ {
		series := fmt.Sprintf("shop-%d/orders/*", i)
		if c.requests[series] != requests/3 {
			t.Errorf("%s: %d requests, want %d (%v)", series, c.requests[series], requests/3, c.requests)
		}
		if s := c.seconds[series]; s < 0.1999 || s > 0.2001 {
			t.Errorf("%s: %v s, want 0.2", series, s)
		}
	}
	t.Logf("%d batches came again", c.repeated)
}

// kill runs an instance in a process of its own for a while and then kills it.
func kill(t *testing.T, env *service.Env, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), urlVariable+"="+env.Config.Bus.URL)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // It was killed.
}

const urlVariable = "ENRICHER_TEST_BUS"

// TestMain lets the test binary be an instance of the enricher.
func TestMain(m *testing.M) {
	if url := os.Getenv(urlVariable); url != "" {
		if err := instance(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func instance(url string) error {
	ctx := context.Background()
	cfg := testConfig()
	cfg.Bus.URL = url
	cfg.Metrics.Interval = time.Second
	conn, err := bus.Connect(ctx, cfg.Bus, "instance")
	if err != nil {
		return err
	}
	defer conn.Close()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "enricher")
	if err != nil {
		return err
	}
	return enricher.Run(ctx, &service.Env{Config: cfg, Bus: conn, Telemetry: tel})
}
