package chaos

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

// strait is a way to a server that can be closed: what is sent meanwhile waits in it, both ways, and no connection is
// told.
type strait struct {
	t        *testing.T
	listener net.Listener
	to       string
	passing  sync.RWMutex // held for writing while it is closed

	mu   sync.Mutex
	both []net.Conn
}

func newStrait(t *testing.T, to string) *strait {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &strait{t: t, listener: listener, to: to}
	t.Cleanup(func() {
		_ = listener.Close()
		s.cut()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", s.to)
			if err != nil {
				_ = near.Close()
				continue
			}
			s.mu.Lock()
			s.both = append(s.both, near, far)
			s.mu.Unlock()
			go s.pass(near, far)
			go s.pass(far, near)
		}
	}()
	return s
}

func (s *strait) url() string { return "nats://" + s.listener.Addr().String() }

func (s *strait) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		s.passing.RLock()
		if n > 0 {
			_, _ = to.Write(buffer[:n]) // If it fails, so does reading.
		}
		s.passing.RUnlock()
		if err != nil {
			return
		}
	}
}

// cut ends what connections there are.
func (s *strait) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.both {
		_ = c.Close()
	}
	s.both = nil
}

// cross connects to NATS through a strait.
func (d *deployment) cross(cfg config.Bus) *bus.Conn {
	d.t.Helper()
	d.strait = newStrait(d.t, strings.TrimPrefix(d.nats.URL(), "nats://"))
	cfg.URL = d.strait.url()
	conn, err := bus.Connect(d.t.Context(), cfg, "second node")
	d.must(err)
	d.t.Cleanup(conn.Close)
	return conn
}

// held is by how many seconds waits are prolonged at most.
func (d *deployment) held() (most float64) {
	d.t.Helper()
	for _, i := range d.running[enricher] {
		m, err := i.Metrics()
		d.must(err)
		for name, value := range m {
			if strings.HasPrefix(name, "millrace_enricher_held_seconds") {
				most = max(most, value)
			}
		}
	}
	return most
}

// One of two nodes cannot publish for longer than the hold time while the other goes on: of each call that crosses
// them, one side is late. Once its packets do not get through for 8 s, and once its connections are lost with what was
// on its way, and nothing gets through for 3 s.
func TestNodeLate(t *testing.T) {
	d := deploy(t, shape{strait: true})
	time.Sleep(3 * time.Second)
	most := 0.0
	for range 30 {
		time.Sleep(100 * time.Millisecond)
		most = max(most, d.held())
	}
	t.Logf("with all nodes in time, waits are held by %.1f s at most", most)
	for _, outage := range []struct {
		lasts time.Duration
		cut   bool
	}{{8 * time.Second, false}, {3 * time.Second, true}} {
		d.strait.passing.Lock()
		if outage.cut {
			d.strait.cut()
		}
		time.Sleep(outage.lasts)
		t.Logf("after %v, waits are held by %.1f s", outage.lasts, d.held())
		d.strait.passing.Unlock()
		time.Sleep(5 * time.Second)
	}
	d.check()
}
