package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// dnsMessage is a query for name, or an answer to it without records but for padding.
func dnsMessage(id uint16, name string, answers bool, padding int) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	if answers {
		b[2] = 0x81
	}
	b = append(append(append(b, byte(len(name))), name...), 0, 0, 1, 0, 1)
	return append(b, bytes.Repeat([]byte("p"), padding)...)
}

func init() {
	childCommands["udp"] = func(c *command) (r reply, err error) {
		family, address := sockaddr(c.Address)
		if r.FD, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return r, err
		}
		if err = unix.Bind(r.FD, address); err != nil {
			return r, err
		}
		bound, err := unix.Getsockname(r.FD)
		r.Address = addressOf(bound)
		return r, err
	}
	childCommands["join"] = func(c *command) (reply, error) {
		_, address := sockaddr(c.Address)
		return reply{}, unix.Connect(c.FD, address)
	}
	childCommands["to"] = func(c *command) (reply, error) {
		_, address := sockaddr(c.Address)
		return reply{}, unix.Sendto(c.FD, c.Data, 0, address)
	}
	childCommands["from"] = func(c *command) (r reply, err error) {
		var address unix.Sockaddr
		r.Data = make([]byte, c.Size)
		if r.N, address, err = unix.Recvfrom(c.FD, r.Data, c.Flags); err == nil {
			r.Address = addressOf(address)
		}
		return r, err
	}
	childCommands["msgto"] = func(c *command) (r reply, err error) {
		_, address := sockaddr(c.Address)
		r.N, err = unix.SendmsgBuffers(c.FD, buffers(c.Data, c.Split), nil, address, 0)
		return r, err
	}
	childCommands["msgfrom"] = func(c *command) (r reply, err error) {
		var address unix.Sockaddr
		r.Data = make([]byte, c.Size)
		if r.N, _, _, address, err = unix.RecvmsgBuffers(c.FD, buffers(r.Data, c.Split), nil, 0); err == nil {
			r.Address = addressOf(address)
		}
		return r, err
	}
	// With addresses of IPv4.
	childCommands["mmsgto"] = func(c *command) (reply, error) { return mmsgNamed(unix.SYS_SENDMMSG, c) }
	childCommands["mmsgfrom"] = func(c *command) (reply, error) {
		c.Data = make([]byte, c.Size)
		r, err := mmsgNamed(unix.SYS_RECVMMSG, c)
		r.Data = c.Data
		return r, err
	}
}

func mmsgNamed(number uintptr, c *command) (r reply, err error) {
	pieces := buffers(c.Data, c.Split)
	vectors, messages, names := make([]unix.Iovec, len(pieces)), make([]mmsghdr, len(pieces)), make([]unix.RawSockaddrInet4, len(pieces))
	for i, p := range pieces {
		if c.Address != "" {
			_, address := sockaddr(c.Address)
			to := address.(*unix.SockaddrInet4)
			names[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: uint16(to.Port)<<8 | uint16(to.Port)>>8, Addr: to.Addr}
		}
		vectors[i].Base = unsafe.SliceData(p)
		vectors[i].SetLen(len(p))
		h := &messages[i].header
		h.Name, h.Namelen, h.Iov = (*byte)(unsafe.Pointer(&names[i])), uint32(unsafe.Sizeof(names[i])), &vectors[i]
		h.SetIovlen(1)
	}
	n, _, errno := unix.Syscall6(number, uintptr(c.FD), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), uintptr(c.Flags), 0, 0)
	if errno != 0 {
		return r, errno
	}
	r.N = int(n)
	r.Address = addressOf(&unix.SockaddrInet4{Port: int(names[0].Port<<8 | names[0].Port>>8), Addr: names[0].Addr})
	return r, nil
}

// resolver is a server of DNS in a test.
func resolver(t *testing.T, r *recorder, address string) (server *child, fd int) {
	t.Helper()
	server = newChild(t, r.Kernel)
	return server, server.do(command{Do: "udp", Address: address}).FD
}

