package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func init() {
	childCommands["poll"] = func(c *command) (reply, error) { // until there are at least Size bytes to read
		for {
			n, err := unix.IoctlGetInt(c.FD, unix.TIOCINQ)
			if err != nil || n >= c.Size {
				return reply{N: n}, err
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(c.FD), Events: unix.POLLIN}}, 1); err != nil && err != unix.EINTR {
				return reply{}, err
			}
		}
	}
	childCommands["deferring"] = func(c *command) (reply, error) { // accept with the first bytes alone
		return reply{}, unix.SetsockoptInt(c.FD, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 10)
	}
	childCommands["cork"] = func(c *command) (reply, error) {
		return reply{}, unix.SetsockoptInt(c.FD, unix.IPPROTO_TCP, unix.TCP_CORK, c.Size)
	}
	// repaired makes an end of a connection out of nothing, whose next bytes to send and to receive have the numbers Size
	// and Flags; it is bound to 127.0.0.1 and the port Times. "established" connects it to Address.
	childCommands["repaired"] = func(c *command) (reply, error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return reply{}, err
		}
		const sendQueue, receiveQueue = 2, 1
		for _, o := range []struct{ option, value int }{
			{unix.TCP_REPAIR, 1},
			{unix.TCP_REPAIR_QUEUE, sendQueue},
			{unix.TCP_QUEUE_SEQ, int(int32(uint32(c.Size)))},
			{unix.TCP_REPAIR_QUEUE, receiveQueue},
			{unix.TCP_QUEUE_SEQ, int(int32(uint32(c.Flags)))},
		} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, o.option, o.value); err != nil {
				return reply{}, fmt.Errorf("option %d: %w", o.option, err)
			}
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return reply{}, err
		}
		return reply{FD: fd}, unix.Bind(fd, &unix.SockaddrInet4{Port: c.Times, Addr: [4]byte{127, 0, 0, 1}})
	}
	childCommands["established"] = func(c *command) (reply, error) {
		_, address := sockaddr(c.Address)
		return reply{}, unix.Connect(c.FD, address)
	}
	childCommands["live"] = func(c *command) (reply, error) { // it asks for the other end's window
		return reply{}, unix.SetsockoptInt(c.FD, unix.IPPROTO_TCP, unix.TCP_REPAIR, 0)
	}
}

// now is the kernel's clock.
func now() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // It is always there.
	return uint64(t.Nano())
}

// interval is between which two times something happened.
type interval struct{ begin, end uint64 }

// arriving is a connection between two children of which what is read is looked at.
type arriving struct {
	*recorder
	t              *testing.T
	client, server *child
	from, to       int
}

func arrivals(t *testing.T) *recorder {
	r := record(t, Options{})
	if !slices.ContainsFunc(r.Features(), func(f Feature) bool { return f.Name == "arrival times" && f.Active }) {
		t.Fatal("arrival times are not active")
	}
	return r
}

func converse(t *testing.T) *arriving {
	r := arrivals(t)
	c := &arriving{recorder: r, t: t, client: newChild(t, r.Kernel), server: newChild(t, r.Kernel)}
	c.from, c.to = connect(c.client, c.server, "127.0.0.1:0", "")
	return c
}

// write sends n bytes, waits until so many wait at the other end, and says between which times they came.
func (c *arriving) write(n, waiting int) (s interval) {
	c.t.Helper()
	s.begin = now()
	c.client.do(command{Do: "write", FD: c.from, Data: request(n - len(request(0)))})
	c.server.do(command{Do: "poll", FD: c.to, Size: waiting})
	s.end = now()
	return s
}

// read gives the event of a read at the other end, which brings so many bytes.
func (c *arriving) read(n int) Event {
	c.t.Helper()
	before := len(c.of(c.server, Receive))
	if got := c.server.do(command{Do: "read", FD: c.to, Size: n}).N; got != n {
		c.t.Fatalf("read %d of %d bytes", got, n)
	}
	return c.wait(c.t, c.server, before+1, Receive)[before]
}

