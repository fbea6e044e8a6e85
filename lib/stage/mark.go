package stage

import (
	"context"
	"math/rand/v2"
	"time"
)

// Marks of time are empty messages that instances put into their input stream while a partition of theirs waits for
// records. Every partition reads them, in order with its records, and the time at which the stream stored one is the
// time that its processor is told. So time has its place in the stream, as records have: no record that was stored
// before a time can come after it, whichever server stamped it, however long it was on its way and however often it is
// read again. A clock beside the stream cannot say that.
const (
	// markAfter is how long a partition waits without a word of the time before its instance puts a mark; markSpread is
	// added at random, so that one instance is mostly quicker than the others.
	markAfter  = 150 * time.Millisecond
	markSpread = 100 * time.Millisecond
	// markQuiet is the same when the instance had neither records nor outputs for [quietAfter].
	markQuiet = time.Second
	// markTimeout is how long a mark may take to be stored before there is another.
	markTimeout = time.Second
	// markFailures is how long marks may fail before that is shown: a change of leader is over by then.
	markFailures = 10 * time.Second
	// beatsWithin is how long ago a worker has beaten at most that is not blocked.
	beatsWithin = 2 * time.Second
)

// marker puts marks. It belongs to the metronome but for what is atomic in the instance.
type marker struct {
	instance *instance
	spread   time.Duration
}

// consider puts a mark if a partition has waited long enough. Only owners do: others' partitions are not theirs to
// wake.
func (m *marker) consider(ctx context.Context, now time.Duration, workers []*worker, quiet bool) {
	i := m.instance
	after := markAfter + m.spread
	if quiet {
		after = markQuiet
	}
	if int64(now) >= i.validUntil.Load() || !overdue(workers, now-after) || i.marking.Swap(true) {
		return
	}
	m.spread = rand.N(markSpread)
	go func() {
		defer i.marking.Store(false)
		if err := i.mark(ctx); err == nil {
			i.unmarked.Store(nil)
		} else if ctx.Err() == nil {
			i.unmarked.CompareAndSwap(nil, &markFailure{err: err, since: now})
		}
	}()
}

// overdue reports whether a worker waits that has heard nothing since.
func overdue(workers []*worker, since time.Duration) bool {
	for _, w := range workers {
		if w.status.waiting.Load() && time.Duration(w.status.heard.Load()) <= since {
			return true
		}
	}
	return false
}

// mark puts one mark.
func (i *instance) mark(ctx context.Context) error {
	_, err := i.putMark(ctx, nil)
	return err
}

// markFailure is why marks are not stored.
type markFailure struct {
	err   error
	since time.Duration
}

// timeless is the error of an instance whose partitions hear nothing of the time while they wait: what waits for time
// to pass stands still. Where records tell the time after all, no mark is put any more that could be stored.
func (i *instance) timeless(now time.Duration) error {
	f := i.unmarked.Load()
	if f == nil || now-f.since < markFailures {
		return nil
	}
	for _, w := range i.workers {
		if time.Duration(w.status.heard.Load()) <= f.since && now-time.Duration(w.status.beat.Load()) < beatsWithin {
			return f.err
		}
	}
	i.unmarked.CompareAndSwap(f, nil)
	return nil
}