// Queries and answers are seen whichever calls move them, on sockets that are connected and on those that are not.
func TestDatagrams(t *testing.T) {
	const at, at6 = "127.0.53.53:53", "[::1]:53"
	r := record(t, Options{})
	client := newChild(t, r.Kernel)
	server, listens := resolver(t, r, at)
	server6, listens6 := resolver(t, r, at6)
	for i, test := range []struct {
		name                       string
		connected, six             bool
		ask, asked, answer, answed command
	}{
		{"unconnected, sendto and recvfrom", false, false, command{Do: "to"}, command{Do: "from"}, command{Do: "to"}, command{Do: "from"}},
		{"connected, write and read", true, false, command{Do: "write"}, command{Do: "from"}, command{Do: "to"}, command{Do: "read"}},
		{"connected, send and recv", true, false, command{Do: "send"}, command{Do: "from"}, command{Do: "to"}, command{Do: "from"}},
		{"connected, writev and readv", true, false, command{Do: "writev", Split: []int{5}}, command{Do: "from"}, command{Do: "to"}, command{Do: "readv", Split: []int{20}}},
		{
			"unconnected, sendmsg and recvmsg", false, false,
			command{Do: "msgto", Split: []int{7}},
			command{Do: "msgfrom", Split: []int{9}},
			command{Do: "msgto"},
			command{Do: "msgfrom", Split: []int{1}},
		},
		{"connected, sendmsg and recvmsg", true, false, command{Do: "sendmsg"}, command{Do: "msgfrom"}, command{Do: "msgto"}, command{Do: "recvmsg"}},
		{"unconnected, sendmmsg and recvmmsg", false, false, command{Do: "mmsgto"}, command{Do: "mmsgfrom"}, command{Do: "mmsgto"}, command{Do: "mmsgfrom"}},
		{"connected, sendmmsg and recvmmsg", true, false, command{Do: "sendmmsg"}, command{Do: "mmsgfrom"}, command{Do: "mmsgto"}, command{Do: "recvmmsg"}},
		{"IPv6", false, true, command{Do: "to"}, command{Do: "from"}, command{Do: "to"}, command{Do: "from"}},
		{"IPv6, connected", true, true, command{Do: "write"}, command{Do: "msgfrom"}, command{Do: "msgto"}, command{Do: "read"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, address, server, listens := "127.0.0.1:0", at, server, listens
			if test.six {
				from, address, server, listens = "[::1]:0", at6, server6, listens6
			}
			r.forget()
			socket := client.do(command{Do: "udp", Address: from})
			if test.connected {
				client.do(command{Do: "join", FD: socket.FD, Address: address})
			}
			query, answer := dnsMessage(uint16(i), fmt.Sprintf("name-%d", i), false, 0), dnsMessage(uint16(i), fmt.Sprintf("name-%d", i), true, 900)
			move := func(c *child, cmd command, fd int, data []byte, to string) string {
				cmd.FD, cmd.Data, cmd.Address = fd, data, to
				if data == nil {
					cmd.Size = 2000
				}
				return c.do(cmd).Address
			}
			move(client, test.ask, socket.FD, query, address)
			peer := move(server, test.asked, listens, nil, "")
			move(server, test.answer, listens, answer, peer)
			move(client, test.answed, socket.FD, nil, "")
			sent, received := r.wait(t, client, 1, Send)[0], r.wait(t, server, 1, Receive)[0]
			said, heard := r.wait(t, server, 1, Send)[0], r.wait(t, client, 1, Receive)[0]
			for _, e := range []struct {
				name    string
				event   Event
				message []byte
			}{{"sent", sent, query}, {"received", received, query}, {"answered", said, answer}, {"heard", heard, answer}} {
				if !bytes.Equal(e.event.Payload, e.message) || int(e.event.Length) != len(e.message) || e.event.Offset != 0 || e.event.Flags != 0 {
					t.Errorf("%s:%s %q", e.name, describe([]Event{e.event}), e.event.Payload)
				}
			}
			if heard.Connection != sent.Connection || said.Connection != received.Connection {
				t.Error("answers are of other connections")
			}
			c := sent.Connection
			if c.Transport != millracev1.Transport_TRANSPORT_UDP || c.Role != millracev1.Role_ROLE_CLIENT || c.Remote.String() != address ||
				c.Local.String() != socket.Address || c.Owner != client.pid {
				t.Errorf("connection %+v", c)
			}
			if c := received.Connection; c.Role != millracev1.Role_ROLE_SERVER || c.Remote.String() != socket.Address {
				t.Errorf("connection of the server %+v", c)
			}
			client.do(command{Do: "close", FD: socket.FD})
		})
	}
	if losses, err := r.Losses(); err != nil || len(losses) > 0 {
		t.Errorf("losses %v, %v", losses, err)
	}
}

