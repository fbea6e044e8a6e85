package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/spans"
)

// After 101 the bytes are another protocol's: the upgrade is the last exchange, whatever the frames hold.
func TestUpgradeToWebSocket(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	s.turn("c", get("/upgrade/before", 200, 3))
	x := get("/upgrade", 101, 0)
	x.request.Data = request("GET", "/upgrade", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	x.response.Data = head("HTTP/1.1 101 Switching Protocols", []string{
		"Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
	})
	s.turn("c", x)
	// Frames that hold HTTP and Redis text, unmasked: RFC 6455 section 5.2. The client would mask them; that they are
	// plain makes it harder.
	for i := range 20 {
		for _, text := range []string{"GET /frame HTTP/1.1\r\nHost: x\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "\x00\xff"} {
			frame := append([]byte{0x81, byte(len(text))}, text...)
			if i%2 == 1 {
				frame = []byte(text) // also a send that begins with the text
			}
			answer := append([]byte{0x81, 15}, "HTTP/1.1 200 OK"...)
			s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: frame}, actor.Step{Op: actor.Receive, Conn: "c", N: len(answer)})
			s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(frame)}, actor.Step{Op: actor.Send, Conn: "c", Data: answer})
		}
	}
	s.close("c")
	s.run()
}

// chatter adds messages of an unknown binary protocol, or of TLS, to both scripts.
func chatter(s *scene, conn string, tls bool, rounds int) {
	state := uint32(2463534242)
	for i := range rounds {
		message := make([]byte, 200+i)
		for j := range message {
			state ^= state << 13
			state ^= state >> 17
			state ^= state << 5
			message[j] = byte(state)
		}
		message[0] = 0xF1
		if tls { // record header: handshake, then application data; RFC 8446 section 5.1
			kind, hello := byte(23), byte(message[5])
			if i == 0 {
				kind, hello = 22, 1
			}
			copy(message, []byte{kind, 3, 1, byte((len(message) - 5) >> 8), byte(len(message) - 5), hello, 0, 0, 190, 3, 3})
		}
		copy(message[100:], secret)
		s.onClient(actor.Step{Op: actor.Send, Conn: conn, Data: message}, actor.Step{Op: actor.Receive, Conn: conn, N: len(message)})
		if tls && i == 0 {
			message[5] = 2
		}
		s.onServer(actor.Step{Op: actor.Receive, Conn: conn, N: len(message)}, actor.Step{Op: actor.Send, Conn: conn, Data: message})
	}
}

// secret is text that must not leave capture.
const secret = "MILLRACE-E2E-MUST-NOT-BE-SHIPPED"

func TestUnknownChatter(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "binary", true: "tls"}[tls], func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			chatter(s, "c", tls, 50)
			s.close("c")
			s.run()
		})
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.listen, s.connect = "::1", "::1"
	s.open("c")
	s.turn("c", get("/ipv6/1", 200, 3))
	s.turn("c", post("/ipv6/2", 3000, 3))
	s.close("c")
	s.run()
}

// IPv4 traffic on IPv6 sockets: at the server only, and at both ends.
func TestIPv4Mapped(t *testing.T) {
	t.Parallel()
	for _, connect := range []string{"127.0.0.1", "::ffff:127.0.0.1"} {
		t.Run(connect, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.dual, s.connect = true, connect
			s.listen = "::ffff:127.0.0.1"
			s.open("c")
			s.turn("c", get("/mapped/1", 200, 3))
			s.close("c")
			s.run()
			if truthOnly {
				return
			}
			for _, sp := range started.index.Of(s.clientPID, s.serverPID) {
				if a := sp.Text("network.peer.address"); a != "127.0.0.1" {
					t.Errorf("network.peer.address %q", a)
				}
			}
		})
	}
}

// Two servers listen on one port: each connection's spans must come from the process that took it.
func TestReusePort(t *testing.T) {
	t.Parallel()
	o := observing(t)
	const connections = 12
	serve := func(port int, name string) *process {
		return start(t, nil, []actor.Step{
			{Op: actor.Listen, Addr: "127.0.0.1:" + strconv.Itoa(port), Reuse: true},
			{Op: actor.Loop, Count: connections, Steps: []actor.Step{
				{Op: actor.Accept, Conn: "c", Mark: "accept"},
				{Op: actor.Receive, Conn: "c", N: len(request("GET", "/reuse/00")), Mark: "ask"},
				{Op: actor.Send, Conn: "c", Data: append(response(200, 1, "Server: "+name), 'x')},
				{Op: actor.Close, Conn: "c"},
			}},
		})
	}
	a := serve(0, "a")
	port := a.next("listen").Port
	b := serve(port, "b")
	b.next("listen")
	var steps []actor.Step
	for i := range connections {
		steps = append(steps,
			actor.Step{Op: actor.Connect, Conn: "c", Addr: "127.0.0.1:" + strconv.Itoa(port), Mark: "connect" + strconv.Itoa(i)},
			actor.Step{Op: actor.Send, Conn: "c", Data: request("GET", fmt.Sprintf("/reuse/%02d", i))},
			actor.Step{Op: actor.Receive, Conn: "c", N: len(response(200, 1, "Server: a")) + 1, Mark: "reply" + strconv.Itoa(i)},
			actor.Step{Op: actor.Close, Conn: "c"})
	}
	results := map[string]actor.Result{}
	client := start(t, nil, steps)
	client.finish("", results)
	if truthOnly {
		return
	}
	all := o.await(2*connections, client.pid, a.pid, b.pid)
	if len(all) != 2*connections {
		t.Errorf("%d spans, want %d", len(all), 2*connections)
	}
	clients := map[string]*spans.Span{}
	count := map[int]int{}
	for _, sp := range all {
		count[sp.PID()]++
		if sp.Kind == spans.Client {
			clients[sp.SpanID] = sp
		}
	}
	if count[client.pid] != connections || count[a.pid] == 0 || count[b.pid] == 0 {
		t.Errorf("spans by process: %v (client %d, servers %d and %d)", count, client.pid, a.pid, b.pid)
	}
	for _, sp := range all {
		if sp.Kind != spans.Server {
			continue
		}
		parent := clients[sp.ParentID]
		path, _ := sp.Target()
		if parent == nil || parent.TraceID != sp.TraceID {
			t.Errorf("parent of %v is %v", sp, parent)
		} else if called, _ := parent.Target(); called != path {
			t.Errorf("parent of %v is %v", sp, parent)
		}
	}
	o.settled(t.Name(), len(all), client.pid, a.pid, b.pid)
}

