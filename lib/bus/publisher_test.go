package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	conn := connect(t, cfg, ns.InProcess())
	data := []byte(strings.Repeat("some text ", 1000))
	want := bytes.Clone(data)
	for i, id := range []string{"", "a", "a", "b"} {
		future, err := conn.Publish(bounded(t), bus.ExchangeSubject(3), id, data)
		if err != nil {
			t.Fatal(err)
		}
		clear(data) // The data is the caller's again.
		if err := future.Wait(bounded(t)); err != nil {
			t.Fatal(err)
		}
		copy(data, want)
		if future.Duplicate() != (i == 2) || future.Err() != nil || future.Sequence() == 0 {
			t.Errorf("message %d: duplicate %v, sequence %d", i, future.Duplicate(), future.Sequence())
		}
	}
	stream, err := conn.JetStream().Stream(bounded(t), bus.StreamExchange)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); sequence <= 3; sequence++ {
		msg, err := stream.GetMsg(bounded(t), sequence)
		if err != nil {
			t.Fatal(err)
		}
		got, err := bus.Decompress(msg.Header.Get(bus.HeaderEncoding), nil, msg.Data, 1<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("message %d: %d bytes (%v), want %d", sequence, len(got), err, len(want))
		}
		if len(msg.Data) > len(want)/10 {
			t.Errorf("message %d is not compressed", sequence)
		}
	}
	if n := conn.PendingBytes(); n != 0 {
		t.Errorf("%d bytes pending", n)
	}
}

