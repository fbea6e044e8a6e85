package join

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var defaults = Settings{Hold: 2 * time.Second, MaxPending: 100000}

// Every generated tree must come out as one trace with all its edges, whatever the order in which partitions hear of
// it.
func TestTreesAreWhole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		duplicates float64
		disturb    func(s *simulation, i int)
	}{
		"plain":      {},
		"duplicates": {duplicates: 0.2},
		"moved":      {disturb: (*simulation).move},
		"crashed": {duplicates: 0.05, disturb: func(s *simulation, i int) {
			if s.rng.IntN(3) == 0 {
				s.checkpoint(i)
			} else {
				s.crash(i)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				s := newSimulation(t, seed, 8, defaults)
				w := newWorld(s)
				w.duplicates = test.duplicates
				for range 60 {
					w.root(epoch + w.rng.Int64N(int64(20*time.Second)))
				}
				for range 600 {
					s.run(s.now + int64(100*time.Millisecond))
					if test.disturb != nil && s.now < epoch+int64(45*time.Second) && s.rng.IntN(4) == 0 {
						test.disturb(s, s.rng.IntN(len(s.partitions)))
					}
				}
				w.check()
				if test.disturb == nil && s.repeated != 0 {
					t.Errorf("%d spans came twice", s.repeated)
				}
				if n := testutil.ToFloat64(s.counters.Conflicts) + testutil.ToFloat64(s.counters.Late); n != 0 {
					t.Errorf("%v late facts", n)
				}
				for _, p := range s.partitions {
					if p.open.length != 0 || p.askers != 0 {
						t.Errorf("%d entries, %d questions left open", p.open.length, p.askers)
					}
				}
				if t.Failed() {
					t.Fatalf("seed %d, %d spans", seed, len(w.expected))
				}
			}
		})
	}
}
