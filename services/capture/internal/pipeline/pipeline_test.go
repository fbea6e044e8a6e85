package pipeline

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/selection"
	"millrace.dev/services/capture/internal/send"
)

// source is a kernel side without a kernel.
type source struct {
	mu       sync.Mutex
	policies map[uint32]kernel.Policy
	verdicts []millracev1.Protocol
	losses   kernel.Losses
}

func (s *source) Run(func(*kernel.Event), func(bool)) error { return nil }
func (s *source) Close() error                              { return nil }
func (s *source) Tables() []kernel.Table                    { return nil }
func (s *source) Losses() (kernel.Losses, error)            { return s.losses, nil }

func (s *source) SetPolicy(pid uint32, p kernel.Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies[pid] = p
	return nil
}

func (s *source) PlaceFrames(uint64, millracev1.Protocol, bool, [2]kernel.NextFrame) ([2]bool, error) {
	return [2]bool{true, true}, nil
}

func (s *source) SetVerdict(_ uint64, p millracev1.Protocol, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verdicts = append(s.verdicts, p)
	return nil
}

// output keeps batches.
type output struct {
	batches []*millracev1.RawBatch
	drop    bool
	discard bool
	buffer  []byte
}

func (o *output) Collect(d []send.Dropped) []send.Dropped { return d }
func (o *output) Buffer() []byte                          { return o.buffer[:0] }

func (o *output) Push(b send.Batch, d []send.Dropped) []send.Dropped {
	if o.discard {
		o.buffer = b.Data
		return d
	}
	if o.drop {
		return append(d, send.Dropped{Partition: b.Partition, Events: b.Events, Bytes: len(b.Data), Losses: b.Losses})
	}
	m := &millracev1.RawBatch{}
	if err := m.UnmarshalVT(b.Data); err != nil {
		panic(err)
	}
	o.batches = append(o.batches, m)
	return d
}

func (o *output) events() (events []*millracev1.Event) {
	for _, b := range o.batches {
		events = append(events, b.Events...)
	}
	return events
}

// fixture is a pipeline over this machine's processes, of which one, a sleeping child, is what events are about.
type fixture struct {
	*Pipeline
	source *source
	out    *output
	pid    uint32
}

func newFixture(tb testing.TB, discovery config.Discovery) *fixture {
	tb.Helper()
	command := exec.Command("sleep", "60")
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	pid := uint32(command.Process.Pid)
	// Start returns before the child's exec is done.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(name) == "sleep\n" {
			break
		}
	}
	inventory, err := process.New("node")
	if err != nil {
		tb.Fatal(err)
	}
	if err := inventory.Scan(); err != nil {
		tb.Fatal(err)
	}
	rules, err := selection.New(discovery, uint32(os.Getpid()))
	if err != nil {
		tb.Fatal(err)
	}
	cfg := config.Default().Capture
	f := &fixture{source: &source{policies: map[uint32]kernel.Policy{}}, out: &output{}, pid: pid}
	f.Pipeline, err = New(Options{
		Node: "node", Epoch: 1, Partitions: 8, Config: cfg, Rules: rules, Inventory: inventory, Source: f.source, Output: f.out,
	})
	if err != nil {
		tb.Fatal(err)
	}
	f.Start()
	return f
}

func (f *fixture) connect(remote string) *kernel.Connection {
	return &kernel.Connection{
		Socket: 1, SendFlow: 1<<32 | 2, Owner: f.pid, Transport: millracev1.Transport_TRANSPORT_TCP, Role: millracev1.Role_ROLE_CLIENT,
		Local: netip.MustParseAddrPort("127.0.0.1:50000"), Remote: netip.MustParseAddrPort(remote),
	}
}

func (f *fixture) send(k *kernel.Connection, offset uint64, text string) {
	f.Handle(&kernel.Event{
		Kind: kernel.Send, Connection: k, PID: f.pid, Thread: f.pid, TimeNS: 5, Offset: offset, Length: uint32(len(text)), Payload: []byte(text),
	})
}

