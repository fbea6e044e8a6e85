package stage_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// hoarder is a counter that puts out what it has counted when the stage ends.
type hoarder struct {
	counter
	all *hoard
}

// hoard is what all hoarders put out, by partition, and with which word.
type hoard struct {
	mu     sync.Mutex
	counts map[int]uint64
	final  int
	calls  int
}

func (h *hoarder) Finish(_ context.Context, final bool, _ stage.Output) error {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.all.counts[h.partition] = h.count
	h.all.calls++
	if final {
		h.all.final++
	}
	return nil
}

func hoarding(t *testing.T, conn *bus.Conn, name string) (stage.Options, *tally, *hoard) {
	t.Helper()
	counts, all := newTally(), &hoard{counts: map[int]uint64{}}
	return stage.Options{
		Name: name, Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
		Factory: func(p int) (stage.Processor, error) {
			return &hoarder{counter: counter{tally: counts, partition: p}, all: all}, nil
		},
	}, counts, all
}

func publishNumbers(t *testing.T, conn *bus.Conn, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for k := range n {
		if _, err := conn.Publish(ctx, bus.RawSubject(k%conn.Partitions(), "n"), "", []byte(strconv.Itoa(k))); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func (h *hoard) total() (n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.counts {
		n += c
	}
	return n
}

// The last instance that stops reads what is in the stream and has its processors put out what they hold, each once.
func TestCloseReadsToTheEnd(t *testing.T) {
	t.Parallel()
	conn := connect(t, 8)
	options, counts, all := hoarding(t, conn, "closing")
	stop := start(t, options)
	publishNumbers(t, conn, 8)
	eventually(t, 20*time.Second, "it reads", func() bool { return counts.total() == 8 })
	publishNumbers(t, conn, 5000)
	stop()
	if got := all.total(); got != 5008 || all.calls != 8 || all.final != 0 {
		t.Errorf("%d records were put out in %d calls, %d final; want 5008 in 8", got, all.calls, all.final)
	}
	// Whoever comes next goes on where it ended.
	options, counts, _ = hoarding(t, conn, "closing")
	stop = start(t, options)
	publishNumbers(t, conn, 100)
	eventually(t, 20*time.Second, "the next goes on", func() bool { return counts.total() == 5108 })
	stop()
}

// With another instance that goes on nothing is put out early; of those that stop at the same time the last does it.
func TestCloseTogether(t *testing.T) {
	t.Parallel()
	conn := connect(t, 8)
	options, counts, all := hoarding(t, conn, "together")
	options.Linger = time.Second
	var stops []func()
	for range 3 {
		stops = append(stops, start(t, options))
	}
	publishNumbers(t, conn, 800)
	eventually(t, 20*time.Second, "they read", func() bool { return counts.total() == 800 })
	eventually(t, 20*time.Second, "they share", func() bool { return shares(t, conn, "together") == 3 })
	stops[0]()
	if all.total() != 0 {
		t.Errorf("%d records were put out although others go on", all.total())
	}
	publishNumbers(t, conn, 800)
	var group sync.WaitGroup
	for _, stop := range stops[1:] {
		group.Go(stop)
	}
	group.Wait()
	if got := all.total(); got != 1600 {
		t.Errorf("%d records were put out, want 1600", got)
	}
}

// shares is how many instances own partitions.
func shares(t *testing.T, conn *bus.Conn, name string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	partitions, err := stage.Partitions(ctx, conn, name)
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]bool{}
	for _, p := range partitions {
		if p.Owner == "" {
			return 0
		}
		owners[p.Owner] = true
	}
	return len(owners)
}

// An instance waits for those of the stage before it that stop at the same time, and knows when none is left.
func TestCloseWaitsForUpstream(t *testing.T) {
	t.Parallel()
	conn := connect(t, 4)
	first := newTally()
	first.output = true
	upstream := stage.Options{Name: "upstream", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, Factory: first.factory, Linger: 1500 * time.Millisecond}
	options, counts, all := hoarding(t, conn, "downstream")
	options.Stream, options.Subjects = bus.StreamSpan, func(p int) []string { return []string{"millrace.span." + strconv.Itoa(p) + ".>"} }
	options.Upstream, options.Linger = []string{"upstream"}, 500*time.Millisecond
	stopFirst, stopSecond := start(t, upstream), start(t, options)
	publishNumbers(t, conn, 400)
	eventually(t, 20*time.Second, "both read", func() bool { return counts.total() == 400 })
	var group sync.WaitGroup
	group.Go(stopFirst)
	group.Go(stopSecond)
	publishNumbers(t, conn, 4000)
	group.Wait()
	if got := all.total(); got != 4400 || all.final != 4 {
		t.Errorf("%d records were put out, %d of 4 partitions know that it was final; want 4400", got, all.final)
	}
}
