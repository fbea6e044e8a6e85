package batch

import (
	"cmp"
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

// Loss is what was lost for one cause.
type Loss struct {
	Cause         millracev1.LossCause
	Events, Bytes uint64
}

// Losses collects what was lost until a batch reports it. Losses belong to the node, not to a partition, so each is
// reported once, in the first batch of whatever partition that is published after it was noticed. It is not safe for
// concurrent use.
type Losses struct {
	seen    kernel.Losses
	pending map[millracev1.LossCause]kernel.Loss
	out     []Loss
}

// Update takes the kernel side's counters, which only grow.
func (l *Losses) Update(now kernel.Losses) {
	for cause, loss := range now {
		before := l.seen[cause]
		if loss.Events > before.Events || loss.Bytes > before.Bytes {
			l.Add(cause, loss.Events-min(before.Events, loss.Events), loss.Bytes-min(before.Bytes, loss.Bytes))
		}
		if l.seen == nil {
			l.seen = kernel.Losses{}
		}
		l.seen[cause] = loss
	}
}

// Add notes a loss.
func (l *Losses) Add(cause millracev1.LossCause, events, bytes uint64) {
	if l.pending == nil {
		l.pending = map[millracev1.LossCause]kernel.Loss{}
	}
	sum := l.pending[cause]
	sum.Events += events
	sum.Bytes += bytes
	l.pending[cause] = sum
}

// Pending reports whether there is something to report.
func (l *Losses) Pending() bool { return len(l.pending) > 0 }

// Take gives what is to be reported, by cause; valid until the next call.
func (l *Losses) Take() []Loss {
	l.out = l.out[:0]
	for cause, loss := range l.pending {
		l.out = append(l.out, Loss{Cause: cause, Events: loss.Events, Bytes: loss.Bytes})
	}
	slices.SortFunc(l.out, func(a, b Loss) int { return cmp.Compare(a.Cause, b.Cause) })
	clear(l.pending)
	return l.out
}
