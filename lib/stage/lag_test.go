package stage_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// gate is a processor that blocks, in Process or in Tick, for as long as it is shut.
type gate struct {
	counter
	shut    sync.RWMutex
	blocks  atomic.Bool
	inTicks bool
}

func (g *gate) wait() {
	if !g.shut.TryRLock() {
		g.blocks.Store(true)
		g.shut.RLock()
	}
	defer g.shut.RUnlock()
}

func (g *gate) Process(ctx context.Context, records []stage.Record, out stage.Output) error {
	if !g.inTicks {
		g.wait()
	}
	return g.counter.Process(ctx, records, out)
}

func (g *gate) Tick(context.Context, time.Time, stage.Output) error {
	if g.inTicks {
		g.wait()
	}
	return nil
}

// The lag of a partition whose processor blocks counts what the processor has, what was received meanwhile, and what
// waits at the server.
func TestLagOfBlocked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inTicks bool
		// Published before it blocks, and after.
		before, after int
		want          int64
	}{
		"in a tick, less than a request":    {true, 3, 10, 10},
		"in a tick, more than a request":    {true, 3, 100, 100},
		"in records, less than a request":   {false, 0, 10, 10},
		"in records, more than two of them": {false, 0, 100, 100},
		"in a tick, nothing to read":        {true, 3, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t, 2) // The other one, which has no records, puts marks: they are no lag.
			tally := newTally()
			g := &gate{counter: counter{tally: tally}, inTicks: c.inTicks}
			opened := sync.OnceFunc(g.shut.Unlock)
			if !c.inTicks {
				g.shut.Lock()
			}
			start(t, stage.Options{
				Name: "blocked", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, PrefetchRecords: 16,
				Factory: func(p int) (stage.Processor, error) {
					if p > 0 {
						return tally.factory(p)
					}
					return g, nil
				},
			})
			publish(t, conn, 0, 0, c.before)
			eventually(t, 20*time.Second, "what was there is processed", func() bool { return tally.total() == uint64(c.before) })
			if c.inTicks {
				g.shut.Lock()
				t.Cleanup(opened)
				eventually(t, 20*time.Second, "it blocks", g.blocks.Load)
			}
			t.Cleanup(opened)
			publish(t, conn, 0, c.before, c.after)
			lag := func() int64 {
				all, err := stage.Partitions(t.Context(), conn, "blocked")
				if err != nil {
					t.Fatal(err)
				}
				return all[0].Lag
			}
			eventually(t, 20*time.Second, "the lag is known", func() bool { return lag() == c.want })
			time.Sleep(3 * time.Second) // It stays so.
			if got := lag(); got != c.want {
				t.Errorf("the lag is %d, want %d", got, c.want)
			}
			opened()
			eventually(t, 20*time.Second, "all is processed and nothing waits", func() bool {
				return tally.total() == uint64(c.before+c.after) && lag() == 0
			})
		})
	}
}
