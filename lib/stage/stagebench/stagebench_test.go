package stagebench

import (
	"context"
	"testing"
	"time"

	"millrace.dev/lib/stage"
)

// witness notes how it is called.
type witness struct {
	t                       *testing.T
	told                    time.Time
	ticks, records, written int
}

func (w *witness) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	for _, r := range records {
		if r.Time.Before(w.told) || !r.Time.Before(w.told.Add(tick)) {
			w.t.Errorf("record of %v after %v was told", r.Time, w.told)
		}
		out.Publish("subject", "", r.Data[:1])
		w.records++
	}
	return nil
}

func (w *witness) Tick(_ context.Context, now time.Time, _ stage.Output) error {
	w.told = now
	w.ticks++
	return nil
}

func (w *witness) Snapshot(dst []byte) ([]byte, error) {
	w.written++
	return append(dst, make([]byte, 1000)...), nil
}

func (w *witness) Restore([]byte) error { return nil }

// The processor gets the time and is asked for snapshots as often as the stream's time says, and what goes in and comes
// out is counted.
func TestDriver(t *testing.T) {
	t.Parallel()
	w := &witness{t: t, told: epoch}
	d := &driver{processor: w, now: epoch, told: epoch, saved: epoch, load: Load{
		Checkpoints: checkpoints,
		Next: func(time.Time) ([]stage.Record, int) {
			return []stage.Record{{Data: []byte("xy")}, {Data: []byte("z")}}, 500
		},
	}}
	for range 2 {
		d.play(d.make(round))
	}
	if calls := 2 * 10 * rate / 500; w.records != 2*calls || d.items != 500*calls || d.in != 3*calls || d.out.bytes != 2*calls {
		t.Errorf("%d records, %d items, %d bytes in, %d bytes out in %d calls", w.records, d.items, d.in, d.out.bytes, calls)
	}
	// At 0.1 s and so on up to 19.9 s, and at 5, 10 and 15 s.
	if w.ticks != 199 || w.written != 3 {
		t.Errorf("told the time %d times, %d snapshots", w.ticks, w.written)
	}
	if d.spent <= d.checkpointing || d.checkpointing <= 0 || len(d.stored) == 0 || len(d.stored) >= 1000 {
		t.Errorf("%v of %v in checkpoints of %d bytes", d.checkpointing, d.spent, len(d.stored))
	}
}
