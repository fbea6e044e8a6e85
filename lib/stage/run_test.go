package stage_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
)

// connect starts a NATS server in the process, with the streams of Millrace, and connects to it.
func connect(t testing.TB, partitions int) *bus.Conn {
	t.Helper()
	cfg := config.Default().Bus
	cfg.Partitions = partitions
	cfg.Compression = config.CompressionS2
	server, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := bus.Connect(ctx, cfg, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.EnsureStreams(ctx, conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

// start runs an instance and gives what stops it, gracefully.
func start(t testing.TB, options stage.Options) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- stage.Run(ctx, options) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

func rawSubjects(p int) []string { return []string{bus.RawSubject(p, "n")} }

func eventually(t testing.TB, within time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not within %v: %s", within, what)
}

// tally is what the counters of all partitions have counted, in their state.
type tally struct {
	mu     sync.Mutex
	counts map[int]uint64
	sums   map[int]uint64
	calls  atomic.Uint64
	fail   func(p int, records []stage.Record) error
	output bool
}

func newTally() *tally { return &tally{counts: map[int]uint64{}, sums: map[int]uint64{}} }

func (t *tally) factory(p int) (stage.Processor, error) { return &counter{tally: t, partition: p}, nil }

func (t *tally) total() (n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.counts {
		n += c
	}
	return n
}

// counter counts records and adds up their content, which is a number.
type counter struct {
	tally      *tally
	partition  int
	count, sum uint64
}

func (c *counter) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	c.tally.calls.Add(1)
	if c.tally.fail != nil {
		if err := c.tally.fail(c.partition, records); err != nil {
			return err
		}
	}
	for _, r := range records {
		n, err := strconv.ParseUint(strings.TrimRight(string(r.Data), " "), 10, 64)
		if err != nil {
			return err
		}
		c.count++
		c.sum += n
		if c.tally.output {
			out.Publish(bus.SpanSubject(c.partition, "", "test"), "", append([]byte(nil), r.Data...))
		}
	}
	c.publish()
	return nil
}

func (c *counter) publish() {
	c.tally.mu.Lock()
	defer c.tally.mu.Unlock()
	c.tally.counts[c.partition], c.tally.sums[c.partition] = c.count, c.sum
}

func (c *counter) Tick(context.Context, time.Time, stage.Output) error { return nil }

func (c *counter) Snapshot(dst []byte) ([]byte, error) {
	dst = append(dst, 1)
	dst = binary.BigEndian.AppendUint64(dst, c.count)
	return binary.BigEndian.AppendUint64(dst, c.sum), nil
}

func (c *counter) Restore(snapshot []byte) error {
	if len(snapshot) != 17 || snapshot[0] != 1 {
		return fmt.Errorf("snapshot of %d bytes", len(snapshot))
	}
	c.count, c.sum = binary.BigEndian.Uint64(snapshot[1:]), binary.BigEndian.Uint64(snapshot[9:])
	c.publish()
	return nil
}

func publish(t testing.TB, conn *bus.Conn, partition, from, n int) {
	t.Helper()
	for k := from; k < from+n; k++ {
		data := strconv.Itoa(k) + strings.Repeat(" ", k%300) // Some compressed, some not.
		if _, err := conn.Publish(context.Background(), rawSubjects(partition)[0], "", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestRunProcessesAndResumes(t *testing.T) {
	t.Parallel()
	const partitions = 4
	conn := connect(t, partitions)
	counts := newTally()
	options := stage.Options{
		Name: "counter", Stream: bus.StreamRaw, Subjects: rawSubjects, Factory: counts.factory, Bus: conn,
	}
	for p := range partitions {
		publish(t, conn, p, 0, 3000)
	}
	stop := start(t, options)
	eventually(t, 10*time.Second, "first records", func() bool { return counts.total() == partitions*3000 })
	stop()
	for p := range partitions {
		publish(t, conn, p, 3000, 1000)
	}
	calls := counts.calls.Load()
	start(t, options)
	eventually(t, 10*time.Second, "later records", func() bool { return counts.total() == partitions*4000 })
	if counts.calls.Load() == calls {
		t.Error("nothing was processed")
	}
	for p := range partitions {
		if want := uint64(3999 * 4000 / 2); counts.sums[p] != want {
			t.Errorf("partition %d: sum %d, want %d", p, counts.sums[p], want)
		}
	}
}

func TestRunScalesUpAndDown(t *testing.T) {
	t.Parallel()
	const partitions = 8
	conn := connect(t, partitions)
	var tallies [3]*tally
	options := func(k int) stage.Options {
		tallies[k] = newTally()
		return stage.Options{
			Name: "counter", Stream: bus.StreamRaw, Subjects: rawSubjects, Factory: tallies[k].factory, Bus: conn,
			CheckpointInterval: 500 * time.Millisecond,
		}
	}
	owners := func() map[string]int {
		status, err := stage.Partitions(t.Context(), conn, "counter")
		if err != nil {
			t.Fatal(err)
		}
		owners := map[string]int{}
		for _, s := range status {
			if s.Owner != "" && s.Alive && !s.Checkpoint.IsZero() {
				owners[s.Owner]++
			}
		}
		return owners
	}
	balanced := func(instances int) func() bool {
		return func() bool {
			o := owners()
			total := 0
			for _, n := range o {
				total += n
				if n > (partitions+instances-1)/instances {
					return false
				}
			}
			return len(o) == instances && total == partitions
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var published atomic.Int64
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for k := 0; ctx.Err() == nil; k++ {
			data := []byte(strconv.Itoa(k))
			for p := range partitions {
				if _, err := conn.Publish(context.Background(), rawSubjects(p)[0], "", data); err != nil {
					t.Error(err)
					return
				}
				published.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	start(t, options(0))
	eventually(t, 20*time.Second, "one instance owns all", balanced(1))
	stop1 := start(t, options(1))
	began := time.Now()
	eventually(t, 20*time.Second, "two instances share", balanced(2))
	t.Logf("two instances share after %v", time.Since(began))
	stop2 := start(t, options(2))
	eventually(t, 20*time.Second, "three instances share", balanced(3))
	stop1()
	eventually(t, 20*time.Second, "two are left", balanced(2))
	stop2()
	eventually(t, 20*time.Second, "one is left", balanced(1))
	cancel()
	<-loaded
	want := uint64(published.Load())
	eventually(t, 20*time.Second, fmt.Sprintf("%d records", want), func() bool { return tallies[0].total() == want })
	time.Sleep(300 * time.Millisecond)
	if got := tallies[0].total(); got != want {
		t.Errorf("counted %d of %d", got, want)
	}
}

func TestRunRestoresAfterError(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	counts := newTally()
	var failures atomic.Int64
	counts.fail = func(_ int, records []stage.Record) error {
		for _, r := range records {
			if strings.TrimRight(string(r.Data), " ") == "500" {
				switch failures.Add(1) {
				case 1:
					return errors.New("backend is away")
				case 2:
					panic("bug")
				}
			}
		}
		return nil
	}
	publish(t, conn, 0, 0, 1000)
	start(t, stage.Options{Name: "counter", Stream: bus.StreamRaw, Subjects: rawSubjects, Factory: counts.factory, Bus: conn})
	eventually(t, 10*time.Second, "all records", func() bool { return counts.total() == 1000 })
	if failures.Load() != 3 {
		t.Errorf("%d attempts", failures.Load())
	}
}
