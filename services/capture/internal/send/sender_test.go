package send

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

func (b blocked) PublishEncoded(ctx context.Context, subject, id, _ string, data []byte) (*bus.Future, error) {
	return b.Publish(ctx, subject, id, data)
}

func TestDropsOldest(t *testing.T) {
	t.Parallel()
	const limit = 2 * (40 + batchOverhead)
	s := New(limit, "")
	losses := []batch.Loss{{Cause: millracev1.LossCause_LOSS_CAUSE_RING_FULL, Events: 3}}
	var dropped []Dropped
	for i := range 5 {
		dropped = s.Push(Batch{Partition: i, Events: i + 1, Data: make([]byte, 40), Losses: losses}, dropped)
		if s.Bytes() > limit {
			t.Fatalf("%d bytes kept", s.Bytes())
		}
	}
	if len(dropped) != 3 || dropped[0].Partition != 0 || dropped[2].Partition != 2 || dropped[1].Events != 2 || dropped[1].Bytes != 40 ||
		len(dropped[0].Losses) != 1 {
		t.Errorf("dropped %+v", dropped)
	}
	if got := s.Push(Batch{Partition: 9, Data: make([]byte, 500)}, nil); len(got) != 2 || s.Bytes() != 500+batchOverhead {
		t.Errorf("a large batch: dropped %+v, %d bytes kept", got, s.Bytes())
	}
}

func TestStopsWhenTheBusHangs(t *testing.T) {
	t.Parallel()
	s := New(1000, "")
	s.Push(Batch{Data: []byte("a")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, blocked{}) }()
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

func (r refusing) PublishEncoded(context.Context, string, string, string, []byte) (*bus.Future, error) {
	return nil, r.err
}

func TestRefusedIsDropped(t *testing.T) {
	t.Parallel()
	s := New(1000, "")
	s.Push(Batch{Partition: 4, Events: 7, Data: []byte("abc")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx, refusing{bus.ErrTooLarge}); err != nil {
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
	if err := New(10, "").pushAndRun(t, refusing{bus.ErrClosed}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("closed bus: %v", err)
	}
}

func (s *Sender) pushAndRun(t *testing.T, p Publisher) error {
	s.Push(Batch{Data: []byte("a")}, nil)
	return s.Run(t.Context(), p)
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
	s := New(1<<20, config.CompressionS2)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx, connection) })
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
	s := New(3*(10+batchOverhead), "")
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
	running.Go(func() { _ = s.Run(ctx, connection) })
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
	s := New(1000, "")
	s.Push(Batch{Since: 3, Data: []byte("abc")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx, refusing{bus.ErrTooLarge}); err != nil {
		t.Fatal(err)
	}
	if since, waits := s.Oldest(); waits {
		t.Errorf("something of %d waits", since)
	}
}

// The buffer holds as many bytes as it may of what goes out, which is compressed, and what is dropped is counted as it
// was before that.
func TestHoldsCompressedBytes(t *testing.T) {
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
	const limit, size, count = 1 << 20, 32 << 10, 1000
	text := func(i int) string { return strings.Repeat(fmt.Sprintf("GET /item/%d HTTP/1.1 ", i), size/20)[:size] }
	_, encoding := bus.Compress(cfg.Compression, nil, []byte(text(0)))
	if encoding == "" {
		t.Fatal("the text is not compressed")
	}
	s := New(limit, cfg.Compression)
	var dropped []Dropped
	for i := range count {
		dropped = s.Push(Batch{Subject: bus.RawSubject(0, "n"), ID: fmt.Sprint(i), Events: 3, Data: append(s.Buffer(), text(i)...)}, dropped)
		if s.Bytes() > limit {
			t.Fatalf("%d bytes kept", s.Bytes())
		}
	}
	kept := count - len(dropped)
	if kept <= 2*limit/size || s.Waiting() != 3*kept {
		t.Errorf("%d batches of %d bytes kept, %d events, in a buffer of %d bytes", kept, size, s.Waiting(), limit)
	}
	for _, d := range dropped {
		if d.Bytes != size || d.Events != 3 {
			t.Fatalf("dropped %+v", d)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx, connection) })
	for deadline := time.Now().Add(30 * time.Second); s.Published() < uint64(kept) && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	cancel()
	running.Wait()
	stream, err := connection.JetStream().Stream(t.Context(), bus.StreamRaw)
	if err != nil {
		t.Fatal(err)
	}
	for i := range kept {
		m, err := stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		data, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), nil, m.Data, size)
		if err != nil || string(data) != text(count-kept+i) {
			t.Fatalf("message %d: %.60q %v", i, data, err)
		}
	}
}
