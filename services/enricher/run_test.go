package enricher_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/enricher"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func testConfig() *config.Config {
	cfg := config.Default()
	cfg.Bus.Partitions = 4
	cfg.Enricher.HoldTime = 500 * time.Millisecond
	return cfg
}

func environment(t *testing.T) *service.Env {
	t.Helper()
	cfg := testConfig()
	cfg.Bus.Embedded.Listen = "127.0.0.1:0"
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := bus.Connect(t.Context(), cfg.Bus, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.EnsureStreams(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	cfg.Bus.URL = server.ClientURL()
	return &service.Env{Config: cfg, Bus: conn}
}

// run starts an instance and gives what stops it.
func run(t *testing.T, env *service.Env) (stop func()) {
	t.Helper()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "enricher")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- enricher.Run(ctx, &service.Env{Config: env.Config, Bus: env.Bus, Telemetry: tel})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func publish(t *testing.T, env *service.Env, subject string, m interface{ MarshalVT() ([]byte, error) }) {
	t.Helper()
	data, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := env.Bus.Publish(t.Context(), subject, "", data); err != nil {
		t.Fatal(err)
	}
}

// A chain over four connections, whose starts one instance reads and whose ends another, comes out as one trace.
func TestRunHandsOver(t *testing.T) {
	t.Parallel()
	env := environment(t)
	partitions := env.Bus.Partitions()
	var keys []identity.Key
	for i := range uint64(4) {
		keys = append(keys, identity.Key{Flow: i<<32 | (i+1)*7919, Offset: i})
	}
	stop := run(t, env)
	link := func(flow uint64, l *millracev1.Link) {
		publish(t, env, bus.LinkSubject(bus.ConnectionPartition(flow, partitions)), &millracev1.LinkBatch{Version: 1, Links: []*millracev1.Link{l}})
	}
	for i := len(keys) - 1; i >= 0; i-- { // The innermost is heard of first.
		client := &millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, Key: keys[i].Proto()}
		if i > 0 {
			client.Cause = keys[i-1].Proto()
			link(keys[i-1].Flow, &millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_ASK, Key: keys[i].Proto(), Cause: client.Cause})
		}
		link(keys[i].Flow, client)
		link(keys[i].Flow, &millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_SERVER_STARTED, Key: keys[i].Proto()})
	}
	time.Sleep(time.Second)
	stop()
	defer run(t, env)()
	for i, key := range keys {
		for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
			x := &millracev1.Exchange{Key: key.Proto(), Side: side, Process: 1, StartUnixNs: 1e18, EndUnixNs: 1e18 + 1e6}
			if i > 0 && side == millracev1.Side_SIDE_CLIENT {
				x.Cause = keys[i-1].Proto()
			}
			publish(t, env, bus.ExchangeSubject(bus.ConnectionPartition(key.Flow, partitions)), &millracev1.ExchangeBatch{
				Version: 1, Exchanges: []*millracev1.Exchange{x}, Processes: []*millracev1.Process{{Id: 1, RuleServiceName: "shop"}},
			})
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	consumer, err := env.Bus.JetStream().OrderedConsumer(ctx, bus.StreamSpan, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	parents := map[uint64]uint64{}
	for len(parents) < 8 {
		batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			data, err := bus.Decompress(m.Headers().Get(bus.HeaderEncoding), nil, m.Data(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var spans millracev1.SpanBatch
			if err := spans.UnmarshalVT(data); err != nil {
				t.Fatal(err)
			}
			for _, s := range spans.Spans {
				if [16]byte(s.TraceId) != identity.Trace(keys[0]) {
					t.Errorf("trace %x", s.TraceId)
				}
				parents[s.SpanId] = s.ParentSpanId
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("%d spans, want 8", len(parents))
		}
	}
	want := uint64(0)
	for _, key := range keys {
		for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
			id := identity.Span(key, side)
			if parent, found := parents[id]; !found || parent != want {
				t.Errorf("span %x has parent %x (%v), want %x", id, parent, found, want)
			}
			want = id
		}
	}
}
