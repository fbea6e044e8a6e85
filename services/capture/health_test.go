package capture

import (
	"io"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/telemetry"
)

// Readiness fails while something is refused and for a few looks after, also if that comes again before the log has
// said that it ended.
func TestHealthJudge(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.NewTo(io.Discard, config.Telemetry{}, "capture")
	if err != nil {
		t.Fatal(err)
	}
	h := &health{tel: tel}
	start := time.Unix(1_700_000_000, 0)
	for i, step := range []struct {
		after   time.Duration
		refused uint64
		failing bool
	}{
		{0, 0, false},
		{time.Second, 5, true},
		{2 * time.Second, 5, true},
		{5 * time.Second, 5, false},
		{6 * time.Second, 7, true},
		{10 * time.Second, 7, false},
		{50 * time.Second, 7, false},
		{51 * time.Second, 8, true},
	} {
		if err := h.judge("buffer", "the buffer is full", step.refused, start.Add(step.after)); (err != nil) != step.failing {
			t.Errorf("step %d: %v", i, err)
		}
	}
}
