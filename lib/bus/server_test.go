package bus_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
)

// start starts an embedded server.
func start(tb testing.TB, cfg config.Bus) *embedded.Server {
	tb.Helper()
	server, err := embedded.Start(cfg, embedded.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Shutdown)
	return server
}

// connect connects and creates the streams.
func connect(tb testing.TB, cfg config.Bus, options ...nats.Option) *bus.Conn {
	tb.Helper()
	conn, err := bus.Connect(bounded(tb), cfg, tb.Name(), options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	if err := bus.EnsureStreams(bounded(tb), conn); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func bounded(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	tb.Fatalf("%s: not within 20 s", what)
}
