package pipeline

import (
	"sync/atomic"
	"time"
)

// horizon is how far back events may still be on their way through the pipeline. It costs nothing per event: whatever
// is read was recorded after the last look began that found nothing left behind it. Times are CLOCK_MONOTONIC in
// nanoseconds, 0 for none yet.
type horizon struct {
	began uint64 // when the present look at the kernel side's buffer began, or before
	read  uint64 // every event before was read
	since uint64 // every event before, but for those that are held, was in batches that were handed over
	// settled: every event before was handed over or left.
	settled atomic.Uint64
}

// look notes the end of a look at the buffer, and the beginning of the next.
func (h *horizon) look(drained bool, now uint64) {
	if drained {
		h.read = h.began
	}
	h.began = now
}

// flushed notes that every batch was handed over.
func (h *horizon) flushed() { h.since = h.read }

// release notes that what was held since a time goes into batches, if anything was.
func (h *horizon) release(since uint64, some bool) {
	if some {
		h.since = min(h.since, since)
	}
}

// settle tells others.
func (h *horizon) settle(held *hold, now time.Time) {
	settled := h.since
	if oldest, some := held.oldest(now); some {
		settled = min(settled, oldest)
	}
	h.settled.Store(settled)
}

// Settled is the time, CLOCK_MONOTONIC in nanoseconds, before which every event was handed to the output, is not
// watched, or has been held for its pod for long; 0 if none is known yet. An opening that waits for the connection's
// owner does not count: it may for ever. It is safe for concurrent use.
func (p *Pipeline) Settled() uint64 { return p.horizon.settled.Load() }
