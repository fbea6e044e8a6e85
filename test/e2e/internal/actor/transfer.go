package actor

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// send sends the step's message in the pieces it asks for.
func (p *player) send(fd int, s *Step, r *Result) error {
	data := p.message(s)
	for i := 0; len(data) > 0; i++ {
		size := len(data)
		switch {
		case i < len(s.Cuts):
			size = min(size, s.Cuts[i])
		case s.Chunk > 0:
			size = min(size, s.Chunk)
		}
		if i > 0 && s.Delay > 0 {
			time.Sleep(s.Delay)
		}
		piece := data[:size]
		data = data[size:]
		for len(piece) > 0 {
			begin := now()
			if r.Calls == 0 {
				r.Begin = begin // Making a large message took its time.
			}
			n, err := p.sendOnce(fd, s.Via, piece)
			end := now()
			r.Calls++
			if errors.Is(err, unix.EAGAIN) {
				r.EAGAIN++
				if err := poll(fd, unix.POLLOUT); err != nil {
					return err
				}
				continue
			}
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return err
			}
			if r.FirstEnd == 0 {
				r.FirstEnd = end
			}
			r.LastBegin, r.End = begin, end
			r.N += n
			piece = piece[n:]
		}
	}
	return nil
}

func (p *player) sendOnce(fd int, via string, b []byte) (int, error) {
	switch via {
	case "", "write":
		return unix.Write(fd, b)
	case "writev":
		return unix.Writev(fd, thirds(b))
	case "pwritev2":
		return unix.Pwritev2(fd, thirds(b), -1, 0)
	case "sendto":
		return raw(unix.SYS_SENDTO, uintptr(fd), address(b), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	case "sendmsg":
		return unix.SendmsgBuffers(fd, thirds(b), nil, nil, unix.MSG_NOSIGNAL)
	case "sendmmsg":
		return sendmmsg(fd, b)
	case "sendfile":
		return sendfile(fd, b)
	case "splice", "vmsplice":
		return spliceOut(fd, via, b)
	case "iouring":
		return p.uring(opSend, fd, b)
	}
	return 0, fmt.Errorf("unknown system call %q", via)
}

// receive receives until N bytes have come or the stream ends.
func (p *player) receive(fd int, s *Step, r *Result) error {
	size := s.Chunk
	if size == 0 {
		size = 64 << 10
	}
	if s.WaitAll {
		size = s.N
	}
	if len(p.buffer) < size {
		p.buffer = make([]byte, size)
	}
	for r.N < s.N {
		want := min(size, s.N-r.N)
		if s.Peek {
			if _, _, err := unix.Recvfrom(fd, p.buffer[:want], unix.MSG_PEEK); err != nil && !errors.Is(err, unix.EAGAIN) {
				return err
			}
		}
		begin := now()
		n, err := p.receiveOnce(fd, s, p.buffer[:want])
		end := now()
		r.Calls++
		if errors.Is(err, unix.EAGAIN) {
			r.EAGAIN++
			if err := poll(fd, unix.POLLIN); err != nil {
				return err
			}
			continue
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			r.End = end
			return err
		}
		if r.FirstEnd == 0 {
			r.FirstEnd = end
		}
		r.LastBegin, r.End = begin, end
		if n == 0 {
			return nil // N reports what came
		}
		r.N += n
		if s.Delay > 0 && r.N < s.N {
			time.Sleep(s.Delay)
		}
	}
	return nil
}

func (p *player) receiveOnce(fd int, s *Step, b []byte) (int, error) {
	flags := 0
	if s.WaitAll {
		flags |= unix.MSG_WAITALL
	}
	switch s.Via {
	case "", "read":
		if flags == 0 {
			return unix.Read(fd, b)
		}
		return raw(unix.SYS_RECVFROM, uintptr(fd), address(b), uintptr(len(b)), uintptr(flags), 0, 0)
	case "readv":
		return unix.Readv(fd, thirds(b))
	case "preadv2":
		return unix.Preadv2(fd, thirds(b), -1, 0)
	case "recvfrom":
		return raw(unix.SYS_RECVFROM, uintptr(fd), address(b), uintptr(len(b)), uintptr(flags), 0, 0)
	case "trunc": // the bytes are consumed and not copied, tcp(7)
		return raw(unix.SYS_RECVFROM, uintptr(fd), address(b), uintptr(len(b)), unix.MSG_TRUNC, 0, 0)
	case "recvmsg":
		n, _, _, _, err := unix.RecvmsgBuffers(fd, thirds(b), nil, flags)
		return n, err
	case "recvmmsg":
		return recvmmsg(fd, b)
	case "splice":
		return spliceIn(fd, b)
	case "iouring":
		return p.uring(opReceive, fd, b)
	}
	return 0, fmt.Errorf("unknown system call %q", s.Via)
}

// thirds cuts b in up to three buffers with an empty one among them, as programs with headers and bodies pass them.
func thirds(b []byte) [][]byte {
	if len(b) < 3 {
		return [][]byte{b}
	}
	third := len(b) / 3
	return [][]byte{b[:third], {}, b[third : 2*third], b[2*third:]}
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

func messages(b []byte) []mmsghdr {
	parts := [][]byte{b}
	if half := len(b) / 2; half > 0 {
		parts = [][]byte{b[:half], b[half:]}
	}
	vectors := make([]unix.Iovec, len(parts))
	headers := make([]mmsghdr, len(parts))
	for i, part := range parts {
		vectors[i].Base = &part[0]
		vectors[i].SetLen(len(part))
		headers[i].header.Iov = &vectors[i]
		headers[i].header.SetIovlen(1)
	}
	return headers
}

func sendmmsg(fd int, b []byte) (int, error) {
	headers := messages(b)
	n, err := raw(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), 0, 0, 0)
	return total(headers, n), err
}

func recvmmsg(fd int, b []byte) (int, error) {
	headers := messages(b)
	// Without MSG_WAITFORONE the call would wait for the second message as well.
	n, err := raw(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_WAITFORONE, 0, 0)
	return total(headers, n), err
}

func total(headers []mmsghdr, n int) int {
	sum := 0
	for _, h := range headers[:max(n, 0)] {
		sum += int(h.length)
	}
	return sum
}

func sendfile(fd int, b []byte) (int, error) {
	source, err := unix.MemfdCreate("body", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(source), "body")
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return 0, err
	}
	var offset int64
	return unix.Sendfile(fd, source, &offset, len(b))
}

// pipeBytes is the capacity of a pipe: more cannot be put in before it is spliced on.
const pipeBytes = 64 << 10

func spliceOut(fd int, via string, b []byte) (int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	b = b[:min(len(b), pipeBytes/2)]
	var n int
	var err error
	if via == "vmsplice" {
		v := unix.Iovec{Base: &b[0]}
		v.SetLen(len(b))
		n, err = unix.Vmsplice(ends[1], []unix.Iovec{v}, 0)
	} else {
		n, err = unix.Write(ends[1], b)
	}
	if err != nil {
		return 0, err
	}
	moved, err := unix.Splice(ends[0], nil, fd, nil, n, 0)
	return int(moved), err
}

func spliceIn(fd int, b []byte) (int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	n, err := unix.Splice(fd, nil, ends[1], nil, min(len(b), pipeBytes/2), 0)
	return int(n), err
}

func raw(number uintptr, args ...uintptr) (int, error) {
	n, _, errno := unix.Syscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

func poll(fd int, events int16) error {
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 10_000)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
