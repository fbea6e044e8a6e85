package stage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
)

// identity passes every record on.
type identity struct{ partition int }

func (c identity) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	subject := bus.SpanSubject(c.partition, "", "bench")
	for i := range records {
		out.Publish(subject, "", records[i].Data)
	}
	return nil
}
func (identity) Tick(context.Context, time.Time, stage.Output) error { return nil }
func (identity) Snapshot(dst []byte) ([]byte, error)                 { return append(dst, 1), nil }
func (identity) Restore([]byte) error                                { return nil }

func cpu(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkStage is what the runtime itself costs: a message through a stage that publishes what it reads, in messages
// of several sizes. The server is a process of its own and not counted.
func BenchmarkStage(b *testing.B) {
	for _, size := range []int{512, 4 << 10, 32 << 10} {
		b.Run(strconv.Itoa(size)+"B", func(b *testing.B) {
			n := min(40_000, 128<<20/size)
			var spent time.Duration
			var before, after runtime.MemStats
			var allocations, allocated uint64
			rounds := 0
			for b.Loop() {
				b.StopTimer()
				conn := fill(b, size, n)
				runtime.GC()
				runtime.ReadMemStats(&before)
				began := cpu(b)
				b.StartTimer()
				pass(b, conn, n)
				b.StopTimer()
				spent += cpu(b) - began
				runtime.ReadMemStats(&after)
				allocations += after.Mallocs - before.Mallocs
				allocated += after.TotalAlloc - before.TotalAlloc
				rounds++
				conn.Close()
				b.StartTimer()
			}
			messages := float64(n * rounds)
			b.ReportMetric(0, "ns/op") // An iteration is many messages: it says nothing.
			b.ReportMetric(messages/b.Elapsed().Seconds(), "items/s")
			b.ReportMetric(messages/spent.Seconds(), "items/cpu-s")
			b.ReportMetric(messages*float64(size)/1e6/spent.Seconds(), "in-MB/cpu-s")
			b.ReportMetric(float64(size), "in-B/item")
			b.ReportMetric(float64(size), "out-B/item")
			b.ReportMetric(float64(allocations)/messages, "allocs/item")
			b.ReportMetric(float64(allocated)/messages, "alloc-B/item")
		})
	}
}

const benchPartitions = 8

// fill starts a server in a process of its own, puts n messages of that size into MILLRACE_RAW, and gives the
// connection to it.
func fill(b *testing.B, size, n int) *bus.Conn {
	_, line := launch(b, "server", "")
	cfg := config.Default().Bus
	cfg.URL, cfg.Partitions = line(), benchPartitions
	conn, err := bus.Connect(context.Background(), cfg, b.Name())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	if err := bus.EnsureStreams(context.Background(), conn); err != nil {
		b.Fatal(err)
	}
	// It compresses as captured requests do.
	var data []byte
	for random := rand.New(rand.NewPCG(1, 2)); len(data) < size; {
		data = fmt.Appendf(data, "GET /api/items/%d?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nX-Request-Id: %016x\r\n\r\n", random.IntN(1e6), random.Uint64())
	}
	data = data[:size]
	for k := range n {
		if _, err := conn.Publish(context.Background(), rawSubjects(k % benchPartitions)[0], "", data); err != nil {
			b.Fatal(err)
		}
	}
	if err := conn.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	return conn
}

// pass runs the stage until n messages have gone through it.
func pass(b *testing.B, conn *bus.Conn, n int) {
	output, err := conn.JetStream().Stream(context.Background(), bus.StreamSpan)
	if err != nil {
		b.Fatal(err)
	}
	stop := start(b, stage.Options{
		Name: "identity", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
		Factory: func(p int) (stage.Processor, error) { return identity{p}, nil },
	})
	defer stop()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		info, err := output.Info(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if info.State.LastSeq >= uint64(n) {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d messages of %d after a minute", info.State.LastSeq, n)
		}
	}
}

// BenchmarkIdle is the CPU of stages with 32 partitions each that have nothing to do, server included.
func BenchmarkIdle(b *testing.B) {
	const partitions = 32
	for stages := range 4 {
		b.Run(strconv.Itoa(stages), func(b *testing.B) {
			conn := connect(b, partitions)
			for s := range stages {
				start(b, stage.Options{
					Name: "idle" + strconv.Itoa(s), Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
					Factory: func(p int) (stage.Processor, error) { return identity{p}, nil },
				})
			}
			if b.N == 1 {
				return
			}
			time.Sleep(12 * time.Second) // Until ticks have become rare.
			before := cpu(b)
			b.ResetTimer()
			for range b.N {
				time.Sleep(time.Second)
			}
			b.ReportMetric((cpu(b)-before).Seconds()/b.Elapsed().Seconds()*100, "%cpu")
		})
	}
}

// BenchmarkLatency is the time from a record's storing to its processing.
func BenchmarkLatency(b *testing.B) {
	conn := connect(b, 32)
	seen := make(chan struct{}, 1)
	start(b, stage.Options{
		Name: "latency", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
		Factory: func(int) (stage.Processor, error) { return notify{seen: seen}, nil },
	})
	time.Sleep(time.Second)
	b.ResetTimer()
	for k := range b.N {
		if _, err := conn.Publish(context.Background(), rawSubjects(k % 32)[0], "", []byte("x")); err != nil {
			b.Fatal(err)
		}
		<-seen
	}
}

type notify struct {
	identity
	seen chan struct{}
}

func (n notify) Process(_ context.Context, records []stage.Record, _ stage.Output) error {
	for range records {
		n.seen <- struct{}{}
	}
	return nil
}
