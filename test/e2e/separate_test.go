package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// natsServer is an external NATS server that can go away and come back.
type natsServer struct {
	t       *testing.T
	binary  string
	config  string
	port    int
	command *exec.Cmd
}

func newNATS(t *testing.T) *natsServer {
	t.Helper()
	return newNATSWith(t, t.TempDir(), func(port int) string {
		return fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\nmax_payload: 8MB\n", port, t.TempDir())
	})
}

// newNATSWith has a configuration of its own, in a file in directory.
func newNATSWith(t *testing.T, directory string, configuration func(port int) string) *natsServer {
	t.Helper()
	path, err := product.Build(t.TempDir(), "github.com/nats-io/nats-server/v2")
	if err != nil {
		t.Fatal(err)
	}
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(directory, "nats.conf")
	if err := os.WriteFile(config, []byte(configuration(port)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &natsServer{t: t, binary: path, config: config, port: port}
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	s.command = exec.Command(s.binary, "-c", s.config)
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	listening(s.t, s.port)
}

func (s *natsServer) stop() {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Signal(syscall.SIGTERM)
	_ = s.command.Wait()
	s.command = nil
}

// Five kinds of processes against an external NATS server, three decoders and two enrichers among them. NATS is away at
// the start, and goes away and comes back while there is traffic.
func TestSeparateProcesses(t *testing.T) {
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	server := newNATS(t)
	directory := t.TempDir()
	file := filepath.Join(directory, "spans.jsonl")
	config := fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n  storage: file\n", server.port)
	var instances []*product.Instance
	t.Cleanup(func() {
		for _, i := range instances {
			if err := i.Stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			for _, i := range instances {
				t.Logf("log of process %d:\n%s", i.PID(), tail(i.Log(), 40))
			}
		}
	})
	for n, service := range []string{"capture", "decoder", "decoder", "decoder", "enricher", "enricher", "exporter"} {
		i, err := product.Start(product.Options{
			Binary: path, Arguments: []string{service}, Directory: directory, Name: fmt.Sprint(service, n),
			Config: config, NoFile: service != "exporter", Spans: file,
		})
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
	}
	time.Sleep(2 * time.Second)
	for _, i := range instances { // NATS is away: alive and not ready
		select {
		case <-i.Exited():
			t.Fatal("ended because NATS was away: " + i.Log())
		default:
		}
		if response, err := http.Get("http://" + i.Address + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				t.Errorf("process %d is ready without NATS", i.PID())
			}
		}
	}
	server.start()
	for _, i := range instances {
		if err := i.Ready(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	o := &observed{Instance: instances[0], index: spans.Follow(file)}
	t.Cleanup(o.index.Close)
	round := func(name string, scenes int) []*scene {
		var out []*scene
		for n := range scenes {
			s := newScene(t)
			s.open("c")
			for k := range 5 {
				s.turn("c", get(fmt.Sprintf("/separate/%s/%d/%d", name, n, k), 200, 10))
			}
			s.close("c")
			s.play()
			out = append(out, s)
		}
		return out
	}
	check := func(scenes []*scene) {
		t.Helper()
		for _, s := range scenes {
			s.check(o)
		}
	}
	check(round("before", 4))
	server.stop()
	away := round("away", 4)
	time.Sleep(3 * time.Second)
	server.start()
	for _, i := range instances {
		if err := i.Ready(30 * time.Second); err != nil {
			t.Error(err)
		}
	}
	check(away)
	check(round("after", 4))
	for _, failure := range o.audit() {
		t.Error(failure)
	}
}

func tail(log string, n int) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// NATS away for longer than the send buffer lasts: the oldest batches go, every one is counted, and capture goes on
// afterwards.
func TestSendBufferOverflow(t *testing.T) {
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	server := newNATS(t)
	server.start()
	capture, err := product.Start(product.Options{
		Binary: path, Arguments: []string{"capture"}, Directory: t.TempDir(), NoFile: true,
		Config: fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n  max_pending: 1MiB\ncapture:\n  send_buffer: 1MiB\n", server.port),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := capture.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(tail(capture.Log(), 40))
		}
	})
	if err := capture.Ready(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	server.stop()
	s := newScene(t)
	s.open("c")
	ask := request("GET", "/overflow/{{i}}")
	answer := response(200, 0)
	s.onClient(actor.Step{Op: actor.Loop, Count: 60_000, Steps: []actor.Step{
		{Op: actor.Send, Conn: "c", Data: ask}, {Op: actor.Receive, Conn: "c", N: len(answer)},
	}})
	s.onServer(actor.Step{Op: actor.Loop, Count: 60_000, Steps: []actor.Step{
		{Op: actor.Receive, Conn: "c", N: len(ask) - len("{{i}}") + 6}, {Op: actor.Send, Conn: "c", Data: answer},
	}})
	s.close("c")
	s.play()
	o := &observed{Instance: capture}
	counted := false
	for end := time.Now().Add(deadline); time.Now().Before(end) && !counted; time.Sleep(100 * time.Millisecond) {
		for _, line := range o.losses() {
			counted = counted || strings.Contains(line, "send_buffer")
		}
	}
	if !counted {
		m, err := capture.Metrics()
		t.Errorf("no loss is counted for the send buffer: %v %v", m, err)
	}
	server.start()
	if err := capture.Ready(30 * time.Second); err != nil {
		t.Error(err)
	}
	if log := capture.Log(); strings.Count(log, "\n") > 60 {
		t.Errorf("%d lines of log about an outage", strings.Count(log, "\n"))
	}
}