// observing gives the shared instance, or nil where only the traffic is tested.
func observing(t *testing.T) *observed {
	t.Helper()
	if truthOnly {
		return nil
	}
	return shared(t)
}

// forkServer accepts connections and serves each in a child process; it prints its port, then the pid of each child
// with the number of the connection.
const forkServer = `
import os, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 0)); s.listen(64)
print(s.getsockname()[1], flush=True)
for n in range(int(sys.argv[1])):
    c, _ = s.accept()
    pid = os.fork()
    if pid == 0:
        s.close()
        while True:
            data = c.recv(65536)
            if not data: os._exit(0)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nchild")
    c.close()
    print(pid, flush=True)
for n in range(int(sys.argv[1])): os.wait()
`

func TestChildProcessPerConnection(t *testing.T) {
	t.Parallel()
	o := observing(t)
	const connections, requests = 8, 3
	server := python(t, forkServer, strconv.Itoa(connections))
	port := server.line()
	var steps []actor.Step
	answer := len("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nchild")
	for i := range connections {
		steps = append(steps, actor.Step{Op: actor.Connect, Conn: "c", Addr: "127.0.0.1:" + port})
		for j := range requests {
			steps = append(steps,
				actor.Step{Op: actor.Send, Conn: "c", Data: request("GET", fmt.Sprintf("/child/%d/%d", i, j))},
				actor.Step{Op: actor.Receive, Conn: "c", N: answer})
		}
		steps = append(steps, actor.Step{Op: actor.Close, Conn: "c"})
	}
	client := start(t, nil, steps)
	client.finish("", map[string]actor.Result{})
	pids := []int{client.pid, server.pid()}
	for range connections {
		pid, err := strconv.Atoi(server.line())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	server.wait()
	if truthOnly {
		return
	}
	all := o.await(2*connections*requests, pids...)
	clients := map[string]*spans.Span{}
	count := map[int]int{}
	for _, sp := range all {
		count[sp.PID()]++
		if sp.Kind == spans.Client {
			clients[sp.SpanID] = sp
		}
	}
	if count[client.pid] != connections*requests || count[server.pid()] != 0 {
		t.Errorf("%d client spans, want %d; %d spans of the parent process", count[client.pid], connections*requests, count[server.pid()])
	}
	for i, pid := range pids[2:] {
		of := o.index.Of(pid)
		if len(of) != requests {
			t.Errorf("child %d has %d spans, want %d", i, len(of), requests)
		}
		for j, sp := range of {
			parent := clients[sp.ParentID]
			want := fmt.Sprintf("/child/%d/%d", i, j)
			if sp.Text("url.path") != want || sp.Kind != spans.Server || parent == nil || parent.TraceID != sp.TraceID {
				t.Errorf("want a server span of %s with its client as parent, got %v, parent %v", want, sp, parent)
			}
		}
	}
	o.settled(t.Name(), len(all), pids...)
}

// program is a process that is not an actor: Python, nginx, Redis, curl.
type program struct {
	t       *testing.T
	command *exec.Cmd
	out     chan string
}

// python runs text with Debian's interpreter where there is one.
func python(t *testing.T, text string, arguments ...string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program.py")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return launchProgram(t, append([]string{"python3", "-u", file}, arguments...)...)
}

// launchProgram starts a program; the test ends it.
func launchProgram(t *testing.T, arguments ...string) *program {
	t.Helper()
	path, err := resolve(arguments[0])
	if err != nil {
		lacking(t, "%s: %v", arguments[0], err)
	}
	p := &program{t: t, command: exec.Command(path, arguments[1:]...), out: make(chan string, 4096)}
	var log strings.Builder
	p.command.Stderr = &log
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go scan(out, p.out)
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
		if t.Failed() && log.Len() > 0 {
			t.Logf("%s: %s", arguments[0], log.String())
		}
	})
	return p
}

func (p *program) pid() int { return p.command.Process.Pid }

// line gives the next line that the program prints.
func (p *program) line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.out:
		if !ok {
			p.t.Fatalf("%s ended", p.command.Path)
		}
		return line
	case <-time.After(15 * time.Second):
		p.t.Fatalf("%s prints nothing", p.command.Path)
	}
	return ""
}

// wait waits until the program has ended well.
func (p *program) wait() {
	p.t.Helper()
	for range p.out { // until its output is closed
	}
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("%s: %v", p.command.Path, err)
	}
}
