package stage

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// clock is local time that only moves forward, also while the process is stopped or the machine sleeps. Its origin
// means nothing.
type clock func() time.Duration

// bootClock tells CLOCK_BOOTTIME, to within [anchorSlack]. Go's own monotonic clock is CLOCK_MONOTONIC, which stands
// still while the machine is suspended: a lease would seem valid after a laptop or a virtual machine slept through its
// end.
//
// It is asked before every call of a processor and every publish, and CLOCK_BOOTTIME is a system call: up to 1.5 µs
// where Go reads its own clocks in 50 ns. So the system call is made once, and again when the wall clock's lead over
// the monotonic clock has changed. The kernel moves the wall clock and the boot clock forward together when it resumes
// (__timekeeping_inject_sleeptime), and slewing moves wall and monotonic clock alike, so that lead changes when the
// machine has slept, when somebody sets the clock, and not otherwise.
func bootClock() time.Duration { return booted.read(time.Now, readBootTime) }

// anchor ties the boot clock to Go's clocks.
type anchor struct{ known atomic.Pointer[leads] }

// leads are of other clocks over the monotonic one, which begins with the process here.
type leads struct{ boot, wall time.Duration }

// anchorSlack is by how much an anchor may be wrong, and how small a change of the wall clock is taken for the time
// between two readings.
const anchorSlack = 100 * time.Microsecond

var booted anchor

func (a *anchor) read(now func() time.Time, boot func() (time.Duration, bool)) time.Duration {
	t := now()
	known := a.known.Load()
	if known != nil && (wallLead(t)-known.wall).Abs() < anchorSlack {
		return t.Sub(processStart) + known.boot
	}
	for attempt := 0; ; attempt++ {
		before := now()
		at, ok := boot()
		after := now()
		if !ok {
			return after.Sub(processStart)
		}
		// A thread that lost its processor in between learns little.
		if after.Sub(before) >= anchorSlack {
			if attempt < 10 {
				continue
			}
			return at
		}
		// This errs on the side of a clock that is behind by what lies between the readings. One that is already
		// further stays so.
		fresh := &leads{boot: at - after.Sub(processStart), wall: wallLead(after)}
		if known != nil {
			fresh.boot = max(fresh.boot, known.boot)
		}
		a.known.Store(fresh)
		return after.Sub(processStart) + fresh.boot
	}
}

// wallLead is how far the wall clock is ahead of the monotonic one.
func wallLead(t time.Time) time.Duration { return time.Duration(t.UnixNano()) - t.Sub(processStart) }

func readBootTime() (time.Duration, bool) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// onCPU calls f and gives the time that a processor worked on it, without that in which others had the processor. Work
// that f leaves to other goroutines is not in it. It is for metrics alone.
func onCPU(f func() error) (time.Duration, error) {
	runtime.LockOSThread() // The clock is the thread's.
	defer runtime.UnlockOSThread()
	began := threadClock()
	err := f()
	return threadClock() - began, err
}

func threadClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

var processStart = time.Now()