func TestEventsReachTheirPartition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	k := f.connect("127.0.0.1:80")
	k.Owner = 0
	f.Handle(&kernel.Event{Kind: kernel.Open, Connection: k, TimeNS: 4})
	k.Owner = f.pid
	f.send(k, 0, "GET / HTTP/1.1\r\nCookie: abc\r\n\r\n")
	f.Handle(&kernel.Event{Kind: kernel.TaskStart, PID: f.pid, Thread: 7, ParentThread: f.pid})
	f.Handle(&kernel.Event{Kind: kernel.Receive, Connection: k, PID: uint32(os.Getppid()), Length: 0})
	f.Handle(&kernel.Event{Kind: kernel.Close, Connection: k})
	f.Handle(&kernel.Event{Kind: kernel.ProcessExit, PID: f.pid})
	f.Finish()
	if len(f.out.batches) != 1 {
		t.Fatalf("%d batches", len(f.out.batches))
	}
	b := f.out.batches[0]
	owner := f.Inventory.Lookup(f.pid)
	if b.Partition != uint32(owner.ID%8) || b.Sequence != 1 || b.Node != "node" || b.Epoch != 1 || b.ClockOffsetNs == 0 {
		t.Errorf("batch %v", b)
	}
	var kinds []millracev1.EventKind
	for _, ev := range b.Events {
		kinds = append(kinds, ev.Kind)
	}
	want := []millracev1.EventKind{
		millracev1.EventKind_EVENT_KIND_OPEN, millracev1.EventKind_EVENT_KIND_SEND, millracev1.EventKind_EVENT_KIND_TASK_START,
		millracev1.EventKind_EVENT_KIND_RECEIVE, millracev1.EventKind_EVENT_KIND_CLOSE, millracev1.EventKind_EVENT_KIND_PROCESS_EXIT,
	}
	if !slices.Equal(kinds, want) {
		t.Fatalf("events %v", kinds)
	}
	if got := string(b.Events[1].Payload); got != "GET / HTTP/1.1\r\nCookie: ***\r\n\r\n" || b.Events[1].Flags != 4 {
		t.Errorf("payload %q, flags %d", got, b.Events[1].Flags)
	}
	if len(b.Connections) != 1 || b.Connections[0].Process != owner.ID || b.Connections[0].ReceiveFlow != 2<<32|1 {
		t.Errorf("connections %v", b.Connections)
	}
	if b.Events[2].Process != owner.ID || b.Events[1].Process != 0 {
		t.Error("process of the task, or of the owner's own event")
	}
	actor := f.Inventory.Lookup(uint32(os.Getppid()))
	if b.Events[3].Process != actor.ID || !slices.ContainsFunc(b.Processes, func(p *millracev1.Process) bool { return p.Id == actor.ID }) {
		t.Error("the acting process is not named, or its facts are missing")
	}
}

func TestSelectedByConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{Services: []config.Service{{Name: "db", OpenPorts: "6379"}}})
	f.send(f.connect("127.0.0.1:80"), 0, "GET / HTTP/1.1\r\n\r\n")
	redis := f.connect("127.0.0.1:6379")
	f.Handle(&kernel.Event{Kind: kernel.Open, Connection: redis, PID: f.pid})
	f.send(redis, 0, "*1\r\n$4\r\nPING\r\n")
	f.send(f.connect("127.0.0.1:81"), 0, "GET /after HTTP/1.1\r\n\r\n")
	f.Finish()
	events := f.out.events()
	if len(events) != 3 || string(events[2].Payload) != "GET /after HTTP/1.1\r\n\r\n" {
		t.Errorf("events %v", events)
	}
	if self := f.source.policies[uint32(os.Getpid())]; !self.Ignore || !self.IgnorePeers {
		t.Errorf("policy of itself %+v", self)
	}
	if f.source.policies[f.pid].Ignore {
		t.Error("a process that may yet be selected is ignored")
	}
}

// A connection whose bytes were left, because nothing had selected its process yet, is not reported as seen from its
// beginning: what was left would count as lost.
func TestLeftBeforeSelected(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{Services: []config.Service{{Name: "db", OpenPorts: "6379"}}})
	other, redis := f.connect("127.0.0.1:80"), f.connect("127.0.0.1:6379")
	other.OpenedNS, redis.OpenedNS, redis.Socket = 3, 3, 2
	idle := f.connect("127.0.0.1:81")
	idle.OpenedNS, idle.Socket = 3, 3
	f.Handle(&kernel.Event{Kind: kernel.Open, Connection: idle, PID: f.pid})
	f.send(other, 0, "GET / HTTP/1.1\r\n\r\n")
	f.send(redis, 0, "*1\r\n$4\r\nPING\r\n")
	f.send(other, 18, "GET /after HTTP/1.1\r\n\r\n")
	f.send(idle, 0, "GET /first HTTP/1.1\r\n\r\n")
	f.flushAll()
	opened := map[uint64]uint64{}
	for _, b := range f.out.batches {
		for _, c := range b.Connections {
			opened[c.Socket] = c.OpenedNs
		}
	}
	if want := map[uint64]uint64{1: 0, 2: 3, 3: 3}; !maps.Equal(opened, want) {
		t.Errorf("opened %v, not %v", opened, want)
	}
	if other.OpenedNS != 3 {
		t.Error("what others know of the connection was changed")
	}
}

