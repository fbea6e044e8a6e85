package kernel

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
)

// Many threads of two processes at once: nothing is missed, also where the kernel lets them be preempted in the
// programs.
func TestCrowd(t *testing.T) {
	threads, exchanges := 8, 1500
	if testing.Short() {
		exchanges = 200
	}
	r := record(t, Options{})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	l := server.do(command{Do: "listen", Address: "127.0.0.1:0"})
	server.begin(command{Do: "crowd-serve", FD: l.FD, Size: threads, Times: exchanges, Data: response(20)})
	client.do(command{Do: "crowd-ask", Address: l.Address, Size: threads, Times: exchanges, Data: request(20)})
	if _, err := server.end(); err != nil {
		t.Fatal(err)
	}
	ask, answer := uint64(len(request(20))*threads*exchanges), uint64(len(response(20))*threads*exchanges)
	for _, side := range []struct {
		c     *child
		kind  Kind
		bytes uint64
	}{{client, Send, ask}, {client, Receive, answer}, {server, Send, answer}, {server, Receive, ask}} {
		r.waitBytes(t, side.c, side.bytes, side.kind)
		perConnection := map[*Connection][]Event{}
		for _, e := range r.of(side.c, side.kind) {
			perConnection[e.Connection] = append(perConnection[e.Connection], e)
			if e.Kind == Send && e.DurationNS == 0 {
				t.Fatal("a send without a duration")
			}
		}
		if len(perConnection) != threads {
			t.Errorf("%d connections", len(perConnection))
		}
		want := request(20)
		if (side.c == server) == (side.kind == Send) {
			want = response(20)
		}
		for _, events := range perConnection {
			if total(t, events) != uint64(len(want)*exchanges) || !bytes.Equal(stream(events), bytes.Repeat(want, exchanges)) {
				t.Error("other bytes than were sent")
			}
		}
	}
	if losses, err := r.Losses(); err != nil || len(losses) > 0 {
		t.Errorf("losses %v, %v", losses, err)
		r.describeMisses(t)
	}
}

// describeMisses names the programs that the kernel did not run.
func (r *recorder) describeMisses(t testing.TB) {
	for _, programs := range r.attached {
		for _, program := range programs {
			if stats, err := program.Stats(); err == nil && stats.RecursionMisses > 0 {
				t.Logf("%v: %d runs missed", program, stats.RecursionMisses)
			}
		}
	}
}

// together runs n times do on a thread each.
func together(n int, do func() error) error {
	runtime.GOMAXPROCS(n)
	var wait sync.WaitGroup
	errs := make(chan error, n)
	for range n {
		wait.Go(func() {
			runtime.LockOSThread()
			errs <- do()
		})
	}
	wait.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func init() {
	childCommands["crowd-serve"] = func(c *command) (reply, error) {
		return reply{}, together(c.Size, func() error {
			r, err := (&command{Do: "accept", FD: c.FD}).run()
			if err != nil {
				return err
			}
			return (&command{Do: "echo", FD: r.FD, Data: c.Data, Times: c.Times}).err()
		})
	}
	childCommands["crowd-ask"] = func(c *command) (reply, error) {
		return reply{}, together(c.Size, func() error {
			r, err := (&command{Do: "connect", Address: c.Address}).run()
			if err != nil {
				return err
			}
			return (&command{Do: "ask", FD: r.FD, Data: c.Data, Times: c.Times}).err()
		})
	}
}
