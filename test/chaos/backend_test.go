package chaos

import (
	"strings"
	"testing"
	"time"
)

// The backend is away under load and comes back: everything arrives once, late. What waits shows as lag and not as memory.
func TestBackendAway(t *testing.T) {
	d := deploy(t, shape{})
	time.Sleep(2 * time.Second)
	before := map[string]int{}
	for _, kind := range kinds {
		before[kind] = d.resident(kind)
	}
	d.backend.Close()
	d.repeats = true // What it had taken without answering comes again.
	time.Sleep(max(*duration, 20*time.Second))
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
		after := d.resident(kind)
		t.Logf("%s: %d MiB before, %d MiB with the backend away", kind, before[kind], after)
		if after > before[kind]+100 {
			t.Errorf("%s grew from %d to %d MiB", kind, before[kind], after)
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