func TestHeldUntilInspected(t *testing.T) {
	t.Parallel()
	for _, languages := range []string{"cpp", "java"} {
		f := newFixture(t, config.Discovery{Services: []config.Service{{Languages: languages}}})
		proc := f.Inventory.Lookup(f.pid)
		proc.Inspected = false
		proc.Selection = process.Selection{}
		k := f.connect("127.0.0.1:80")
		f.send(k, 0, "GET / HTTP/1.1\r\nCookie: ")
		f.send(k, 24, "abc\r\n\r\n")
		if len(f.out.events()) != 0 {
			t.Fatal("sent before it was decided")
		}
		proc.Inspected = true
		f.factsChanged(proc)
		f.Finish()
		events := f.out.events()
		switch {
		case languages == "java" && (len(events) != 0 || !f.source.policies[f.pid].Ignore):
			t.Errorf("not selected: %v, policy %+v", events, f.source.policies[f.pid])
		case languages == "cpp" && (len(events) != 2 || string(events[1].Payload) != "***\r\n\r\n"):
			t.Errorf("selected: %v", events)
		}
		if f.held.bytes != 0 || len(f.held.processes) != 0 {
			t.Errorf("still held: %+v", f.held)
		}
	}
}

func TestHoldIsBoundedAndExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	proc := f.Inventory.Lookup(f.pid)
	proc.Inspected, proc.Selection = false, process.Selection{}
	k := f.connect("127.0.0.1:80")
	line := "GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\n\r\n"
	const count = 1000
	for i := range uint64(count) {
		f.send(k, i*uint64(len(line)), line)
	}
	if f.held.bytes > maxHeld {
		t.Errorf("%d bytes held", f.held.bytes)
	}
	f.now = time.Now().Add(-time.Hour)
	for _, held := range f.held.processes {
		held.since = time.Now().Add(-2 * holdTime)
	}
	f.Idle(true)
	f.Finish()
	lost := f.Counters().Lost(millracev1.LossCause_LOSS_CAUSE_TABLE_FULL)
	if got := uint64(len(f.out.events())); got+lost != count || lost == 0 {
		t.Errorf("%d events, %d lost, of %d", got, lost, count)
	}
}

func TestLossesAreReportedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	f.source.losses = kernel.Losses{millracev1.LossCause_LOSS_CAUSE_RING_FULL: {Events: 5, Bytes: 9}}
	k := f.connect("127.0.0.1:80")
	f.send(k, 0, "GET / HTTP/1.1\r\n\r\n")
	f.out.drop = true
	f.readLosses()
	f.flushAll() // This batch, with its report, is dropped.
	f.out.drop = false
	f.send(k, 18, "GET / HTTP/1.1\r\n\r\n")
	f.flushAll()
	f.send(k, 36, "GET / HTTP/1.1\r\n\r\n")
	f.Finish()
	if len(f.out.batches) != 2 || f.out.batches[0].Sequence != 2 {
		t.Fatalf("%d batches", len(f.out.batches))
	}
	first := f.out.batches[0]
	if len(first.Losses) != 2 || first.Losses[0].Events != 5 || first.Losses[0].Bytes != 9 || first.Losses[1].Cause != millracev1.LossCause_LOSS_CAUSE_SEND_BUFFER_FULL ||
		first.Losses[1].Events != 1 || len(f.out.batches[1].Losses) != 0 {
		t.Errorf("losses %v, then %v", first.Losses, f.out.batches[1].Losses)
	}
	if first.Events[0].Flags != 16 || f.out.batches[1].Events[0].Flags != 0 {
		t.Error("the first event after a loss, and only that, is to be marked")
	}
	if got := f.Counters().Lost(millracev1.LossCause_LOSS_CAUSE_RING_FULL); got != 5 {
		t.Errorf("%d counted", got)
	}
}

