package stage

import (
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

var processStart = time.Now()
