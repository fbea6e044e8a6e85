package stage

import (
	"errors"
	"testing"
	"time"
)

// An instance whose marks are not stored says so while a partition hears nothing of the time, and no longer when
// records have told it.
func TestTimeless(t *testing.T) {
	t.Parallel()
	const began, now = time.Minute, time.Minute + 2*markFailures
	failure := errors.New("not stored")
	tests := []struct {
		name        string
		failed      bool
		heard, beat time.Duration
		want        error
	}{
		{"marks are stored", false, began - 1, now, nil},
		{"nothing was heard since", true, began, now, failure},
		{"records came", true, began + time.Second, now, nil},
		{"the processor is blocked and waits for no time", true, began, now - time.Minute, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := &worker{}
			w.status.heard.Store(int64(tt.heard))
			w.status.beat.Store(int64(tt.beat))
			i := &instance{workers: map[int]*worker{3: w}}
			if tt.failed {
				i.unmarked.Store(&markFailure{err: failure, since: began})
			}
			if err := i.timeless(began + markFailures/2); err != nil {
				t.Errorf("at once: %v", err)
			}
			if err := i.timeless(now); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if left := i.unmarked.Load() != nil; left != (tt.want != nil) {
				t.Errorf("a failure is remembered: %v", left)
			}
		})
	}
}
