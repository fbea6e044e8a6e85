package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestEnds(t *testing.T) {
	for _, test := range []struct {
		name           string
		end            string
		client, server Kind
	}{
		{"close", "close", Close, Close},
		{"exit", "exit", Close, Close},
		{"reset", "reset", Reset, Reset},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, client, server, from, to := pair(t, Options{})
			client.do(command{Do: "write", FD: from, Data: request(1)})
			server.do(command{Do: "read", FD: to, Size: 1000})
			r.wait(t, server, 1, Open)
			if test.end == "exit" {
				client.begin(command{Do: "exit"})
			} else {
				client.do(command{Do: test.end, FD: from})
			}
			time.Sleep(30 * time.Millisecond)
			server.begin(command{Do: "read", FD: to, Size: 100})
			server.end()
			server.do(command{Do: "close", FD: to})
			a, b := r.wait(t, client, 1, test.client), r.wait(t, server, 1, test.server)
			if ends := append(r.of(client, Close, Reset), r.of(server, Close, Reset)...); len(ends) != 2 {
				t.Errorf("ends:%s", describe(ends))
			}
			samePair(t, a[0].Connection, b[0].Connection)
			if test.server == Reset && b[0].Error != 104 /* ECONNRESET */ {
				t.Errorf("error %d", b[0].Error)
			}
			if test.end == "exit" {
				r.wait(t, client, 1, ProcessExit)
			}
		})
	}
}

func TestProcessesAndTasks(t *testing.T) {
	r := record(t, Options{})
	shell := exec.Command("/bin/sh", "-c", "read x; (read y); /bin/true; true")
	in, _ := shell.StdinPipe()
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{pid: uint32(shell.Process.Pid)}
	if err := r.SetPolicy(c.pid, Policy{}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(in, "1\n2\n")
	in.Close()
	shell.Wait()
	r.wait(t, c, 1, ProcessExit)
	r.mu.Lock()
	var forked []uint32
	for _, e := range r.events {
		if e.Kind == ProcessFork && e.ParentPID == c.pid {
			forked = append(forked, e.PID)
			if e.ParentThread != c.pid || e.ParentGoroutine != 0 {
				t.Errorf("made by thread %d, goroutine %d, want %d", e.ParentThread, e.ParentGoroutine, c.pid)
			}
		}
	}
	r.mu.Unlock()
	if len(forked) != 2 {
		t.Fatalf("%d children", len(forked))
	}
	r.wait(t, &child{pid: forked[1]}, 1, ProcessExec)
	for _, pid := range forked {
		r.wait(t, &child{pid: pid}, 1, ProcessExit)
	}
	// The children of the Go test are threads too.
	threads := newChild(t, r.Kernel)
	threads.do(command{Do: "threads", Times: 3})
	starts := r.wait(t, threads, 3, TaskStart)
	for _, e := range starts {
		if e.Thread == 0 || e.ParentThread == 0 || e.Thread == e.ParentThread {
			t.Errorf("%+v", e)
		}
	}
	r.wait(t, threads, 1, TaskEnd)
}

func TestPolicies(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	exchange := func() {
		client.do(command{Do: "write", FD: from, Data: request(1)})
		server.do(command{Do: "read", FD: to, Size: 1000})
	}
	if err := r.SetPolicy(client.pid, Policy{Ignore: true}); err != nil {
		t.Fatal(err)
	}
	exchange()
	r.wait(t, server, 1, Receive) // the other end is not concerned
	settle()
	if events := r.of(client, Send); len(events) != 0 {
		t.Errorf("ignored process:%s", describe(events))
	}
	if err := r.SetPolicy(client.pid, Policy{}); err != nil {
		t.Fatal(err)
	}
	exchange()
	if e := r.wait(t, client, 1, Send)[0]; e.Offset != uint64(len(request(1))) {
		t.Errorf("first event:%s", describe([]Event{e}))
	}
	r.wait(t, server, 2, Receive) // so that it is not taken for an event of what follows

	// A process of ours takes the other end of its connections with it, whichever side it is.
	if err := r.SetPolicy(client.pid, Policy{Ignore: true, IgnorePeers: true}); err != nil {
		t.Fatal(err)
	}
	count := len(r.of(server, Receive, Send))
	for _, ours := range []struct{ client, server *child }{{client, server}, {server, client}} {
		from, to := connect(ours.client, ours.server, "127.0.0.1:0", "")
		ours.client.do(command{Do: "write", FD: from, Data: request(1)})
		ours.server.do(command{Do: "read", FD: to, Size: 1000})
		ours.server.do(command{Do: "write", FD: to, Data: response(1)})
		ours.client.do(command{Do: "read", FD: from, Size: 1000})
	}
	settle()
	if events := r.of(server, Receive, Send); len(events) != count {
		t.Errorf("other end of our connections:%s", describe(events[count:]))
	}
}

func TestCgroup(t *testing.T) {
	root, err := cgroupRoot()
	if err != nil {
		t.Skip(err)
	}
	directory := filepath.Join(root, "millrace-test", "inner")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Dir(directory))
	defer os.Remove(directory)
	r := record(t, Options{CgroupPrefix: "/millrace-test"})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	if err := os.WriteFile(filepath.Join(directory, "cgroup.procs"), fmt.Append(nil, client.pid), 0o644); err != nil {
		t.Fatal(err)
	}
	from, to := connect(client, server, "127.0.0.1:0", "")
	client.do(command{Do: "write", FD: from, Data: request(1)})
	server.do(command{Do: "read", FD: to, Size: 1000})
	r.wait(t, client, 1, Send)
	settle()
	if events := r.of(server, Receive); len(events) > 0 {
		t.Errorf("outside of the cgroup:%s", describe(events))
	}
	client.cmd.Process.Kill()
	client.cmd.Wait()
	if _, err := Attach(Options{CgroupPrefix: "/millrace-test/none"}); err == nil {
		t.Error("no error for a cgroup that does not exist")
	}
}

func init() {
	childCommands["threads"] = func(c *command) (reply, error) {
		done := make(chan bool)
		for range c.Times {
			go func() {
				lockAndEnd()
				done <- true
			}()
		}
		for range c.Times {
			<-done
		}
		return reply{}, nil
	}
}

// lockAndEnd makes the goroutine's thread end with it.
func lockAndEnd() {
	runtime.LockOSThread()
	time.Sleep(10 * time.Millisecond)
}
