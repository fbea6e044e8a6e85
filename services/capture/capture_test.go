package capture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

// collector reads RawBatches off the bus.
type collector struct {
	mu      sync.Mutex
	batches []*millracev1.RawBatch
	err     error
}

func (c *collector) message(m *nats.Msg) {
	data, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), nil, m.Data, 16<<20)
	b := &millracev1.RawBatch{}
	if err == nil {
		err = b.UnmarshalVT(data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(c.err, err)
	c.batches = append(c.batches, b)
}

// stream puts together what an end moved in one direction on connections to port: bytes not shipped show as '~'.
func (c *collector) stream(t *testing.T, port uint32, server bool, kind millracev1.EventKind) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[uint64][]byte{}
	var sockets []uint64
	for _, b := range c.batches {
		for _, ev := range b.Events {
			if ev.Connection == 0 || ev.Kind != kind {
				continue
			}
			k := b.Connections[ev.Connection-1]
			if (server && k.LocalPort != port) || (!server && k.RemotePort != port) {
				continue
			}
			if !slices.ContainsFunc(b.Processes, func(p *millracev1.Process) bool { return p.Id == k.Process }) {
				t.Errorf("batch %d/%d lacks process %d", b.Partition, b.Sequence, k.Process)
			}
			if _, known := out[k.Socket]; !known {
				sockets = append(sockets, k.Socket)
			}
			s := out[k.Socket]
			for uint64(len(s)) < ev.Offset+uint64(ev.Length) {
				s = append(s, '~')
			}
			segments := ev.Segments
			if segments == nil {
				segments = []uint32{0, uint32(len(ev.Payload))}
			}
			from := uint32(0)
			for i := 0; i < len(segments); i += 2 {
				copy(s[ev.Offset+uint64(segments[i]):], ev.Payload[from:from+segments[i+1]])
				from += segments[i+1]
			}
			out[k.Socket] = s
		}
	}
	var all strings.Builder
	for _, socket := range sockets {
		all.Write(out[socket])
	}
	return all.String()
}

func (c *collector) process(match func(*millracev1.Process) bool) *millracev1.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.batches {
		for _, p := range b.Processes {
			if match(p) {
				return p
			}
		}
	}
	return nil
}

// startCapture runs capture against an embedded server.
func startCapture(t *testing.T, change func(*config.Config)) *collector {
	t.Helper()
	cfg := config.Default()
	cfg.Capture.Node = "test-node"
	cfg.Telemetry.LogLevel = "error"
	cfg.Capture.DropPrivileges = false // this process has more tests to run
	if change != nil {
		change(cfg)
	}
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	ctx, cancel := context.WithCancel(context.Background())
	connection, err := bus.Connect(ctx, cfg.Bus, "capture-test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	tel, err := telemetry.New(cfg.Telemetry, "capture")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{}
	if _, err := connection.NATS().Subscribe("millrace.raw.>", c.message); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- Run(ctx, &service.Env{Config: cfg, Bus: connection, Telemetry: tel}) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-stopped:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not stop")
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if ready, _ := tel.Ready(); ready {
			return c
		}
		select {
		case err := <-stopped:
			stopped <- nil
			if errors.Is(err, kernel.ErrNoCapability) || errors.Is(err, kernel.ErrNoBTF) {
				t.Skipf("this machine cannot capture: %v", err)
			}
			t.Fatalf("Run: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("not ready in time")
		}
	}
}

func freePort(t *testing.T) uint32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint32(l.Addr().(*net.TCPAddr).Port)
}

// background starts a server and waits until it listens.
func background(t *testing.T, port uint32, name string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	command := exec.Command(name, args...)
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "OTEL_SERVICE_NAME=backend")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return command
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

// shell runs clients. A child of this process would have its policy, which is to be ignored at both ends of a
// connection, until the exec has been seen, and a client that lives for 5 ms connects before that. So clients are
// children of a shell that was there before capture.
type shell struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func newShell(t *testing.T) *shell {
	t.Helper()
	command := exec.Command("sh")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = command.Wait() })
	return &shell{in: in, out: bufio.NewReader(out)}
}

// run runs a client and waits for it.
func (s *shell) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	line := "timeout 10 " + name
	for _, arg := range args {
		line += " '" + arg + "'"
	}
	if _, err := io.WriteString(s.in, line+" >/dev/null; echo status $?\n"); err != nil {
		t.Fatal(err)
	}
	if status, err := s.out.ReadString('\n'); err != nil || status != "status 0\n" {
		t.Fatalf("%s: %q %v", name, status, err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not seen in time", what)
		}
	}
}

const (
	sent     = millracev1.EventKind_EVENT_KIND_SEND
	received = millracev1.EventKind_EVENT_KIND_RECEIVE
)

