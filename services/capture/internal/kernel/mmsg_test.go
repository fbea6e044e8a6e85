package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      uint32
}

// mmsg sends or receives one message for each piece and gives the number of messages.
func mmsg(number uintptr, fd int, pieces [][]byte, flags int) (int, error) {
	vectors := make([]unix.Iovec, len(pieces))
	messages := make([]mmsghdr, len(pieces))
	for i, p := range pieces {
		vectors[i].Base = unsafe.SliceData(p)
		vectors[i].SetLen(len(p))
		messages[i].header.Iov = &vectors[i]
		messages[i].header.SetIovlen(1)
	}
	n, _, errno := unix.Syscall6(number, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
