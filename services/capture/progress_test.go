package capture

import (
	"context"
	"os"
	"os/exec"
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
	"millrace.dev/services/capture/internal/batch"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/selection"
)

// events is a kernel side without a kernel, whose buffer never holds anything back.
type events struct {
	queue  chan *kernel.Event
	closed chan struct{}
}

func (e *events) Run(handle func(*kernel.Event), idle func(drained bool)) error {
	for {
		select {
		case ev := <-e.queue:
			handle(ev)
		case <-time.After(5 * time.Millisecond):
			idle(true)
		case <-e.closed:
			return nil
		}
	}
}

func (e *events) Close() error                          { close(e.closed); return nil }
func (e *events) SetPolicy(uint32, kernel.Policy) error { return nil }
func (e *events) Tables() []kernel.Table                { return nil }

func (e *events) PlaceFrames(uint64, millracev1.Protocol, bool, [2]kernel.NextFrame) ([2]bool, error) {
	return [2]bool{true, true}, nil
}

func (e *events) SetVerdict(uint64, millracev1.Protocol, bool) error { return nil }

func (e *events) Losses() (kernel.Losses, error) { return nil, nil }

// spoken is what a node says.
type spoken struct {
	mu   sync.Mutex
	all  []*millracev1.RawBatch
	errs []error
}

func (s *spoken) take(m *nats.Msg) {
	b := &millracev1.RawBatch{}
	err := b.UnmarshalVT(m.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Header.Get(nats.MsgIdHdr) != "" {
		return // a batch of events, of the same partition by chance
	}
	if err != nil {
		s.errs = append(s.errs, err)
	}
	s.all = append(s.all, b)
}

func (s *spoken) last() (number int, newest *millracev1.NodeProgress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return 0, &millracev1.NodeProgress{}
	}
	return len(s.all), s.all[len(s.all)-1].Progress
}

// A node does not claim to have stored an event whose batch is not acknowledged, goes on saying so meanwhile, and takes
// its leave at the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Telemetry.LogLevel = "error"
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := bus.Connect(t.Context(), cfg.Bus, "capture-test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	heard := &spoken{}
	subject := bus.RawSubject(bus.NodePartition("test.node", conn.Partitions()), "test.node")
	if _, err := conn.NATS().Subscribe(subject, heard.take); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("sleep", "60")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	tel, err := telemetry.New(cfg.Telemetry, "capture")
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := process.New("test.node")
	if err != nil {
		t.Fatal(err)
	}
	if err := inventory.Scan(); err != nil {
		t.Fatal(err)
	}
	rules, err := selection.New(cfg.Discovery, uint32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	source := &events{queue: make(chan *kernel.Event), closed: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	start := batch.Monotonic()
	go func() {
		done <- run(ctx, &service.Env{Config: cfg, Bus: conn, Telemetry: tel}, parts{node: "test.node", rules: rules, inventory: inventory, source: source, connect: func(context.Context) (*bus.Conn, error) { return conn, nil }})
	}()
	// There is no stream yet: nothing is acknowledged.
	eventually(t, "progress while nothing happens", func() bool { _, p := heard.last(); return p.StoredNs > start })
	happened := batch.Monotonic()
	pid := uint32(command.Process.Pid)
	source.queue <- &kernel.Event{
		Kind: kernel.Send, PID: pid, Thread: pid, TimeNS: happened, Length: 5, Payload: []byte("GET /"),
		Connection: &kernel.Connection{Socket: 1, SendFlow: 1<<32 | 2, Owner: pid, Transport: millracev1.Transport_TRANSPORT_TCP},
	}
	number, _ := heard.last()
	eventually(t, "progress while a batch is not acknowledged", func() bool { n, _ := heard.last(); return n > number+4 })
	if _, p := heard.last(); p.StoredNs > happened || p.StoredNs < start {
		t.Errorf("said %d, and an event of %d waits", p.StoredNs, happened)
	}
	if err := bus.EnsureStreams(t.Context(), conn, bus.StreamRaw); err != nil {
		t.Fatal(err)
	}
	eventually(t, "progress past what was stored", func() bool { _, p := heard.last(); return p.StoredNs > happened })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last word", func() bool { _, p := heard.last(); return p.Last })
	stream, err := conn.JetStream().Stream(t.Context(), bus.StreamRaw)
	if err != nil {
		t.Fatal(err)
	}
	for sequence, batch := uint64(1), false; !batch; sequence++ {
		m, err := stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		b := &millracev1.RawBatch{}
		if batch = m.Header.Get(nats.MsgIdHdr) != ""; batch {
			continue
		}
		if err := b.UnmarshalVT(m.Data); err != nil || b.GetProgress().GetStoredNs() > happened {
			t.Errorf("before the batch in the stream: %v (%v)", b, err)
		}
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for i, b := range heard.all {
		if b.Node != "test.node" || b.Version != 1 || b.Sequence != 0 || b.Epoch == 0 || len(b.Events) != 0 || b.Progress.StoredNs > b.Progress.SentNs ||
			b.Progress.Last != (i == len(heard.all)-1) || i > 0 && b.Progress.StoredNs < heard.all[i-1].Progress.StoredNs {
			t.Errorf("message %d: %v", i, b)
		}
	}
	if len(heard.errs) > 0 {
		t.Error(heard.errs)
	}
}
