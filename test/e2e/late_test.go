package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// lateBus is a set of processes of Millrace whose NATS server is not there yet.
type lateBus struct {
	*observed
	server *natsServer
	rest   func() // starts what does not capture
}

// startLate starts the processes and waits until the one that captures does.
func startLate(t *testing.T, together bool, settings string) *lateBus {
	t.Helper()
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	l := &lateBus{server: newNATS(t), observed: &observed{}}
	directory := t.TempDir()
	file := filepath.Join(directory, "spans.jsonl")
	var instances []*product.Instance
	t.Cleanup(func() {
		for _, i := range instances {
			if err := i.Stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("log of process %d:\n%s", i.PID(), tail(i.Log(), 40))
			}
		}
	})
	launch := func(arguments ...string) *product.Instance {
		i, err := product.Start(product.Options{
			Binary: path, Arguments: arguments, Directory: directory, Spans: file, NoFile: arguments[0] != "exporter" && arguments[0] != "run",
			Config: fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n  storage: file\n%s", l.server.port, settings),
		})
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
		return i
	}
	services := []string{"decoder", "enricher", "exporter"}
	if together {
		services = nil
		l.Instance = launch("run", "--quiet")
	} else {
		l.Instance = launch("capture")
	}
	l.rest = func() {
		l.server.start()
		for _, service := range services {
			launch(service)
		}
		for _, i := range instances {
			if err := i.Ready(30 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.index = spans.Follow(file)
	t.Cleanup(l.index.Close)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(l.Log(), "msg=capturing"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("does not capture without NATS: " + l.Log())
		}
	}
	if response, err := http.Get("http://" + l.Address + "/readyz"); err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("ready without NATS: %v %v", response, err)
	}
	return l
}

// What happens while NATS is not there yet is seen, and comes once it is.
func TestNATSComesLate(t *testing.T) {
	for name, together := range map[string]bool{"separate": false, "all-in-one": true} {
		t.Run(name, func(t *testing.T) {
			l := startLate(t, together, "")
			s := newScene(t)
			s.open("c")
			for k := range 20 {
				s.turn("c", get(fmt.Sprintf("/late/%d", k), 200, 10))
			}
			s.close("c")
			s.play()
			l.rest()
			s.check(l.observed)
			for _, line := range l.losses() {
				if strings.Contains(line, "send_buffer") {
					t.Error("lost: " + line)
				}
			}
		})
	}
}

// More than the buffer holds: what is missing is what was counted, in events and in bytes.
func TestNATSComesTooLate(t *testing.T) {
	const exchanges = 60_000
	l := startLate(t, true, "capture:\n  send_buffer: 1MiB\ndiscovery:\n  services:\n  - exe_path: '*/e2e.test'\n")
	s := newScene(t)
	s.open("c")
	ask, answer := request("GET", "/late/{{i}}"), response(200, 0)
	s.onClient(actor.Step{Op: actor.Loop, Count: exchanges, Steps: []actor.Step{
		{Op: actor.Send, Conn: "c", Data: ask}, {Op: actor.Receive, Conn: "c", N: len(answer)},
	}})
	s.onServer(actor.Step{Op: actor.Loop, Count: exchanges, Steps: []actor.Step{
		{Op: actor.Receive, Conn: "c", N: len(ask) - len("{{i}}") + 6}, {Op: actor.Send, Conn: "c", Data: answer},
	}})
	s.close("c")
	s.play()
	const lostEvents, lostBytes = `millrace_capture_lost_total{cause="send_buffer_full"}`, `millrace_capture_lost_bytes_total{cause="send_buffer_full"}`
	metrics := func() map[string]float64 {
		m, err := l.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	// Each end has two events for each exchange, and a few for its connection and its threads.
	const least, most = 4 * exchanges, 4*exchanges + 1000
	l.rest()
	var m map[string]float64
	for end := time.Now().Add(3 * deadline); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if m = metrics(); m["millrace_decoder_events_total"]+m[lostEvents] >= least {
			break
		}
	}
	decoded, lost := m["millrace_decoder_events_total"], m[lostEvents]
	if decoded == 0 || lost == 0 || decoded+lost < least || decoded+lost > most || m[lostBytes] < 40*lost {
		t.Errorf("%g events decoded and %g lost (%g bytes), of at least %d", decoded, lost, m[lostBytes], least)
	}
	if held := decoded * 40; held < 1<<20 {
		t.Errorf("a buffer of 1 MiB held %g events", decoded)
	}
}
