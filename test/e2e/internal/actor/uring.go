package actor

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations and layout of linux/io_uring.h.
const (
	opSend    = 26 // IORING_OP_SEND
	opReceive = 27 // IORING_OP_RECV

	enterGetEvents = 1 // IORING_ENTER_GETEVENTS

	offsetSubmission = 0          // IORING_OFF_SQ_RING
	offsetCompletion = 0x8000000  // IORING_OFF_CQ_RING
	offsetEntries    = 0x10000000 // IORING_OFF_SQES
)

type uringParams struct {
	sqEntries, cqEntries, flags, threadCPU, threadIdle, features, wqFD uint32
	_                                                                  [3]uint32
	sq                                                                 struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

type submission struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset, addr  uint64
	length        uint32
	opFlags       uint32
	user          uint64
	_             [3]uint64
}

type completion struct {
	user   uint64
	result int32
	flags  uint32
}

type ring struct {
	fd      int
	params  uringParams
	sq, cq  []byte
	entries []byte
}

func newRing() (*ring, error) {
	r := &ring{}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&r.params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r.fd = int(fd)
	var err error
	mapped := func(offset int64, size uint32) []byte {
		if err != nil {
			return nil
		}
		var b []byte
		b, err = unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		return b
	}
	r.sq = mapped(offsetSubmission, r.params.sq.array+r.params.sqEntries*4)
	r.cq = mapped(offsetCompletion, r.params.cq.cqes+r.params.cqEntries*uint32(unsafe.Sizeof(completion{})))
	r.entries = mapped(offsetEntries, r.params.sqEntries*uint32(unsafe.Sizeof(submission{})))
	if err != nil {
		return nil, fmt.Errorf("map io_uring: %w", err)
	}
	return r, nil
}

// uring does one operation through io_uring and waits for it.
func (p *player) uring(op uint8, fd int, b []byte) (int, error) {
	if p.ring == nil {
		r, err := newRing()
		if err != nil {
			return 0, err
		}
		p.ring = r
	}
	r := p.ring
	word := func(m []byte, at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&m[at])) }
	tail := word(r.sq, r.params.sq.tail)
	slot := *tail & *word(r.sq, r.params.sq.mask)
	entry := (*submission)(unsafe.Pointer(&r.entries[uintptr(slot)*unsafe.Sizeof(submission{})]))
	*entry = submission{opcode: op, fd: int32(fd), addr: uint64(address(b)), length: uint32(len(b)), user: 1}
	*word(r.sq, r.params.sq.array+slot*4) = slot
	atomic.StoreUint32(tail, *tail+1)
	for submit := uintptr(1); ; submit = 0 {
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), submit, 1, enterGetEvents, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return 0, fmt.Errorf("io_uring_enter: %w", errno)
		}
		head := word(r.cq, r.params.cq.head)
		if *head == atomic.LoadUint32(word(r.cq, r.params.cq.tail)) {
			continue
		}
		at := r.params.cq.cqes + (*head&*word(r.cq, r.params.cq.mask))*uint32(unsafe.Sizeof(completion{}))
		result := (*completion)(unsafe.Pointer(&r.cq[at])).result
		atomic.StoreUint32(head, *head+1)
		runtime.KeepAlive(b)
		if result < 0 {
			return 0, unix.Errno(-result)
		}
		return int(result), nil
	}
}
