package kernel

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// dropPackets makes one packet in eight of the child's go missing. At ingress the sender sees a loss on the way; at
// egress its own host refuses the packet.
//
// The child must have no sockets yet, because a socket stays in the cgroup in which it was made; start begins the
// dropping.
func dropPackets(t *testing.T, c *child, direction ebpf.AttachType) (start func() (stop func())) {
	t.Helper()
	root, err := cgroupRoot()
	if err != nil {
		t.Skip(err)
	}
	group := filepath.Join(root, fmt.Sprintf("millrace-loss-%d", c.pid))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(group) })
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, c.pid), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.WriteFile(filepath.Join(root, "cgroup.procs"), fmt.Append(nil, c.pid), 0o644)
	})
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.CGroupSKB, AttachType: direction, License: "GPL",
		Instructions: asm.Instructions{
			asm.FnGetPrandomU32.Call(),
			asm.And.Imm(asm.R0, 7),
			asm.JEq.Imm(asm.R0, 0, "drop"),
			asm.Mov.Imm(asm.R0, 1),
			asm.Return(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("drop"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return func() func() {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: group, Attach: direction, Program: program})
		if err != nil {
			t.Fatal(err)
		}
		return func() { l.Close() }
	}
}

// Positions and identity hold under loss, also for an agent that joins afterwards.
func TestRetransmissions(t *testing.T) {
	for _, test := range []struct {
		name      string
		direction ebpf.AttachType
	}{
		{"on the way", ebpf.AttachCGroupInetIngress},
		{"on the host", ebpf.AttachCGroupInetEgress},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := record(t, Options{})
			client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
			start := dropPackets(t, client, test.direction)
			l := server.do(command{Do: "listen", Address: "127.0.0.1:0"})
			from := client.do(command{Do: "connect", Address: l.Address}).FD
			to := server.do(command{Do: "accept", FD: l.FD}).FD
			stop := start()
			const rounds, size = 3, 300_000
			var ask, answer uint64
			for range rounds {
				server.begin(command{Do: "sink", FD: to, Size: size})
				client.do(command{Do: "pump", FD: from, Size: size, Data: request(1000)})
				server.end()
				client.begin(command{Do: "sink", FD: from, Size: size})
				server.do(command{Do: "pump", FD: to, Size: size, Data: response(1000)})
				client.end()
				ask, answer = ask+size, answer+size
			}
			stop()
			for _, side := range []struct {
				c     *child
				kind  Kind
				bytes uint64
			}{{client, Send, ask}, {client, Receive, answer}, {server, Send, answer}, {server, Receive, ask}} {
				r.waitBytes(t, side.c, side.bytes, side.kind)
				total(t, r.of(side.c, side.kind))
			}
			var retransmits uint32
			for _, e := range append(r.of(client, Send), r.of(server, Send)...) {
				retransmits = max(retransmits, e.Retransmits)
			}
			t.Logf("%d retransmissions", retransmits)
			first := r.of(client, Send)[0].Connection
			samePair(t, first, r.of(server, Receive)[0].Connection)
			if retransmits == 0 && test.direction == ebpf.AttachCGroupInetIngress {
				t.Error("nothing was sent again, so nothing was tested")
			}
			r.Close()

			r = record(t, Options{})
			client.do(command{Do: "write", FD: from, Data: request(1)})
			server.do(command{Do: "read", FD: to, Size: 1000})
			// These children were made before this agent, but they have the policy of no one.
			a, b := r.wait(t, client, 1, Send)[0], r.wait(t, server, 1, Receive)[0]
			samePair(t, a.Connection, b.Connection)
			if a.Connection.SendFlow != first.SendFlow || a.Offset != ask || b.Offset != ask {
				t.Errorf("joined: flow %x instead of %x, offsets %d %d instead of %d", a.Connection.SendFlow, first.SendFlow, a.Offset, b.Offset, ask)
			}
		})
	}
}

// Two writers on one socket: no byte is lost from the count, and what may be swapped says so.
func TestConcurrentWriters(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	const writes, writers = 2000, 4
	size := writes * writers * len(request(1))
	server.begin(command{Do: "sink", FD: to, Size: size})
	client.do(command{Do: "write-together", FD: from, Data: request(1), Times: writes, Size: writers})
	server.end()
	r.waitBytes(t, client, uint64(size), Send)
	r.waitBytes(t, server, uint64(size), Receive)
	total(t, r.of(server, Receive))
	// Two CPUs may put their events into the ring in either order; the decoder puts them in order by offset. A writer
	// that is held up between its write and the end of its call takes the place of a later one, which shows where it
	// should have been: the event behind that gap says that places may be swapped.
	events := r.of(client, Send)
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Offset, b.Offset) })
	var next uint64
	var swapped, misplaced int
	for _, e := range events {
		if e.Flags&8 != 0 {
			swapped++
		}
		if e.Offset != next {
			misplaced++
		}
		next = max(next, e.Offset+uint64(e.Length))
	}
	if misplaced > 0 && swapped == 0 {
		t.Errorf("%d events begin where no other ended, and none is flagged", misplaced)
	}
	t.Logf("%d of %d flagged, %d misplaced", swapped, writes*writers, misplaced)
}

// A socket that a forked process goes on with stays what it was; the owner is who moved data first.
func TestInheritedSocket(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	client.do(command{Do: "write", FD: from, Data: request(1)})
	server.do(command{Do: "read", FD: to, Size: 1000})
	first := r.wait(t, client, 1, Send)[0].Connection
	pid := client.do(command{Do: "write-from-fork", FD: from, Data: request(2)}).N
	server.do(command{Do: "read", FD: to, Size: 1000})
	e := r.wait(t, &child{pid: uint32(pid)}, 1, Send)[0]
	if e.Connection != first || e.Connection.Owner != client.pid || e.Offset != uint64(len(request(1))) {
		t.Errorf("%+v\n%+v", e, e.Connection)
	}
	total(t, r.wait(t, server, 2, Receive))
}

func init() {
	childCommands["write-together"] = func(c *command) (reply, error) {
		runtime.GOMAXPROCS(c.Size)
		errs := make(chan error)
		for range c.Size {
			go func() {
				for range c.Times {
					if _, err := (&command{Do: "write", FD: c.FD, Data: c.Data}).run(); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range c.Size {
			if err := <-errs; err != nil {
				return reply{}, err
			}
		}
		return reply{}, nil
	}
	// The new process is this executable again with the socket as descriptor 3; it obeys one command of its own.
	childCommands["write-from-fork"] = func(c *command) (reply, error) { return writeFromFork(c) }
}
