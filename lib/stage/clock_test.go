package stage

import (
	"testing"
	"time"
)

// The anchored clock follows CLOCK_BOOTTIME.
func TestBootClock(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for range 1000 {
		before, _ := readBootTime()
		at := bootClock()
		after, _ := readBootTime()
		if at < before-anchorSlack || at > after+anchorSlack {
			t.Fatalf("%v, want %v to %v", at, before, after)
		}
		if at < last-anchorSlack {
			t.Fatalf("%v after %v", at, last)
		}
		last = at
	}
}

// What happens to the clocks of a machine. Go's time has wall and monotonic clock in one value, so a wall clock that is
// set or has slept cannot be made up from outside; here the boot clock shows a sleep: the anchor is one
// from before it.
func TestBootClockAnchor(t *testing.T) {
	t.Parallel()
	calls := 0
	boot := 10 * time.Hour
	read := func() (time.Duration, bool) {
		calls++
		return boot + time.Since(processStart), true
	}
	a := &anchor{}
	near := func(what string, at, lead time.Duration, wantCalls int) {
		t.Helper()
		if off := at - (time.Since(processStart) + lead); off > anchorSlack || off < -time.Second {
			t.Errorf("%s: off by %v", what, off)
		}
		if calls < wantCalls || wantCalls == 0 && calls > 0 {
			t.Errorf("%s: %d readings of the boot clock", what, calls)
		}
		calls = 0
	}
	near("first", a.read(time.Now, read), boot, 1)
	near("again", a.read(time.Now, read), boot, 0)
	boot += time.Hour
	known := *a.known.Load()
	a.known.Store(&leads{boot: known.boot, wall: known.wall - time.Hour}) // The wall clock has gained an hour since, as the boot clock has.
	near("slept", a.read(time.Now, read), boot, 1)
	near("after that", a.read(time.Now, read), boot, 0)
	known = *a.known.Load()
	a.known.Store(&leads{boot: known.boot, wall: known.wall + time.Minute})
	near("set back", a.read(time.Now, read), boot, 1)
	if a.known.Load().boot < known.boot {
		t.Error("the clock went back")
	}
}