// check compares when the first and the last byte of an event came with what is known of it; the zero interval: nothing
// may be told.
func (c *arriving) check(name string, e Event, first, last interval) {
	c.t.Helper()
	for _, v := range []struct {
		what string
		at   uint64
		in   interval
	}{{"first", e.FirstArrivedNS, first}, {"last", e.ArrivedNS, last}} {
		if v.at < v.in.begin || v.at > v.in.end || v.at > e.TimeNS {
			c.t.Errorf("%s: the %s byte came at %d, not between %d and %d; read at %d", name, v.what, v.at, v.in.begin, v.in.end, e.TimeNS)
		}
	}
}

// TestArrivals reads what came at known times in every way that it can be read.
func TestArrivals(t *testing.T) {
	c := converse(t)
	var none interval

	a := c.write(100, 100)
	c.check("a write", c.read(100), a, a)

	a = c.write(100, 100)
	b := c.write(50, 150)
	c.check("two writes, read at once", c.read(150), a, b)

	a = c.write(100, 100)
	c.check("a part", c.read(60), a, none)
	c.check("the rest", c.read(40), none, a)

	a = c.write(100, 100)
	c.check("a part before more comes", c.read(60), a, none)
	b = c.write(50, 90)
	c.check("the rest and more", c.read(90), none, b)

	a = c.write(100, 100)
	b = c.write(50, 150)
	c.check("the first of two", c.read(100), a, none)
	c.check("the second of two", c.read(50), none, b)

	c.server.do(command{Do: "write", FD: c.to, Data: response(3)})
	c.client.do(command{Do: "poll", FD: c.from, Size: len(response(3))})
	c.client.do(command{Do: "read", FD: c.from, Size: 1000})
	if e := c.wait(t, c.client, 1, Receive)[0]; e.ArrivedNS == 0 || e.FirstArrivedNS != e.ArrivedNS {
		t.Errorf("the client's read: %+v", e)
	}

	// A segment with data and a FIN.
	begin := now()
	c.client.do(command{Do: "send", FD: c.from, Data: request(50), Flags: unix.MSG_MORE})
	c.client.do(command{Do: "shutdown", FD: c.from})
	n := len(request(50))
	c.server.do(command{Do: "poll", FD: c.to, Size: n})
	a = interval{begin, now()}
	c.check("data with a FIN", c.read(n), a, a)
}

// TestArrivalAtOpening: the first bytes come in the packet that makes the connection.
func TestArrivalAtOpening(t *testing.T) {
	c := &arriving{recorder: arrivals(t), t: t}
	c.client, c.server = newChild(t, c.Kernel), newChild(t, c.Kernel)
	l := c.server.do(command{Do: "listen", Address: "127.0.0.1:0"})
	c.server.do(command{Do: "deferring", FD: l.FD})
	c.from = c.client.do(command{Do: "connect", Address: l.Address}).FD
	begin := now()
	c.client.do(command{Do: "write", FD: c.from, Data: request(50)})
	c.to = c.server.do(command{Do: "accept", FD: l.FD}).FD
	a := interval{begin, now()}
	c.check("in the packet that opens", c.read(len(request(50))), a, a)
	a = c.write(100, 100)
	c.check("then", c.read(100), a, a)
}

// TestArrivalsWrap: sequence numbers begin again at 0 within a request, and between two.
func TestArrivalsWrap(t *testing.T) {
	c := &arriving{recorder: arrivals(t), t: t}
	c.client, c.server = newChild(t, c.Kernel), newChild(t, c.Kernel)
	const before, other = 0xffffffff - 149, 0xfffffff0
	ports := [2]int{}
	for i := range ports { // as free as any
		l := c.server.do(command{Do: "listen", Address: "127.0.0.1:0"})
		ports[i] = int(netip.MustParseAddrPort(l.Address).Port())
		c.server.do(command{Do: "close", FD: l.FD})
	}
	c.from = c.client.do(command{Do: "repaired", Size: before, Flags: other, Times: ports[0]}).FD
	c.to = c.server.do(command{Do: "repaired", Size: other, Flags: before, Times: ports[1]}).FD
	c.client.do(command{Do: "established", FD: c.from, Address: fmt.Sprintf("127.0.0.1:%d", ports[1])})
	c.server.do(command{Do: "established", FD: c.to, Address: fmt.Sprintf("127.0.0.1:%d", ports[0])})
	c.client.do(command{Do: "live", FD: c.from})
	c.server.do(command{Do: "live", FD: c.to})
	for i, n := range []int{100, 100, 100} { // the numbers begin again within the second
		a := c.write(n, n)
		c.check(fmt.Sprintf("write %d", i), c.read(n), a, a)
	}
}

