package kernel

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// alarm waits for time to pass, or for the kernel side to ring: it does for the few records that should be looked at
// soon, such as the start of a program.
type alarm struct {
	file *os.File
	raw  syscall.RawConn
}

// newAlarm makes an alarm of the ring buffer with this descriptor, which stays the caller's.
func newAlarm(ring int) (*alarm, error) {
	fd, err := unix.FcntlInt(uintptr(ring), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the ring buffer's descriptor: %w", err)
	}
	// That is what makes the runtime wait for it with epoll, edge-triggered: only for wake-ups, not because there is
	// something to read.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the ring buffer: %w", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "ring buffer")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the ring buffer: %w", err), file.Close())
	}
	return &alarm{file: file, raw: raw}, nil
}

// wait returns after the interval or when the alarm rings, and fails after close.
func (a *alarm) wait(interval time.Duration) error {
	if err := a.file.SetReadDeadline(time.Now().Add(interval)); err != nil {
		return err
	}
	rung := false
	err := a.raw.Read(func(uintptr) bool {
		before := rung
		rung = true
		return before // False at first: wait, then look again.
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func (a *alarm) close() error { return a.file.Close() }