func TestRedisOnTheKernel(t *testing.T) {
	port := freePort(t)
	server := background(t, port, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "hush")
	sh := newShell(t)
	c := startCapture(t, func(cfg *config.Config) {
		cfg.Discovery.Services = []config.Service{{Name: "store", OpenPorts: fmt.Sprint(port)}}
	})
	sh.run(t, "redis-cli", "-p", fmt.Sprint(port), "--no-auth-warning", "-a", "hush", "SET", "key", strings.Repeat("v", 3000))
	const auth = "*2\r\n$4\r\nAUTH\r\n$4\r\n****\r\n"
	set := "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3000\r\n" + strings.Repeat("*", 256) + strings.Repeat("~", 3000-256) + "\r\n"
	eventually(t, "the reply", func() bool { return strings.HasSuffix(c.stream(t, port, false, received), "+OK\r\n+OK\r\n") })
	for _, got := range []string{c.stream(t, port, false, sent), c.stream(t, port, true, received)} {
		if !strings.HasPrefix(got, auth) || !strings.HasSuffix(got, set) {
			t.Errorf("request %.200q (%d bytes)", got, len(got))
		}
	}
	if got := c.stream(t, port, true, sent); !strings.HasSuffix(got, "+OK\r\n+OK\r\n") {
		t.Errorf("reply %q", got)
	}
	p := c.process(func(p *millracev1.Process) bool { return p.Pid == uint32(server.Process.Pid) })
	// Its environment is not checked: Redis writes its title over it.
	if p == nil || p.RuleServiceName != "store" || !slices.Contains(p.ListenPorts, port) ||
		p.Language != "cpp" || slices.Contains(p.CommandArgs, "hush") {
		t.Errorf("server %v", p)
	}
	p = c.process(func(p *millracev1.Process) bool { return strings.HasSuffix(p.ExecutablePath, "/redis-cli") })
	if p == nil || p.RuleServiceName != "" || slices.Contains(p.CommandArgs, "hush") {
		t.Errorf("client %v", p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		t.Error(c.err)
	}
	for _, b := range c.batches {
		for _, p := range b.Processes {
			if p.Pid == uint32(os.Getpid()) {
				t.Errorf("captured itself: %v", p)
			}
		}
		if data, err := b.MarshalVT(); err != nil || bytes.Contains(data, []byte("hush")) {
			t.Errorf("batch %d/%d has the password (%v)", b.Partition, b.Sequence, err)
		}
	}
}

func TestHTTPOnTheKernel(t *testing.T) {
	port := freePort(t)
	background(t, port, "python3", "-m", "http.server", "--bind", "127.0.0.1", fmt.Sprint(port))
	sh := newShell(t)
	c := startCapture(t, nil)
	sh.run(t, "curl", "-s", "-H", "Authorization: Bearer hush", "-d", "the body", "-X", "POST",
		fmt.Sprintf("http://127.0.0.1:%d/path?token=hush&a=b", port))
	head := "POST /path?token=****&a=b HTTP/1.1\r\n"
	eventually(t, "both ends of the exchange", func() bool {
		return strings.HasPrefix(c.stream(t, port, true, sent), "HTTP/1.0 501") && strings.HasPrefix(c.stream(t, port, false, received), "HTTP/1.0 501") &&
			// The server sends head and body by calls of their own.
			strings.HasSuffix(c.stream(t, port, true, received), "~~~~~~~~") && strings.HasSuffix(c.stream(t, port, true, sent), "~")
	})
	for _, got := range []string{c.stream(t, port, false, sent), c.stream(t, port, true, received)} {
		if !strings.HasPrefix(got, head) || !strings.Contains(got, "\r\nAuthorization: ***********\r\n") || !strings.HasSuffix(got, "\r\n\r\n~~~~~~~~") {
			t.Errorf("request %q", got)
		}
	}
	if got := c.stream(t, port, true, sent); strings.Contains(got, "<html") || !strings.HasSuffix(got, "~") {
		t.Errorf("response %q", got)
	}
	p := c.process(func(p *millracev1.Process) bool { return p.Language == "python" && p.OtelServiceName == "backend" })
	if p == nil || !slices.Contains(p.ListenPorts, port) || !strings.HasPrefix(p.RuntimeVersion, "3.") {
		t.Errorf("server %v", p)
	}
}

func TestDoctor(t *testing.T) {
	var out bytes.Buffer
	if err := Doctor(t.Context(), config.Default(), &out); err != nil {
		t.Logf("this machine cannot capture: %v", err)
	}
	for _, want := range []string{"kernel", "BTF", "CAP_BPF", "ring buffer", "cgroup", "lockdown", "drop privileges", "rules about pods"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	_, _ = io.Copy(t.Output(), &out)
}