// TestArrivalsUnderLoss: what is told of bytes whose packets were lost, and came in another order, lies between the
// call that sent them and the call that read them, and never goes back.
func TestArrivalsUnderLoss(t *testing.T) {
	c := &arriving{recorder: arrivals(t), t: t}
	c.client, c.server = newChild(t, c.Kernel), newChild(t, c.Kernel)
	start := dropPackets(t, c.server, ebpf.AttachCGroupInetIngress)
	c.from, c.to = connect(c.client, c.server, "127.0.0.1:0", "")
	stop := start()
	const size, rounds = 200_000, 5
	for range rounds {
		c.server.begin(command{Do: "sink", FD: c.to, Size: size})
		c.client.do(command{Do: "pump", FD: c.from, Size: size, Data: request(1000)})
		if _, err := c.server.end(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	c.waitBytes(t, c.client, rounds*size, Send)
	c.waitBytes(t, c.server, rounds*size, Receive)
	sent, told, previous := c.of(c.client, Send), 0, uint64(0)
	// began is when the call began that sent the byte at an offset.
	began := func(offset uint64) uint64 {
		i, _ := slices.BinarySearchFunc(sent, offset, func(e Event, offset uint64) int {
			if e.Offset+uint64(e.Length) <= offset {
				return -1
			}
			return 1
		})
		return sent[i].TimeNS - sent[i].DurationNS
	}
	received := c.of(c.server, Receive)
	for _, e := range received {
		if e.ArrivedNS != 0 {
			told++
			if e.ArrivedNS < began(e.Offset+uint64(e.Length)-1) || e.ArrivedNS > e.TimeNS || e.ArrivedNS < previous {
				t.Errorf("the last byte of %d bytes at %d came at %d: before it at %d, sent at %d, read at %d",
					e.Length, e.Offset, e.ArrivedNS, previous, began(e.Offset+uint64(e.Length)-1), e.TimeNS)
			}
			previous = e.ArrivedNS
		}
		if at := e.FirstArrivedNS; at != 0 && (at < began(e.Offset) || at > e.TimeNS || e.ArrivedNS != 0 && at > e.ArrivedNS) {
			t.Errorf("the first byte of %d bytes at %d came at %d, the last at %d: sent at %d", e.Length, e.Offset, at, e.ArrivedNS, began(e.Offset))
		}
	}
	t.Logf("told of %d of %d reads", told, len(received))
	if told == 0 {
		t.Error("nothing was told, so nothing was tested")
	}
}

// TestUnsent: what the socket holds back when a call returns.
func TestUnsent(t *testing.T) {
	c := converse(t)
	c.client.do(command{Do: "write", FD: c.from, Data: request(10)})
	c.client.do(command{Do: "cork", FD: c.from, Size: 1})
	first, second := request(100), request(50)
	c.client.do(command{Do: "write", FD: c.from, Data: first})
	c.client.do(command{Do: "writev", FD: c.from, Data: second, Split: []int{3}})
	c.client.do(command{Do: "cork", FD: c.from, Size: 0})
	events := c.wait(t, c.client, 3, Send)
	for i, want := range []int{0, len(first), len(first) + len(second)} {
		if events[i].Unsent != uint32(want) {
			t.Errorf("write %d: %d bytes unsent, not %d", i, events[i].Unsent, want)
		}
	}
}

// TestNoArrivals: where they are switched off, nothing is told and nothing is said to be missing.
func TestNoArrivals(t *testing.T) {
	c := &arriving{recorder: record(t, Options{NoArrivalTimes: true}), t: t}
	if slices.ContainsFunc(c.Features(), func(f Feature) bool { return f.Name == "arrival times" }) {
		t.Error("there is a feature")
	}
	c.client, c.server = newChild(t, c.Kernel), newChild(t, c.Kernel)
	c.from, c.to = connect(c.client, c.server, "127.0.0.1:0", "")
	c.write(100, 100)
	c.check("a write", c.read(100), interval{}, interval{})
}
