package send

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/batch"
)

// blocked is a bus that takes nothing until its context ends.
type blocked struct{}

func (blocked) Publish(ctx context.Context, _, _ string, _ []byte) (*bus.Future, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDropsOldest(t *testing.T) {
	t.Parallel()
	s := New(blocked{}, 100)
	losses := []batch.Loss{{Cause: millracev1.LossCause_LOSS_CAUSE_RING_FULL, Events: 3}}
	var dropped []Dropped
	for i := range 5 {
		dropped = s.Push(Batch{Partition: i, Events: i + 1, Data: make([]byte, 40), Losses: losses}, dropped)
		if s.Bytes() > 100 {
			t.Fatalf("%d bytes kept", s.Bytes())
		}
	}
	if len(dropped) != 3 || dropped[0].Partition != 0 || dropped[2].Partition != 2 || dropped[1].Events != 2 || dropped[1].Bytes != 40 ||
		len(dropped[0].Losses) != 1 {
		t.Errorf("dropped %+v", dropped)
	}
	if got := s.Push(Batch{Partition: 9, Data: make([]byte, 500)}, nil); len(got) != 2 || s.Bytes() != 500 {
		t.Errorf("a large batch: dropped %+v, %d bytes kept", got, s.Bytes())
	}
}

func TestStopsWhenTheBusHangs(t *testing.T) {
	t.Parallel()
	s := New(blocked{}, 1000)
	s.Push(Batch{Data: []byte("a")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	time.Sleep(10 * time.Millisecond)
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(drainTime + 3*time.Second):
		t.Fatal("did not stop")
	}
}

// refusing is a bus that takes no message.
type refusing struct{ err error }

func (r refusing) Publish(context.Context, string, string, []byte) (*bus.Future, error) {
	return nil, r.err
}

func TestRefusedIsDropped(t *testing.T) {
	t.Parallel()
	s := New(refusing{bus.ErrTooLarge}, 1000)
	s.Push(Batch{Partition: 4, Events: 7, Data: []byte("abc")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var dropped []Dropped
	for deadline := time.Now().Add(5 * time.Second); len(dropped) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		dropped = s.Collect(nil)
	}
	cancel()
	running.Wait()
	if len(dropped) != 1 || dropped[0].Partition != 4 || dropped[0].Events != 7 || dropped[0].Bytes != 3 {
		t.Errorf("dropped %+v", dropped)
	}
	if err := New(refusing{bus.ErrClosed}, 10).pushAndRun(t); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("closed bus: %v", err)
	}
}

func (s *Sender) pushAndRun(t *testing.T) error {
	s.Push(Batch{Data: []byte("a")}, nil)
	return s.Run(t.Context())
}

func TestPublishesInOrderWithIDs(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	server, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	connection, err := bus.Connect(t.Context(), cfg, "test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := bus.EnsureStreams(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	s := New(connection, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	const count = 200
	for i := range count {
		// Every batch twice, as after a doubtful answer: the stream keeps one.
		for range 2 {
			s.Push(Batch{Subject: bus.RawSubject(0, "n"), ID: fmt.Sprintf("n-1-0-%d", i), Data: append(s.Buffer(), fmt.Sprint(i)...)}, nil)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); s.Published() < 2*count && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	cancel()
	running.Wait()
	stream, err := connection.JetStream().Stream(t.Context(), bus.StreamRaw)
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		m, err := stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if data, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), nil, m.Data, 100); err != nil || string(data) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q %v", i, data, err)
		}
	}
	if state := stream.CachedInfo().State; state.LastSeq > count {
		t.Errorf("%d messages", state.LastSeq)
	}
}

// Oldest is about what is queued, what a bus is being handed, and what it has not acknowledged, and no longer about
// what was dropped.
func TestOldest(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	server, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	connection, err := bus.Connect(t.Context(), cfg, "test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	s := New(connection, 30)
	is := func(what string, since uint64, waits bool) {
		t.Helper()
		var got uint64
		var waiting bool
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if got, waiting = s.Oldest(); waiting == waits && (!waits || got == since) {
				return
			}
		}
		t.Fatalf("%s: %d %v, want %d %v", what, got, waiting, since, waits)
	}
	push := func(since uint64) (dropped int) {
		return len(s.Push(Batch{Subject: bus.RawSubject(0, "n"), Data: make([]byte, 10), Since: since}, nil))
	}
	is("nothing", 0, false)
	for _, since := range []uint64{7, 5, 6} {
		push(since)
	}
	is("queued", 5, true)
	if push(8)+push(9) != 2 {
		t.Fatal("the two oldest were to be dropped")
	}
	is("after two were dropped", 6, true)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	for deadline := time.Now().Add(10 * time.Second); s.Bytes() > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	is("no stream acknowledges", 6, true)
	push(4) // What was held may be older than what came before it.
	is("an older one behind", 4, true)
	if err := bus.EnsureStreams(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	is("all are stored", 0, false)
	cancel()
	running.Wait()
}

func TestRefusedDoesNotWait(t *testing.T) {
	t.Parallel()
	s := New(refusing{bus.ErrTooLarge}, 1000)
	s.Push(Batch{Since: 3, Data: []byte("abc")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if since, waits := s.Oldest(); waits {
		t.Errorf("something of %d waits", since)
	}
}
