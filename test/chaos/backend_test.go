package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/bus"
)

// readAhead is what the owners of all partitions of a stage read ahead at most, in MiB: two requests each
// (stage.Options.PrefetchBytes).
const readAhead = partitions * 2 * 2

// The backend is away under load and comes back: everything arrives once, late. What waits shows as lag and not as
// memory: requests are fat, and no stage grows by more than what it reads ahead and half of the rest of the backlog.
func TestBackendAway(t *testing.T) {
	d := deploy(t, shape{query: 7000, bytes: 1024})
	time.Sleep(2 * time.Second)
	before, stored := d.residents(), d.stored(bus.StreamSpan)
	d.backend.Close()
	d.repeats = true // What it had taken without answering comes again.
	time.Sleep(max(*duration, 20*time.Second))
	backlog := 0
	d.within(time.Minute, "the backlog is larger than what is read ahead", func() error {
		if backlog = int(d.stored(bus.StreamSpan)-stored) >> 20; backlog < 2*readAhead+8 {
			return fmt.Errorf("%d MiB", backlog)
		}
		return nil
	})
	after := d.residents()
	for _, stage := range stages[exporter] {
		if lag := d.lag(stage); lag < 50 {
			t.Errorf("the lag of %s is %d although the backend is away", stage, lag)
		}
		table := d.command("partitions", stage)
		t.Logf("while the backend is away:\n%s", table)
		if strings.Count(table, "\n") != partitions+1 || strings.Contains(table, "owner is gone") {
			t.Errorf("millrace partitions says:\n%s", table)
		}
	}
	for _, kind := range kinds {
		t.Logf("%ss: %d MiB before, %d MiB with a backlog of %d MiB", kind, before[kind], after[kind], backlog)
		if after[kind]-before[kind] > readAhead+(backlog-readAhead)/2 {
			t.Errorf("%ss grew from %d to %d MiB with a backlog of %d MiB", kind, before[kind], after[kind], backlog)
		}
	}
	d.must(d.backend.Open())
	d.check()
	for _, stage := range stages[exporter] {
		if lag := d.lag(stage); lag != 0 {
			t.Errorf("the lag of %s is %d in the end", stage, lag)
		}
	}
}
