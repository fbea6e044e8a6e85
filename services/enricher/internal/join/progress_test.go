package join

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Partitions of the decoder stand still, as after a crash, for longer than the hold time, while others go on: each tree
// comes out as one trace, and each span with the facts of its other side.
func TestDecoderBehind(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(s *simulation, i int){
		"alone": nil,
		"enrichers crash too": func(s *simulation, i int) {
			if s.rng.IntN(3) == 0 {
				s.checkpoint(i)
			} else {
				s.crash(i)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				s := newSimulation(t, seed, 8, defaults)
				w := newWorld(s)
				for k := range int64(4) {
					from := epoch + (2+k)*int64(time.Second)
					w.stalls = append(w.stalls, stall{from, from + int64(time.Duration(k*4)*time.Second)})
				}
				w.announce(epoch + int64(60*time.Second))
				for range 60 {
					w.root(epoch + w.rng.Int64N(int64(20*time.Second)))
				}
				for range 800 {
					s.run(s.now + int64(100*time.Millisecond))
					if disturb != nil && s.now < epoch+int64(45*time.Second) && s.rng.IntN(4) == 0 {
						disturb(s, s.rng.IntN(len(s.partitions)))
					}
				}
				w.check()
				if n := testutil.ToFloat64(s.counters.Conflicts) + testutil.ToFloat64(s.counters.Late); n != 0 {
					t.Errorf("%v late facts", n)
				}
				if t.Failed() {
					t.Fatalf("seed %d, %d spans", seed, len(w.expected))
				}
			}
		})
	}
}

// A partition of the decoder that stays behind holds others up for so long, and no longer. Statements that make no
// sense are counted.
func TestProgressIsBounded(t *testing.T) {
	t.Parallel()
	settings := defaults
	settings.Partitions = 2
	p := New(0, settings, newCounters(t))
	hold := int64(settings.Hold)
	tell := func(at int64, partition uint32, reached int64) {
		data, err := (&millracev1.ProgressBatch{
			Version: 1, Partitions: []*millracev1.Progress{{Partition: partition, TimeUnixNs: uint64(reached)}},
		}).MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		err = p.Process(context.Background(), []stage.Record{{Subject: bus.ProgressSubject, Time: time.Unix(0, at), Data: data}}, &collect{})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name      string
		at        int64
		partition uint32
		reached   int64
		clock     int64
	}{
		{"up to date", epoch, 0, epoch, epoch},
		{"the other was never heard of", epoch + hold/4, 0, epoch, epoch + hold/4},
		{"a little late", epoch + hold, 0, epoch + hold/2, epoch + hold},
		{"behind", epoch + 2*hold, 1, epoch + hold/2, epoch + hold/2 + hold - hold/4},
		{"back in time", epoch + 2*hold, 1, epoch, epoch + hold/2 + hold - hold/4},
		{"no such partition", epoch + 2*hold, 2, epoch, epoch + hold/2 + hold - hold/4},
		{"caught up", epoch + 3*hold, 1, epoch + 3*hold, epoch + hold/2 + hold - hold/4},
		{"both caught up", epoch + 3*hold, 0, epoch + 3*hold, epoch + 3*hold},
		{"for ever", epoch + 30*hold, 1, epoch + 30*hold, epoch + 20*hold},
	} {
		tell(step.at, step.partition, step.reached)
		if p.clock != step.clock {
			t.Errorf("%s: clock %v after the start, want %v", step.name, time.Duration(p.clock-epoch), time.Duration(step.clock-epoch))
		}
	}
	if n := testutil.ToFloat64(p.counters.Malformed.WithLabelValues("batch")); n != 1 {
		t.Errorf("%v malformed", n)
	}
}
