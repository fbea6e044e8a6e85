package stage_test

import (
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// follower is a counter that notes what it had counted when it was told that it had caught up.
type follower struct {
	*counter
	mu     sync.Mutex
	counts []uint64
	owned  func() bool
	closed bool
}

func (f *follower) CaughtUp(owned func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts, f.owned = append(f.counts, f.count), owned
}

func (f *follower) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// seen gives the counts, whether the partition is owned, and whether the processor was closed.
func (f *follower) seen() (counts []uint64, owned, closed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts, f.owned != nil && f.owned(), f.closed
}

// A processor learns once that nothing was left to read: not before it has all records that were there, those behind a
// checkpoint included.
func TestFollower(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	counts := newTally()
	var mu sync.Mutex
	var all []*follower
	options := stage.Options{
		Name: "counter", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
		// Batches are small, so that there is much to do between the first and the last.
		PrefetchRecords: 16,
		Factory: func(p int) (stage.Processor, error) {
			f := &follower{counter: &counter{tally: counts, partition: p}}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, f)
			return f, nil
		},
	}
	last := func() *follower {
		mu.Lock()
		defer mu.Unlock()
		return all[len(all)-1]
	}
	told := func(processors int) func() bool {
		return func() bool {
			mu.Lock()
			n := len(all)
			mu.Unlock()
			if n != processors {
				return false
			}
			counts, _, _ := last().seen()
			return len(counts) > 0
		}
	}
	publish(t, conn, 0, 0, 1000)
	stop := start(t, options)
	eventually(t, 10*time.Second, "caught up", told(1))
	publish(t, conn, 0, 1000, 500)
	eventually(t, 10*time.Second, "later records", func() bool { return counts.total() == 1500 })
	first := last()
	if counts, owned, closed := first.seen(); len(counts) != 1 || counts[0] != 1000 || !owned || closed {
		t.Errorf("told at %v, owned %v, closed %v; want once at 1000, owned", counts, owned, closed)
	}
	stop()
	if _, owned, closed := first.seen(); owned || !closed {
		t.Errorf("after the hand-over: owned %v, closed %v", owned, closed)
	}

	publish(t, conn, 0, 1500, 700)
	stop = start(t, options)
	eventually(t, 10*time.Second, "caught up again", told(2))
	if counts, owned, _ := last().seen(); len(counts) != 1 || counts[0] != 2200 || !owned {
		t.Errorf("told at %v after a restart, owned %v; want once at 2200", counts, owned)
	}
	stop()

	// Nothing to read at all.
	start(t, options)
	eventually(t, 10*time.Second, "caught up without records", told(3))
	if counts, _, _ := last().seen(); counts[0] != 2200 {
		t.Errorf("told at %v without records", counts)
	}
}
