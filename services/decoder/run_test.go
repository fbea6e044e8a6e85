package decoder_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// TestRun publishes a raw batch on a real NATS server and takes the exchanges from it.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg := config.Default()
	cfg.Bus.Partitions = 2
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	conn, err := bus.Connect(ctx, cfg.Bus, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := bus.EnsureStreams(ctx, conn); err != nil {
		t.Fatal(err)
	}
	self, err := telemetry.New(cfg.Telemetry, "decoder")
	if err != nil {
		t.Fatal(err)
	}
	messages := make(chan *nats.Msg, 64)
	subscription, err := conn.NATS().ChanSubscribe("millrace.exchange.*", messages)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = subscription.Unsubscribe() }()

	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- decoder.Run(running, &service.Env{Config: cfg, Bus: conn, Telemetry: self}) }()

	traffic := decodertest.New()
	c, s := traffic.Dial()
	decodertest.Pass(c, s, "GET /a HTTP/1.1\r\n\r\n")
	decodertest.Pass(s, c, reply)
	if _, err := conn.Publish(ctx, bus.RawSubject(0, "n"), "", traffic.Batch(1, traffic.Events)); err != nil {
		t.Fatal(err)
	}
	for got := 0; got < 2; {
		select {
		case m := <-messages:
			b, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), nil, m.Data, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var batch millracev1.ExchangeBatch
			if err := batch.UnmarshalVT(b); err != nil {
				t.Fatal(err)
			}
			got += len(batch.Exchanges)
		case err := <-done:
			t.Fatalf("the decoder stopped: %v", err)
		case <-ctx.Done():
			t.Fatal("no exchanges came")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