// A message that is lost on its way to a stream is sent again when a later one was stored, one that was refused as
// well, and none of them waits for the time that a stream without an answer is given. The stream is played here.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	conn, err := bus.Connect(bounded(t), cfg, t.Name(), ns.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	var mu sync.Mutex
	times := map[string]int{}
	_, err = conn.NATS().Subscribe("millrace.raw.>", func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		times[msg.Subject]++
		answer := `{"stream":"X","seq":1}`
		if times[msg.Subject] == 1 {
			switch msg.Subject {
			case "millrace.raw.0.lost":
				return
			case "millrace.raw.0.refused":
				answer = `{"error":{"code":503,"description":"no leader"}}`
			}
		}
		if err := msg.Respond([]byte(answer)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var futures []*bus.Future
	for _, name := range []string{"lost", "refused", "stored"} {
		f, err := conn.Publish(bounded(t), "millrace.raw.0."+name, "", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		if err := f.Wait(bounded(t)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if times["millrace.raw.0.stored"] != 1 || times["millrace.raw.0.lost"] < 2 || times["millrace.raw.0.refused"] < 2 {
		t.Errorf("sent %v", times)
	}
	t.Logf("all stored after %v", time.Since(began))
}

func TestPublishErrors(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Compression = config.CompressionNone
	cfg.MaxPending = config.MiB
	ns := start(t, cfg)
	conn := connect(t, cfg, ns.InProcess())
	if _, err := conn.Publish(bounded(t), bus.MetricSubject(0), "", make([]byte, 9<<20)); !errors.Is(err, bus.ErrTooLarge) ||
		!strings.Contains(err.Error(), "max_payload") {
		t.Errorf("beyond the server's limit: %v", err)
	}
	if _, err := conn.Publish(bounded(t), bus.MetricSubject(0), "", make([]byte, 2<<20)); !errors.Is(err, bus.ErrTooLarge) ||
		!strings.Contains(err.Error(), "bus.max_pending") {
		t.Errorf("beyond bus.max_pending: %v", err)
	}
	// A stream that refuses for good: its own limit of message size.
	stream, err := conn.JetStream().Stream(bounded(t), bus.StreamMetric)
	if err != nil {
		t.Fatal(err)
	}
	limited := stream.CachedInfo().Config
	limited.MaxMsgSize = 100
	if _, err := conn.JetStream().UpdateStream(bounded(t), limited); err != nil {
		t.Fatal(err)
	}
	future, err := conn.Publish(bounded(t), bus.MetricSubject(0), "", make([]byte, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(bounded(t)); err == nil || !strings.Contains(err.Error(), "message size exceeds maximum") {
		t.Errorf("refused message: %v", err)
	}
	conn.Close()
	if _, err := conn.Publish(bounded(t), bus.MetricSubject(0), "", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestStreamComesLater publishes before the stream exists.
func TestStreamComesLater(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	conn, err := bus.Connect(bounded(t), cfg, "test", ns.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	future, err := conn.Publish(bounded(t), bus.SpanSubject(0, "", "a"), "1", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := future.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("without a stream: %v", err)
	}
	if err := bus.EnsureStreams(bounded(t), conn); err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(bounded(t)); err != nil {
		t.Fatal(err)
	}
}

// TestServerForgets restarts a server that keeps streams in memory.
func TestServerForgets(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Embedded.Listen = freeAddress(t)
	cfg.URL = "nats://" + cfg.Embedded.Listen
	first := start(t, cfg)
	conn := connect(t, cfg)
	if _, err := conn.KeyValue(bounded(t), bus.BucketLeases); err != nil {
		t.Fatal(err)
	}
	first.Shutdown()
	eventually(t, "disconnected", func() bool { return !conn.NATS().IsConnected() })
	var futures []*bus.Future
	for i := range 20 {
		future, err := conn.Publish(bounded(t), bus.ExchangeSubject(0), strconv.Itoa(i), []byte(strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, future)
	}
	start(t, cfg)
	for i, future := range futures {
		if err := future.Wait(bounded(t)); err != nil {
			t.Fatal(err)
		}
		if future.Sequence() != uint64(i+1) {
			t.Errorf("message %d has sequence %d: order was lost", i, future.Sequence())
		}
	}
	if _, err := conn.JetStream().KeyValue(bounded(t), bus.BucketLeases); err != nil {
		t.Errorf("the bucket was not created again: %v", err)
	}
}

// TestAwayIsBounded publishes to a server that has gone.
func TestAwayIsBounded(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Compression = config.CompressionNone
	cfg.MaxPending = config.MiB
	cfg.Embedded.Listen = freeAddress(t)
	cfg.URL = "nats://" + cfg.Embedded.Listen
	ns := start(t, cfg)
	conn := connect(t, cfg)
	apart, err := conn.Apart(bounded(t), "test")
	if err != nil {
		t.Fatal(err)
	}
	ns.Shutdown()
	eventually(t, "disconnected", func() bool { return !conn.NATS().IsConnected() && !apart.NATS().IsConnected() })
	var futures []*bus.Future
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		future, err := conn.Publish(ctx, bus.ExchangeSubject(0), "", make([]byte, 64<<10))
		cancel()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
		futures = append(futures, future)
	}
	if len(futures) != 15 {
		t.Errorf("%d messages of 64 KiB fit into 1 MiB, want 15", len(futures))
	}
	if future, err := apart.Publish(bounded(t), bus.RawSubject(0, "node"), "", make([]byte, 64<<10)); err != nil {
		t.Errorf("what is published apart waits for the rest: %v", err)
	} else {
		futures = append(futures, future)
	}
	if pending := conn.PendingBytes(); pending < 16*64<<10 {
		t.Errorf("%d bytes are pending, in both", pending)
	}
	begin := time.Now()
	conn.Close()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Close took %v with no server there", took)
	}
	for _, future := range futures {
		if err := future.Wait(bounded(t)); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestRestartWhilePublishing takes an embedded server with file storage away and gives it back, under load: everything
// that was published is stored once, in the order of each publisher.
func TestRestartWhilePublishing(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Storage = config.StorageFile
	cfg.MaxBytes = 64 * config.MiB
	cfg.Embedded.Listen = freeAddress(t)
	cfg.Embedded.StoreDir = t.TempDir()
	cfg.URL = "nats://" + cfg.Embedded.Listen
	ns := start(t, cfg)
	publishAcross(t, cfg, func() {
		ns.Shutdown()
		time.Sleep(300 * time.Millisecond)
		ns = start(t, cfg)
	})
}

// TestKillExternalServer does the same with a nats-server process that is killed.
func TestKillExternalServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds nats-server")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "nats-server")
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("nats-server cannot be built here: %v", err)
	}
	// With nothing in the build cache, and other tests at work, this takes minutes.
	building, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(building, "go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v: %s", err, out)
	}
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	run := func() *exec.Cmd {
		cmd := exec.Command(binary, "-a", host, "-p", port, "-js", "-sd", filepath.Join(dir, "store"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	kill := func(cmd *exec.Cmd) {
		_ = cmd.Process.Signal(os.Kill)
		_ = cmd.Wait() // It was killed, and says so.
	}
	cmd := run()
	t.Cleanup(func() { kill(cmd) })
	cfg := config.Default().Bus
	cfg.Storage = config.StorageFile
	cfg.MaxBytes = 64 * config.MiB
	cfg.URL = "nats://" + address
	publishAcross(t, cfg, func() {
		kill(cmd)
		time.Sleep(300 * time.Millisecond)
		cmd = run()
	})
}

// publishAcross publishes from several goroutines to a subject each while interrupt takes the server away and gives it
// back, twice, and checks what the streams have in the end.
func publishAcross(t *testing.T, cfg config.Bus, interrupt func()) {
	t.Helper()
	const publishers = 3
	conn := connect(t, cfg)
	stop := make(chan struct{})
	var group sync.WaitGroup
	futures := make([][]*bus.Future, publishers)
	for p := range publishers {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond): // The test is about order, not about speed.
				}
				future, err := conn.Publish(bounded(t), bus.ExchangeSubject(p), fmt.Sprintf("%d-%d", p, i), fmt.Appendf(nil, "%d %0200d", i, 0))
				if err != nil {
					t.Error(err)
					return
				}
				futures[p] = append(futures[p], future)
				if n := conn.PendingBytes(); n > int64(cfg.MaxPending) {
					t.Errorf("%d bytes pending, limit %d", n, cfg.MaxPending)
				}
			}
		})
	}
	for range 2 {
		time.Sleep(300 * time.Millisecond)
		interrupt()
	}
	eventually(t, "connected again", conn.NATS().IsConnected)
	time.Sleep(300 * time.Millisecond)
	close(stop)
	group.Wait()
	if err := conn.Flush(bounded(t)); err != nil {
		t.Fatal(err)
	}
	for p := range publishers {
		for i, future := range futures[p] {
			if err := future.Wait(bounded(t)); err != nil {
				t.Fatalf("publisher %d, message %d: %v", p, i, err)
			}
		}
		t.Logf("publisher %d: %d messages", p, len(futures[p]))
		checkStored(t, conn, bus.ExchangeSubject(p), len(futures[p]))
	}
}

// checkStored checks that subject has the numbers from 0 to count-1, each once and in order.
func checkStored(t *testing.T, conn *bus.Conn, subject string, count int) {
	t.Helper()
	stream, err := conn.JetStream().Stream(bounded(t), bus.StreamExchange)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(bounded(t), jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for next < count {
		batch, err := consumer.Fetch(min(count-next, 500), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		before := next
		for msg := range batch.Messages() {
			data, err := bus.Decompress(msg.Headers().Get(bus.HeaderEncoding), nil, msg.Data(), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(data), strconv.Itoa(next)+" ") {
				t.Fatalf("%s: message %d is %.10q", subject, next, data)
			}
			next++
		}
		if next == before {
			t.Fatalf("%s: %d messages, want %d", subject, next, count)
		}
	}
	info, err := stream.Info(bounded(t), jetstream.WithSubjectFilter(subject))
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.Subjects[subject]; n != uint64(count) {
		t.Errorf("%s: %d messages stored, want %d", subject, n, count)
	}
}

// requests are size bytes that compress like real traffic: text that repeats, with identifiers that do not.
func requests(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var data []byte
	for len(data) < size {
		data = fmt.Appendf(data, "GET /users/%d HTTP/1.1\r\nHost: shop\r\nX-Request-Id: %016x%016x\r\n\r\n", random.IntN(10000), random.Uint64(), random.Uint64())
	}
	return data[:size]
}

func BenchmarkPublish(b *testing.B) {
	for _, compression := range []string{config.CompressionNone, config.CompressionS2} {
		b.Run(compression, func(b *testing.B) {
			cfg := config.Default().Bus
			cfg.Compression = compression
			ns := start(b, cfg)
			conn := connect(b, cfg, ns.InProcess())
			data := requests(64 << 10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := conn.Publish(b.Context(), bus.RawSubject(i%32, "node"), "node-"+strconv.Itoa(i), data); err != nil {
					b.Fatal(err)
				}
			}
			if err := conn.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