func TestLossWithoutTraffic(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	f.source.losses = kernel.Losses{millracev1.LossCause_LOSS_CAUSE_RING_FULL: {Events: 5}}
	f.readLosses()
	f.lossAt = time.Now().Add(-2 * lossInterval)
	f.Finish()
	if len(f.out.batches) != 1 || len(f.out.batches[0].Losses) != 1 || len(f.out.batches[0].Events) != 0 {
		t.Errorf("batches %v", f.out.batches)
	}
}

// A full ring buffer is counted once, and every partition with connections hears of it. A partition that hears nothing
// for long hears that capture is alive, for as long as it has connections.
func TestPartitionsHear(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	k := f.connect("127.0.0.1:80")
	f.send(k, 0, "GET / HTTP/1.1\r\n\r\n")
	f.flushAll()
	own := int(f.out.batches[0].Partition)
	idle := (own + 1) % f.Partitions
	f.builderOf(idle) // of processes that had connections
	f.source.losses = kernel.Losses{millracev1.LossCause_LOSS_CAUSE_RING_FULL: {Events: 5}}
	f.readLosses()
	f.flushAll()
	f.readLosses()
	f.flushAll()
	counted, heard := uint64(0), map[uint32]int{}
	for _, b := range f.out.batches[1:] {
		for _, l := range b.Losses {
			counted += l.Events
			heard[b.Partition]++
		}
	}
	if counted != 5 || len(heard) != 2 || heard[uint32(idle)] != 1 {
		t.Errorf("%d counted, heard %v", counted, heard)
	}
	before := len(f.out.batches)
	for range 100 {
		f.now = f.now.Add(time.Second)
		f.flushAll()
	}
	for _, b := range f.out.batches[before:] {
		if len(b.Events) != 0 || int(b.Partition) == idle || b.Sequence == 0 {
			t.Errorf("%v", b)
		}
	}
	if n := len(f.out.batches) - before; n < 3 || n > 5 {
		t.Errorf("%d batches in 100 s", n)
	}
	f.Handle(&kernel.Event{Kind: kernel.Close, Connection: k})
	f.flushAll()
	f.now = time.Now().Add(time.Hour)
	f.sweep()
	before = len(f.out.batches)
	for range 100 {
		f.now = f.now.Add(time.Second)
		f.flushAll()
	}
	if len(f.out.batches) != before {
		t.Errorf("%d batches of nothing", len(f.out.batches)-before)
	}
}

func TestConnectionsAreForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	k := f.connect("127.0.0.1:80")
	f.send(k, 0, "GET / HTTP/1.1\r\n\r\n")
	f.Handle(&kernel.Event{Kind: kernel.Close, Connection: k})
	f.now = time.Now().Add(closedFor + time.Second)
	f.sweep()
	if len(f.connections) != 0 {
		t.Errorf("%d connections", len(f.connections))
	}
}

// BenchmarkExchange is the user side of one HTTP exchange with both ends on the node: four events.
func BenchmarkExchange(b *testing.B) {
	f := newFixture(b, config.Discovery{})
	f.out.discard = true
	request := []byte("GET /api/v1/users/123456?page=2 HTTP/1.1\r\nHost: users.internal:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAuthorization: Bearer abcdefghij\r\n\r\n")
	response := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 64\r\n\r\n" + strings.Repeat("x", 64))
	type pair struct{ client, server *kernel.Connection }
	pairs := make([]pair, 64)
	for i := range pairs {
		client, server := f.connect("127.0.0.1:80"), f.connect("127.0.0.1:50000")
		server.Role = millracev1.Role_ROLE_SERVER
		pairs[i] = pair{client, server}
	}
	var in, out [64]uint64
	buffer := make([]byte, 1024)
	deliver := func(kind kernel.Kind, k *kernel.Connection, offset uint64, payload []byte) {
		n := copy(buffer, payload) // As the reader does.
		ev := kernel.Event{
			Kind: kind, Connection: k, PID: f.pid, Thread: f.pid, Goroutine: 77, TimeNS: 1 << 50, DurationNS: 4000, Offset: offset,
			Length: uint32(n), Payload: buffer[:n], SRTTUS: 30,
		}
		f.Handle(&ev)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c := i % len(pairs)
		deliver(kernel.Send, pairs[c].client, in[c], request)
		deliver(kernel.Receive, pairs[c].server, in[c], request)
		deliver(kernel.Send, pairs[c].server, out[c], response)
		deliver(kernel.Receive, pairs[c].client, out[c], response)
		in[c] += uint64(len(request))
		out[c] += uint64(len(response))
		if i++; i%40 == 0 {
			f.Idle(true)
		}
	}
}
