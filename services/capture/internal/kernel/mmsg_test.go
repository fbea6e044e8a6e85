package kernel

import (
	"bytes"
	"slices"
	"testing"
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

// Of one call's messages the first are events of their own; what follows them is one without payload. Positions are
// exact after all of them.
func TestManyMessages(t *testing.T) {
	r := record(t, Options{})
	for _, count := range []int{9, 64, 65, 200} {
		client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
		from, to := connect(client, server, "127.0.0.1:0", "")
		var data []byte
		for i := range count {
			data = append(data, request(i%7)...)
		}
		split := make([]int, count-1)
		for i := range split {
			split[i] = len(request(i % 7))
		}
		client.do(command{Do: "sendmmsg", FD: from, Data: data, Split: split})
		server.do(command{Do: "recvmmsg", FD: to, Size: len(data), Split: split, Flags: unix.MSG_WAITFORONE})
		client.do(command{Do: "write", FD: from, Data: request(1)})
		server.do(command{Do: "read", FD: to, Size: 100})
		for _, side := range []struct {
			c    *child
			kind Kind
		}{{client, Send}, {server, Receive}} {
			r.waitBytes(t, side.c, uint64(len(data)+len(request(1))), side.kind)
			events := r.of(side.c, side.kind)
			total(t, events)
			if want := min(count, 64) + 1 + min(max(count-64, 0), 1); len(events) != want {
				t.Errorf("%d events of %d messages, not %d", len(events), count, want)
			}
			if e := events[0]; !bytes.Equal(e.Payload, request(0)) {
				t.Errorf("first: %q", e.Payload)
			}
			if i := slices.IndexFunc(events, func(e Event) bool { return len(e.Payload) == 0 }); (i >= 0) != (count > 64) {
				t.Errorf("%d messages: event %d has no payload", count, i)
			}
		}
	}
	if losses, err := r.Losses(); err != nil || len(losses) > 0 {
		t.Errorf("losses %v, %v", losses, err)
	}
}
