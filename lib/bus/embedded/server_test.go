package embedded_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
)

func quiet() embedded.Option { return embedded.WithLogger(slog.New(slog.DiscardHandler)) }

func TestInProcess(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	server, err := embedded.Start(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	if url := server.ClientURL(); url != "" {
		t.Errorf("listens on %s without being told to", url)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := bus.Connect(ctx, cfg, "test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := bus.EnsureStreams(ctx, conn); err != nil {
		t.Fatal(err)
	}
	future, err := conn.Publish(ctx, bus.RawSubject(3, "node-1"), "1", make([]byte, 5<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if future.Sequence() != 1 {
		t.Errorf("sequence %d, want 1", future.Sequence())
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Embedded.Listen = "127.0.0.1:0"
	server, err := embedded.Start(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	cfg.URL = server.ClientURL()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := bus.Connect(ctx, cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestListenErrors(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tt := range []struct{ listen, want string }{
		{taken.Addr().String(), "address already in use"},
		{"4222", "write host:port"},
		{"127.0.0.1:nats", "not a number"},
	} {
		cfg := config.Default().Bus
		cfg.Embedded.Listen = tt.listen
		server, err := embedded.Start(cfg, quiet())
		if err == nil {
			server.Shutdown()
			t.Errorf("%s: no error", tt.listen)
		} else if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bus.embedded.listen") {
			t.Errorf("%s: error %q, want %q", tt.listen, err, tt.want)
		}
	}
}

func TestFileStorageOutlivesServer(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Storage = config.StorageFile
	cfg.MaxBytes = 16 * config.MiB
	cfg.Embedded.StoreDir = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for want := uint64(1); want <= 2; want++ {
		server, err := embedded.Start(cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := bus.Connect(ctx, cfg, "test", server.InProcess())
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.EnsureStreams(ctx, conn); err != nil {
			t.Fatal(err)
		}
		future, err := conn.Publish(ctx, bus.ExchangeSubject(0), "", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if err := future.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if future.Sequence() != want {
			t.Errorf("sequence %d, want %d", future.Sequence(), want)
		}
		conn.Close()
		server.Shutdown()
	}
}

func TestTemporaryStorageIsRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	server, err := embedded.Start(config.Default().Bus, quiet())
	if err != nil {
		t.Fatal(err)
	}
	server.Shutdown()
	server.Shutdown()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("%s is left", entries[0].Name())
	}
}
