package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace.dev/lib/telemetry"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/pipeline"
)

const (
	healthInterval = time.Second
	// unreadyTime is how long after the last refusal readiness still fails: a few looks.
	unreadyTime = 3 * time.Second
	// lingerTime is how long the log waits before it says that nothing more is refused, so that what is full again and
	// again is not a line of log each time.
	lingerTime = 30 * time.Second
)

// health says in the log, once, and in readiness, for as long as it lasts, that something is full and traffic is lost.
type health struct {
	tel      *telemetry.Telemetry
	tables   func() []kernel.Table
	counters interface {
		Lost(cause millracev1.LossCause) uint64
	}
	full map[string]*fullness
}

// fullness of one thing.
type fullness struct {
	refused uint64    // as of the last look
	since   time.Time // when it refused something last; zero: it does not
}

var _ interface {
	Lost(cause millracev1.LossCause) uint64
} = (*pipeline.Counters)(nil)

func (h *health) run(ctx context.Context) {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			h.look(now)
		}
	}
}

// look compares with the last look.
func (h *health) look(now time.Time) {
	var reasons []error
	for _, t := range h.tables() {
		advice := "watch fewer processes (discovery, capture.cgroup_prefix)"
		if t.Name == "connections" {
			advice = "raise capture.max_connections, or " + advice
		}
		what := fmt.Sprintf("the kernel side's table of %s is full (%d entries): %s", t.Name, t.Capacity, advice)
		reasons = append(reasons, h.judge(t.Name, what, t.Refused.Events, now))
	}
	reasons = append(reasons, h.judge("send buffer", "the send buffer is full, the oldest events are dropped: look at NATS, or raise capture.send_buffer",
		h.counters.Lost(millracev1.LossCause_LOSS_CAUSE_SEND_BUFFER_FULL), now))
	h.tel.SetReady(component, errors.Join(reasons...))
}

// judge gives the reason while something is full, and logs when that changes.
func (h *health) judge(name, what string, refused uint64, now time.Time) error {
	if h.full == nil {
		h.full = map[string]*fullness{}
	}
	f := h.full[name]
	if f == nil {
		f = &fullness{}
		h.full[name] = f
	}
	if refused != f.refused {
		if f.since.IsZero() {
			h.tel.Log.Warn("traffic is lost", "reason", what, "lost", refused-f.refused)
		}
		f.refused, f.since = refused, now
	} else if !f.since.IsZero() && now.Sub(f.since) > lingerTime {
		f.since = time.Time{}
		h.tel.Log.Info("no more traffic is lost to this", "full", name, "lost", refused)
	}
	if f.since.IsZero() || now.Sub(f.since) > unreadyTime {
		return nil
	}
	return errors.New(what)
}
