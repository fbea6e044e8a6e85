package stage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// term is a time without a lapse in which a worker may process and publish. When the lease lapses the worker stands
// still: it waits in [worker.enter], with its state, for another term or for its end.
type term struct {
	lapse uint64        // how many times leases had lapsed when it began
	since time.Duration // when it began, 0 for a worker's first
	// sending ends when the lease lapses; calling only half a margin later, so that a call of the processor that takes
	// a moment longer, which can neither publish nor checkpoint any more, need not be spoilt. Others wait for the whole
	// margin.
	sending, calling   context.Context
	suspend, interrupt context.CancelFunc
}

// enterPoll is how often a worker that stands still looks whether it may go on.
const enterPoll = 20 * time.Millisecond

// renew begins a term. A call that is still running goes on.
func (w *worker) renew(lapse uint64) {
	t := &term{lapse: lapse}
	t.sending, t.suspend = context.WithCancel(w.process)
	if last := w.term.Load(); last != nil && w.ctx != nil && last.lapse != lapse {
		t.since = w.instance.clock()
		if last.calling.Err() == nil {
			t.calling, t.interrupt = last.calling, last.interrupt
		}
	}
	if t.calling == nil {
		t.calling, t.interrupt = context.WithCancel(w.process)
	}
	w.term.Store(t)
}

// valid reports whether the lease holds now.
func (w *worker) valid(ctx context.Context) bool {
	return ctx.Err() == nil && w.instance.valid(w.term.Load().lapse)
}

// enter waits until the lease holds. It gives nil when ctx or the worker ends first.
func (w *worker) enter(ctx context.Context) *term {
	for {
		t := w.term.Load()
		switch {
		case ctx.Err() != nil || w.ctx.Err() != nil:
			return nil
		case w.instance.valid(t.lapse):
			return t
		}
		select {
		case <-ctx.Done():
		case <-w.ctx.Done():
		case <-time.After(enterPoll):
		}
	}
}

func (w *worker) enterCalling() context.Context {
	if t := w.enter(w.ctx); t != nil {
		return t.calling
	}
	return nil
}

func (w *worker) enterSending() context.Context {
	if t := w.enter(w.ctx); t != nil {
		return t.sending
	}
	return nil
}

// suspend makes workers see a lapse that the coordinator has seen.
func (i *instance) suspend(now time.Duration) {
	c := i.coordinator
	if last := i.lapses.Swap(c.lapses); last != c.lapses {
		i.metrics.add(func(m *metrics) prometheus.Counter { return m.lapses }, c.lapses-last)
		for _, w := range i.workers {
			w.term.Load().suspend()
		}
	}
	if now >= c.validUntil+c.margin/2 {
		for _, w := range i.workers {
			w.term.Load().interrupt()
		}
	}
}

// pause is how long the instance has nothing to do by itself: until its leases end, until calls are interrupted after
// that, or until something is tried again.
func (i *instance) pause() time.Duration {
	again := i.options.HeartbeatInterval / 4
	now, c := i.clock(), i.coordinator
	next := c.validUntil - now
	if next <= 0 {
		next = c.validUntil + c.margin/2 - now
	}
	switch {
	case next <= 0:
		return again
	case c.settled():
		return max(next, time.Millisecond)
	default:
		return max(min(next, again), time.Millisecond)
	}
}

// confirm lets a worker go on whose lease was renewed after a lapse. The compare-and-set of the lease has proven that
// nobody else owned the partition in between, unless the bucket is another one in which revisions happen to be the
// same: hence the look at its creation, after the fact. The checkpoint's entry can only have been sealed by an instance
// whose clocks stood still; the next compare-and-set would notice that, but it is better noticed before anything is
// processed.
func (i *instance) confirm(w *worker, lapse uint64, created time.Time) {
	if w == nil {
		return
	}
	for w.ctx.Err() == nil {
		err := i.confirmed(w, created)
		if errors.Is(err, errFenced) {
			i.log.Error("partition given up", "partition", w.partition, "error", err)
			i.metrics.add(func(m *metrics) prometheus.Counter { return m.fenced }, 1)
			w.cancel()
			return
		}
		if err == nil {
			i.post(func() {
				// After another lapse there is another confirmation.
				if i.workers[w.partition] == w && i.coordinator.lapses == lapse {
					w.renew(lapse)
					i.metrics.add(func(m *metrics) prometheus.Counter { return m.resumes }, 1)
				}
			})
			return
		}
		i.log.Debug("suspended partition waits", "partition", w.partition, "cause", err)
		if !i.valid(lapse) {
			return
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(retryAcquire):
		}
	}
}

func (i *instance) confirmed(w *worker, created time.Time) error {
	ctx, cancel := context.WithTimeout(w.ctx, requestTimeout)
	defer cancel()
	status, err := i.leases.Status(ctx)
	if err != nil {
		return fmt.Errorf("bucket of leases: %w", err)
	}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok && !s.StreamInfo().Created.Equal(created) {
		return fmt.Errorf("%w: the bucket of leases was made anew", errFenced)
	}
	known := w.status.revision.Load()
	if known == 0 {
		return nil // It has no state yet, and will seal the checkpoint.
	}
	e, err := i.store.manifest(ctx, w.partition)
	switch {
	case errors.Is(err, errRefused):
		return fmt.Errorf("%w: %w", errFenced, err)
	case err != nil:
		return err
	case e.revision == known, e.epoch == w.epoch && strings.HasPrefix(e.writer, i.id+"-"):
		return nil // The second is a write of ours whose answer is still on its way.
	case e.revision == 0:
		w.missing.Store(true) // Others deleted it; a rival would have sealed one.
		return nil
	case e.revision > known:
		return fmt.Errorf("%w: its checkpoint is not ours", errFenced)
	default:
		return errors.New("the checkpoint was read from a server that is behind")
	}
}
