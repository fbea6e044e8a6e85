package pipeline

import (
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture/internal/batch"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/send"
)

// sinces keeps since when there can be events in what was pushed.
type sinces struct {
	output
	list []uint64
}

func (s *sinces) Push(b send.Batch, d []send.Dropped) []send.Dropped {
	s.list = append(s.list, b.Since)
	return s.output.Push(b, d)
}

// An event is settled when it was handed over, and not before the kernel side's buffer was seen empty behind it.
func TestSettled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	out := &sinces{}
	f.Output = out
	flush := func(drained bool) {
		f.flushedAt = time.Time{} // It is due.
		f.Idle(drained)
	}
	settles := func(what string, from, to uint64) {
		t.Helper()
		if got := f.Settled(); got < from || got > to {
			t.Fatalf("%s: settled up to %d, want %d to %d", what, got, from, to)
		}
	}
	if f.Settled() != 0 {
		t.Fatal("settled before anything was read")
	}
	start := batch.Monotonic()
	flush(true)
	settles("the first look does not tell since when it saw everything", 0, 0)
	flush(true)
	settles("the look before found everything up to its beginning", start, batch.Monotonic())
	f.flushedAt = time.Now().Add(time.Hour) // Not due.
	k := f.connect("127.0.0.1:80")
	happened := batch.Monotonic()
	f.send(k, 0, "GET / HTTP/1.1\r\n\r\n")
	f.Idle(true)
	f.Idle(true)
	settles("in an unfinished batch", start, happened)
	flush(false)
	if n := len(out.list); n != 1 || out.list[0] > happened || out.list[0] < start {
		t.Fatalf("batches since %v, of an event at %d", out.list, happened)
	}
	before := f.Settled()
	if before < happened {
		t.Fatalf("settled up to %d, and the event of %d was handed over", before, happened)
	}
	f.Idle(false)
	flush(false)
	flush(false)
	settles("more is in the buffer", before, batch.Monotonic())
	full := batch.Monotonic()
	flush(false)
	flush(false)
	if f.Settled() > full {
		t.Errorf("settled up to %d, and the buffer was not empty since %d", f.Settled(), full)
	}
	flush(true)
	flush(true)
	settles("all is read", full, batch.Monotonic())
}

// What is held of a process about which nothing is decided yet is not settled, and the batch that it goes into says how
// old it is.
func TestHeldIsNotSettled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	out := &sinces{}
	f.Output = out
	proc := f.Inventory.Lookup(f.pid)
	proc.Inspected, proc.Selection = false, process.Selection{}
	flush := func() {
		f.flushedAt = time.Time{}
		f.Idle(true)
	}
	flush()
	flush()
	k := f.connect("127.0.0.1:80")
	happened := batch.Monotonic()
	f.send(k, 0, "GET / HTTP/1.1\r\n\r\n")
	for range 5 {
		flush()
	}
	if got := f.Settled(); got > happened || got == 0 {
		t.Fatalf("settled up to %d, and an event of %d is held", got, happened)
	}
	for _, held := range f.held.processes {
		held.since = time.Now().Add(-2 * holdTime)
	}
	flush()
	if len(out.list) != 1 || out.list[0] > happened || out.list[0] == 0 {
		t.Errorf("batches since %v, of an event at %d", out.list, happened)
	}
	flush()
	if got := f.Settled(); got < happened {
		t.Errorf("settled up to %d, and all of it was handed over", got)
	}
}
