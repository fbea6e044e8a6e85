package stage_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// lagging is a counter that knows of something before a limit, in Unix nanoseconds, that is still to come; 0: of
// nothing.
type lagging struct {
	counter
	limit *atomic.Int64
	read  *atomic.Int64 // the newest time it was asked about
}

func (l *lagging) Watermark(read time.Time) time.Time {
	l.read.Store(max(l.read.Load(), read.UnixNano()))
	if limit := l.limit.Load(); limit != 0 {
		return time.Unix(0, limit)
	}
	return read.Add(time.Hour) // More than was asked for counts as that.
}

func (l *lagging) Witness() time.Time {
	if limit := l.limit.Load(); limit != 0 {
		return time.Unix(0, limit)
	}
	return time.Time{}
}

// A processor that is a Watermarker lowers the time that is told, never brings it back, and does not raise it.
func TestWatermark(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	var told, limit, read atomic.Int64
	began := time.Now().UnixNano()
	limit.Store(began)
	start(t, stage.Options{
		Name: "lagging", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn,
		Factory: func(p int) (stage.Processor, error) {
			return &lagging{counter: counter{tally: newTally(), partition: p}, limit: &limit, read: &read}, nil
		},
		Progress: func(partitions []stage.Progress) (string, []byte) {
			at := partitions[0].Time.UnixNano()
			if before := told.Load(); at < before {
				t.Errorf("went back from %d to %d", before, at)
			}
			if at > read.Load() {
				t.Errorf("told %d, and nothing is read after %d", at, read.Load())
			}
			told.Store(at)
			return bus.ProgressSubject, []byte{1}
		},
	})
	if _, err := conn.Publish(context.Background(), rawSubjects(0)[0], "", []byte("1")); err != nil {
		t.Fatal(err)
	}
	second := int64(time.Second)
	eventually(t, 20*time.Second, "a second of the stream is read and nothing past the limit told", func() bool {
		return read.Load() > began+second && told.Load() == began
	})
	limit.Store(0)
	eventually(t, 20*time.Second, "all that was read is told", func() bool { return told.Load() > began+second })
	limit.Store(began)
	at := read.Load()
	eventually(t, 20*time.Second, "another second is read", func() bool { return read.Load() > at+second })
	if told.Load() > at {
		t.Errorf("told %v past what was read before the limit came back", time.Duration(told.Load()-at))
	}
}
