package batch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ClockOffset measures CLOCK_REALTIME - CLOCK_MONOTONIC in nanoseconds. Each try reads the real time between two
// readings of the monotonic clock; the tightest bracket counts, so an interruption in between does no harm.
func ClockOffset() (int64, error) {
	var before, real, after unix.Timespec
	best, offset := int64(-1), int64(0)
	for range 5 {
		for _, read := range []struct {
			clock int32
			into  *unix.Timespec
		}{{unix.CLOCK_MONOTONIC, &before}, {unix.CLOCK_REALTIME, &real}, {unix.CLOCK_MONOTONIC, &after}} {
			if err := unix.ClockGettime(read.clock, read.into); err != nil {
				return 0, fmt.Errorf("read clock %d: %w", read.clock, err)
			}
		}
		width := after.Nano() - before.Nano()
		if best < 0 || width < best {
			best, offset = width, real.Nano()-(before.Nano()+width/2)
		}
	}
	return offset, nil
}

// Monotonic reads CLOCK_MONOTONIC, in nanoseconds; 0 if it cannot be read.
func Monotonic() uint64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0
	}
	return uint64(now.Nano())
}
