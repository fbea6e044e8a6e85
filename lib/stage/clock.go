package stage

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock is local time that only moves forward, also while the process is stopped or the machine sleeps. Its origin means nothing.
type clock func() time.Duration

// bootClock reads CLOCK_BOOTTIME. Go's own monotonic clock is CLOCK_MONOTONIC, which stands still while the machine is suspended: a lease
// would seem valid after a laptop or a virtual machine slept through its end.
func bootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Since(processStart)
	}
	return time.Duration(ts.Nano())
}

// onCPU calls f and gives the time that a processor worked on it, without that in which others had the processor. Work that f leaves to other
// goroutines is not in it. It is for metrics alone.
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
