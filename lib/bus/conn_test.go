package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

// TestConnectFailsAtOnce has settings that can never work.
func TestConnectFailsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "not.pem")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent")
	for _, tt := range []struct {
		name string
		cfg  config.Bus
		want string
	}{
		{"no address", config.Bus{}, "bus.url is empty"},
		{"no credentials", config.Bus{URL: "nats://127.0.0.1:1", CredentialsFile: absent}, "bus.credentials_file: stat"},
		{"no authorities", config.Bus{URL: "nats://127.0.0.1:1", TLS: config.TLS{CAFile: absent}}, "absent"},
		{"authorities are not PEM", config.Bus{URL: "nats://127.0.0.1:1", TLS: config.TLS{CAFile: notPEM}}, "not.pem"},
		{"half a certificate", config.Bus{URL: "nats://127.0.0.1:1", TLS: config.TLS{CertFile: notPEM}}, "cert_file and key_file go together"},
		{"certificate is not PEM", config.Bus{URL: "nats://127.0.0.1:1", TLS: config.TLS{CertFile: notPEM, KeyFile: notPEM}}, "PEM"},
		{"malformed address", config.Bus{URL: "nats://u:hunter2@127.0.0.1:x"}, "connect to NATS at nats://***@127.0.0.1:x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			conn, err := bus.Connect(bounded(t), tt.cfg, "test")
			if err == nil {
				conn.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q, want %q", err, tt.want)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestConnectWaitsForServer(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Embedded.Listen = freeAddress(t)
	cfg.URL = "nats://" + cfg.Embedded.Listen
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if _, err := bus.Connect(ctx, cfg, "test"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "last attempt: connect to NATS at") {
		t.Errorf("no server: %v", err)
	}

	var mu sync.Mutex
	var states []bus.State
	seen := func(want ...bus.State) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(slices.Compact(slices.Clone(states)), want)
		}
	}
	connected := make(chan *bus.Conn, 1)
	go func() {
		conn, err := bus.ConnectObserved(bounded(t), cfg, "test", func(state bus.State, err error) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, state)
			if (state == bus.Waiting) != (err != nil) {
				t.Errorf("%s: error %v", state, err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		connected <- conn
	}()
	eventually(t, "an attempt", seen(bus.Waiting))
	server := start(t, cfg)
	conn := <-connected
	if conn == nil {
		t.FailNow()
	}
	eventually(t, "connected", seen(bus.Waiting, bus.Connected))
	server.Shutdown()
	eventually(t, "waiting again", seen(bus.Waiting, bus.Connected, bus.Waiting))
	start(t, cfg)
	eventually(t, "connected again", seen(bus.Waiting, bus.Connected, bus.Waiting, bus.Connected))
	conn.Close()
	conn.Close()
	eventually(t, "closed", seen(bus.Waiting, bus.Connected, bus.Waiting, bus.Connected, bus.Closed))
}

func TestRedacted(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                    "the embedded server",
		"nats://a:4222":                       "nats://a:4222",
		"nats://user:p@ss@a:4222, tls://t@b":  "nats://***@a:4222,tls://***@b",
		"user:pass@a":                         "***@a",
		"nats://a,nats://user:pass@[::1]:422": "nats://a,nats://***@[::1]:422",
	} {
		if got := bus.Redacted(url); got != want {
			t.Errorf("%q: %q, want %q", url, got, want)
		}
	}
}
