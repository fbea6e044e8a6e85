package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
)

// output is a buffer for several goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func startServer(t *testing.T, listen string) *embedded.Server {
	t.Helper()
	cfg := config.Default().Bus
	cfg.Embedded.Listen = listen
	s, err := embedded.Start(cfg, embedded.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("%s: not within 15 s", what)
}

// TestLife starts a service before its NATS server, takes the server away and gives it back, and stops the service.
func TestLife(t *testing.T) {
	t.Parallel()
	natsAddress, health := freeAddress(t), freeAddress(t)
	var stderr output
	c := command{
		name: "decoder", stderr: &stderr, stdout: io.Discard, stopTimeout: 5 * time.Second,
		environ: []string{
			"MILLRACE_BUS_URL=nats://user:hunter2@" + natsAddress, "MILLRACE_TELEMETRY_LISTEN=" + health, "MILLRACE_EBPF_HEURISTIC_SQL_DETECT=true",
		},
		run: func(ctx context.Context, env *Env) error {
			env.Telemetry.SetReady("decoder", nil)
			<-ctx.Done()
			return ctx.Err()
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- c.main(ctx) }()
	readyz := "http://" + health + "/readyz"
	eventually(t, "unready while NATS is away", func() bool {
		status, body := get(t, readyz)
		return status == http.StatusServiceUnavailable && strings.Contains(body, "bus: connect to NATS at nats://***@"+natsAddress) &&
			strings.Contains(body, "decoder: starting")
	})
	server := startServer(t, natsAddress)
	eventually(t, "ready", func() bool { status, body := get(t, readyz); return status == http.StatusOK && body == "ready\n" })
	if status, _ := get(t, "http://"+health+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	if _, body := get(t, "http://"+health+"/metrics"); !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_cpu_seconds_total") {
		t.Errorf("metrics: %.200s", body)
	}
	server.Shutdown()
	eventually(t, "unready again", func() bool { status, _ := get(t, readyz); return status == http.StatusServiceUnavailable })
	startServer(t, natsAddress)
	eventually(t, "ready again", func() bool { status, _ := get(t, readyz); return status == http.StatusOK })
	cancel()
	select {
	case got := <-code:
		if got != ExitOK {
			t.Errorf("exit code %d\n%s", got, stderr.String())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not stop")
	}
	log := stderr.String()
	if n := strings.Count(log, "waiting for NATS"); n < 2 || n > 4 {
		t.Errorf("%d lines about waiting, want one per change of state\n%s", n, log)
	}
	if n := strings.Count(log, "connected to NATS"); n < 2 || n > 4 {
		t.Errorf("%d lines about being connected\n%s", n, log)
	}
	if strings.Contains(log, "hunter2") {
		t.Errorf("the log shows a password\n%s", log)
	}
	if !strings.Contains(log, "ebpf.heuristic_sql_detect") {
		t.Errorf("nothing about the inactive key\n%s", log)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	server := startServer(t, "127.0.0.1:0")
	url := "MILLRACE_BUS_URL=" + server.ClientURL()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("bus:\n  urll: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	works := func(context.Context, *Env) error { return nil }
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		run     Run
		code    int
		want    string
	}{
		{name: "help", args: []string{"--help"}, code: ExitOK, want: "-config file"},
		{name: "version", args: []string{"version"}, code: ExitOK, want: "millrace-test"},
		{name: "version flag", args: []string{"--version"}, code: ExitOK, want: "millrace-test"},
		{name: "unknown flag", args: []string{"--nope"}, code: ExitUsage, want: "not defined"},
		{name: "argument", args: []string{"nope"}, code: ExitUsage, want: `unexpected argument "nope"`},
		{name: "configuration", args: []string{"--config", bad}, code: ExitUsage, want: `bad.yaml:2: unknown key "bus.urll": did you mean "bus.url"?`},
		{name: "configuration from the environment", environ: []string{"MILLRACE_CONFIG=" + bad}, code: ExitUsage, want: "bad.yaml:2"},
		{name: "no URL", code: ExitFailure, want: "bus.url is empty"},
		{name: "taken address", environ: []string{url, "MILLRACE_TELEMETRY_LISTEN=" + taken.Addr().String()}, code: ExitFailure, want: "is taken by another process"},
		{name: "partitions", environ: []string{url, "MILLRACE_BUS_PARTITIONS=7"}, code: ExitFailure, want: "number of partitions differs"},
		{name: "failure", environ: []string{url}, run: func(context.Context, *Env) error { return errors.New("broken") }, code: ExitFailure, want: "error=broken"},
		{name: "tool", args: []string{"look"}, code: ExitOK, want: "5 s"},
		{name: "tool that fails", args: []string{"fail"}, code: ExitFailure, want: "millrace-test fail: nothing there"},
		{name: "tool, wrong configuration", args: []string{"--config", "/nonexistent", "look"}, code: ExitUsage, want: "/nonexistent"},
		{name: "tool and more", args: []string{"look", "twice"}, code: ExitUsage, want: `unexpected argument "look"`},
		{name: "tools in the help", args: []string{"-h"}, code: ExitOK, want: "millrace-test [--config file] look    says what it sees"},
		{name: "early end", environ: []string{url}, run: works, code: ExitFailure, want: "ended by itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "partitions" {
				conn, err := bus.Connect(t.Context(), config.Default().Bus, "test", server.InProcess())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := bus.EnsureStreams(t.Context(), conn); err != nil {
					t.Fatal(err)
				}
			}
			var out output
			c := command{name: "test", args: tt.args, environ: tt.environ, run: tt.run, stdout: &out, stderr: &out, stopTimeout: time.Second, tools: []Tool{
				{Name: "look", About: "says what it sees", Run: func(_ context.Context, _ *config.Config, out io.Writer) error {
					_, err := io.WriteString(out, "5 s")
					return err
				}},
				{Name: "fail", Run: func(context.Context, *config.Config, io.Writer) error { return errors.New("nothing there") }},
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if code := c.main(ctx); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("output %q, want %q", out.String(), tt.want)
			}
		})
	}
}

func TestStopTimeout(t *testing.T) {
	t.Parallel()
	server := startServer(t, "127.0.0.1:0")
	var out output
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release)
	c := command{
		name: "test", environ: []string{"MILLRACE_BUS_URL=" + server.ClientURL()}, stdout: &out, stderr: &out, stopTimeout: 100 * time.Millisecond,
		run: func(context.Context, *Env) error { cancel(); <-release; return nil },
	}
	if code := c.main(ctx); code != ExitFailure || !strings.Contains(out.String(), "did not stop within") {
		t.Errorf("exit code %d, output %s", code, out.String())
	}
}

func TestStopWhileWaiting(t *testing.T) {
	t.Parallel()
	var out output
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	c := command{name: "test", environ: []string{"MILLRACE_BUS_URL=" + freeAddress(t)}, stdout: &out, stderr: &out, stopTimeout: time.Second}
	if code := c.main(ctx); code != ExitOK {
		t.Errorf("exit code %d, output %s", code, out.String())
	}
}