// glibc sends the queries for both kinds of addresses in one call; what is peeked at, or of another port, is left
// alone; what is long is cut; each remote address of a socket is a pair of its own.
func TestDatagramsOfResolvers(t *testing.T) {
	const at = "127.0.53.54:53"
	r := record(t, Options{})
	client := newChild(t, r.Kernel)
	server, listens := resolver(t, r, at)
	socket, second := client.do(command{Do: "udp", Address: "127.0.0.1:0"}), client.do(command{Do: "udp", Address: "127.0.0.1:0"})
	a, aaaa := dnsMessage(1, "example", false, 0), dnsMessage(2, "example", false, 0)
	client.do(command{Do: "mmsgto", FD: socket.FD, Address: at, Data: append(bytes.Clone(a), aaaa...), Split: []int{len(a)}})
	client.do(command{Do: "to", FD: second.FD, Address: at, Data: a})
	server.do(command{Do: "from", FD: listens, Size: 1000, Flags: unix.MSG_PEEK})
	for range 3 {
		server.do(command{Do: "from", FD: listens, Size: 1000})
	}
	long := dnsMessage(2, "example", true, 5000)
	server.do(command{Do: "to", FD: listens, Address: socket.Address, Data: dnsMessage(1, "example", true, 0)})
	server.do(command{Do: "to", FD: listens, Address: socket.Address, Data: long})
	client.do(command{Do: "from", FD: socket.FD, Size: 9000})
	client.do(command{Do: "from", FD: socket.FD, Size: 2000, Flags: unix.MSG_TRUNC})
	client.do(command{Do: "to", FD: socket.FD, Address: second.Address, Data: a})
	heard := r.wait(t, client, 2, Receive)
	settle()
	sent, received := r.of(client, Send), r.of(server, Receive)
	if len(sent) != 3 || len(received) != 3 || len(r.of(client, Receive)) != 2 || len(r.of(server, Send)) != 2 {
		t.Fatalf("datagrams:%s%s", describe(sent), describe(received))
	}
	for _, events := range [][]Event{sent, received} {
		if events[0].Connection != events[1].Connection || events[0].Connection == events[2].Connection ||
			events[1].Offset != uint64(len(a)) || events[2].Offset != 0 || !bytes.Equal(events[1].Payload, aaaa) {
			t.Errorf("queries:%s", describe(events))
		}
	}
	if e := heard[1]; int(e.Length) != len(long) || !bytes.Equal(e.Payload, long[:1232]) || e.Flags != 1 || e.Connection != sent[0].Connection {
		t.Errorf("a long answer:%s", describe(heard[1:]))
	}
	if losses, err := r.Losses(); err != nil || len(losses) > 0 {
		t.Errorf("losses %v, %v", losses, err)
	}
}

// Pairs that are idle end, and so do the oldest of too many.
func TestPairsEnd(t *testing.T) {
	t.Parallel()
	var g datagrams
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		t.Fatal(err)
	}
	now := uint64(clock.Nano())
	sockets := map[uint64]bool{}
	take := func(i int, at uint64) *Connection {
		c := g.pair(pairKey{socket: uint64(i)}, at, 1).connection
		sockets[c.Socket] = true
		return c
	}
	idle, busy := take(0, now-pairIdle-1), take(1, now)
	for i := range maxPairs {
		take(2+i, now) // the same ns
	}
	var ended []*Connection
	g.expire(func(e *Event) { ended = append(ended, e.Connection) })
	if len(sockets) != maxPairs+2 || len(ended) != 2 || ended[0] != idle || ended[1] != busy || len(g.pairs) != maxPairs || g.order.Len() != maxPairs {
		t.Errorf("%d sockets, %d ended, %d pairs left", len(sockets), len(ended), len(g.pairs))
	}
	g.order.Front().Value.(*peers).used = now - 2*pairIdle
	ended = nil
	g.expire(func(e *Event) { ended = append(ended, e.Connection) })
	if len(ended) != 1 || len(g.pairs) != maxPairs-1 {
		t.Errorf("%d ended, %d pairs left", len(ended), len(g.pairs))
	}
}

// Datagrams are those of the ports of the options, and no others; what io_uring moves of them is counted.
func TestDatagramPorts(t *testing.T) {
	const at, other = "127.0.53.54:5399", "127.0.53.54:53"
	r := record(t, Options{DatagramPorts: []uint16{5353, 5399}})
	client := newChild(t, r.Kernel)
	server, listens := resolver(t, r, at)
	resolver(t, r, other)
	query := dnsMessage(7, "ports", false, 0)
	asks := client.do(command{Do: "udp", Address: "127.0.53.54:0"}).FD
	client.do(command{Do: "to", FD: asks, Address: other, Data: query})
	client.do(command{Do: "to", FD: asks, Address: at, Data: query})
	server.do(command{Do: "from", FD: listens, Size: 1000})
	r.wait(t, client, 1, Send)
	received := r.wait(t, server, 1, Receive)
	settle()
	asked := r.of(client, Send)
	if len(asked) != 1 || asked[0].Connection.Remote.String() != at || !bytes.Equal(asked[0].Payload, query) {
		t.Errorf("sent:%s", describe(asked))
	}
	if a, b := asked[0].Connection.Role, received[0].Connection.Role; a != millracev1.Role_ROLE_CLIENT || b != millracev1.Role_ROLE_SERVER {
		t.Errorf("roles %v and %v", a, b)
	}
	client.do(command{Do: "join", FD: asks, Address: at})
	lost := func() uint64 {
		losses, err := r.Losses()
		if err != nil {
			t.Fatal(err)
		}
		return losses[millracev1.LossCause_LOSS_CAUSE_NOT_OBSERVABLE].Events
	}
	before := lost()
	client.begin(command{Do: "uring-send", FD: asks, Data: query})
	if _, err := client.end(); err != nil {
		t.Log("io_uring: ", err) // the machine has none
		return
	}
	eventually(t, "what io_uring moved is counted", func() bool { return lost() > before })
}
