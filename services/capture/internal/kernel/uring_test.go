package kernel

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A minimal io_uring: one request at a time. The offsets are those that io_uring_setup gives.
type uringParameters struct {
	entries, completions, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	submission                                           struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	completion struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

type uringEntryOf struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset        uint64
	address       uint64
	length        uint32
	opFlags       uint32
	userData      uint64
	_             [3]uint64
}

// uringDo runs one request and gives its result.
func uringDo(opcode uint8, fd int, address unsafe.Pointer, length int) (int, error) {
	var p uringParameters
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return 0, errno
	}
	defer unix.Close(int(ring))
	size := int(max(p.submission.array+p.entries*4, p.completion.cqes+p.completions*16))
	rings, err := unix.Mmap(int(ring), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(rings)
	entries, err := unix.Mmap(int(ring), 0x10000000, int(p.entries)*64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(entries)
	*(*uringEntryOf)(unsafe.Pointer(&entries[0])) = uringEntryOf{opcode: opcode, fd: int32(fd), address: uint64(uintptr(address)), length: uint32(length)}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&rings[offset])) }
	*at(p.submission.array) = 0
	atomic.AddUint32(at(p.submission.tail), 1)
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, 1, 1, 1 /* GETEVENTS */, 0, 0); errno != 0 {
		return 0, errno
	}
	result := *(*int32)(unsafe.Pointer(&rings[p.completion.cqes+8]))
	if result < 0 {
		return 0, unix.Errno(-result)
	}
	return int(result), nil
}

func init() {
	childCommands["uring-send"] = func(c *command) (reply, error) {
		n, err := uringDo(26, c.FD, unsafe.Pointer(&c.Data[0]), len(c.Data))
		return reply{N: n}, err
	}
	childCommands["uring-recv"] = func(c *command) (reply, error) {
		data := make([]byte, c.Size)
		n, err := uringDo(27, c.FD, unsafe.Pointer(&data[0]), len(data))
		return reply{N: n, Data: data}, err
	}
	childCommands["uring-sendmsg"] = func(c *command) (reply, error) {
		pieces := buffers(c.Data, c.Split)
		vectors := make([]unix.Iovec, len(pieces))
		for i, p := range pieces {
			vectors[i].Base = &p[0]
			vectors[i].SetLen(len(p))
		}
		header := &unix.Msghdr{Iov: &vectors[0]}
		header.SetIovlen(len(vectors))
		n, err := uringDo(9, c.FD, unsafe.Pointer(header), 1)
		return reply{N: n}, err
	}
}

func TestURing(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	client.begin(command{Do: "uring-send", FD: from, Data: request(10)})
	if _, err := client.end(); err != nil {
		if err.Error() == unix.ENOSYS.Error() || err.Error() == unix.EPERM.Error() {
			t.Skip("io_uring: ", err)
		}
		t.Fatal(err)
	}
	if r.uring == uringNone {
		// What cannot be seen is counted.
		losses, err := r.Losses()
		if err != nil || losses[5].Events == 0 {
			t.Errorf("losses %v %v", losses, err)
		}
		return
	}
	server.do(command{Do: "uring-recv", FD: to, Size: 20})
	server.do(command{Do: "read", FD: to, Size: 1000})
	client.do(command{Do: "write", FD: from, Data: request(11)})
	client.do(command{Do: "uring-sendmsg", FD: from, Data: request(12), Split: []int{10}})
	want := bytes.Join([][]byte{request(10), request(11), request(12)}, nil)
	server.begin(command{Do: "uring-recv", FD: to, Size: 1000})
	server.end()
	server.begin(command{Do: "nonblock", FD: to})
	server.end()
	server.begin(command{Do: "read", FD: to, Size: 1000})
	if _, err := server.end(); err != nil && !errors.Is(err, unix.EAGAIN) && err.Error() != unix.EAGAIN.Error() {
		t.Fatal(err)
	}
	r.waitBytes(t, client, uint64(len(want)), Send)
	r.waitBytes(t, server, uint64(len(want)), Receive)
	sent, received := r.of(client, Send), r.of(server, Receive)
	total(t, sent)
	total(t, received)
	if !bytes.Equal(stream(sent), want) {
		t.Errorf("sent %q%s", stream(sent), describe(sent))
	}
	if !bytes.Equal(stream(received), want) {
		t.Errorf("received %q%s", stream(received), describe(received))
	}
}
