package stage_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"millrace.dev/lib/bus"
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

// BenchmarkIdentity is the cost of a record through a stage that publishes what it reads, with the server, in the process, and the
// streams of both sides.
func BenchmarkIdentity(b *testing.B) {
	for _, size := range []int{512, 4 << 10, 32 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			const partitions = 8
			conn := connect(b, partitions)
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i*i>>3 ^ i) // Neither constant nor random.
			}
			n := min(b.N, 100<<20/size)
			for k := range n {
				if _, err := conn.Publish(context.Background(), rawSubjects(k % partitions)[0], "", data); err != nil {
					b.Fatal(err)
				}
			}
			if err := conn.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
			output, err := conn.JetStream().Stream(context.Background(), bus.StreamSpan)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			start(b, stage.Options{
				Name: "identity", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
				Factory: func(p int) (stage.Processor, error) { return identity{p}, nil },
			})
			for {
				info, err := output.Info(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if info.State.LastSeq >= uint64(n) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(n), "cpu-ns/record")
		})
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
