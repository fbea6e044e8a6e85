package pipeline

import (
	"os/exec"
	"slices"
	"testing"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

// TestChildrenOfAServer: what the child of a server does goes where the server's events go, and says who made it before
// all else; the child of a process that serves nothing has a partition of its own.
func TestChildrenOfAServer(t *testing.T) {
	t.Parallel()
	for _, hint := range []millracev1.Protocol{
		millracev1.Protocol_PROTOCOL_HTTP1, millracev1.Protocol_PROTOCOL_UNSPECIFIED, millracev1.Protocol_PROTOCOL_UNKNOWN,
	} {
		f := newFixture(t, config.Discovery{})
		in := f.connect("127.0.0.1:80")
		in.Role, in.Hint, in.OpenedNS = millracev1.Role_ROLE_SERVER, hint, 3
		f.Handle(&kernel.Event{
			Kind: kernel.Receive, Connection: in, PID: f.pid, Thread: f.pid + 1, TimeNS: 5, Length: 18, Payload: []byte("GET / HTTP/1.1\r\n\r\n"),
		})
		server := f.Inventory.Lookup(f.pid)
		var child uint32
		for other := 0; other == 0; { // one that would be in another partition
			c := exec.Command("sleep", "60")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
			child = uint32(c.Process.Pid)
			id := f.Inventory.Lookup(child).ID
			other = bus.ProcessPartition(id, f.Partitions) - bus.ProcessPartition(server.ID, f.Partitions)
		}
		f.Handle(&kernel.Event{
			Kind: kernel.ProcessFork, PID: child, Thread: child, ParentPID: f.pid, ParentThread: f.pid + 1, ParentGoroutine: 6, TimeNS: 7,
		})
		out := f.connect("127.0.0.1:81")
		out.Socket, out.SendFlow, out.Owner, out.OpenedNS = 2, 3<<32|4, child, 8
		for offset := range uint64(2) {
			f.Handle(&kernel.Event{
				Kind: kernel.Send, Connection: out, PID: child, Thread: child, TimeNS: 9 + offset, Offset: 18 * offset, Length: 18,
				Payload: []byte("GET / HTTP/1.1\r\n\r\n"),
			})
		}
		f.Idle(true)
		f.Finish()
		id := f.Inventory.Lookup(child).ID
		var told []*millracev1.Event
		partition := -1
		for _, b := range f.out.batches {
			for _, e := range b.Events {
				if e.Connection > 0 && b.Connections[e.Connection-1].Process == id || e.Process == id {
					told, partition = append(told, e), int(b.Partition)
				}
			}
		}
		want, home := 2, bus.ProcessPartition(id, f.Partitions)
		if hint != millracev1.Protocol_PROTOCOL_UNKNOWN {
			want, home = 3, bus.ProcessPartition(server.ID, f.Partitions)
		}
		if len(told) != want || partition != home {
			t.Errorf("%v: %d events of the child in partition %d, want %d in %d", hint, len(told), partition, want, home)
			continue
		}
		isStart := func(e *millracev1.Event) bool { return e.Kind == millracev1.EventKind_EVENT_KIND_PROCESS_START }
		if i := slices.IndexFunc(told, isStart); want == 3 && (i != 0 || told[0].ParentProcess != server.ID || told[0].TimeNs != 7 ||
			told[0].ParentThread != f.pid+1 || told[0].ParentGoroutine != 6) {
			t.Errorf("%v", told)
		}
	}
}
