package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// resolver starts unbound with names of its own; it asks nobody. Names are n0.zone. and so on, with 10.0.0.0 and so on.
// address is HOST@PORT.
func resolver(t *testing.T, address, zone string, names int) *program {
	t.Helper()
	home := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  interface: %s
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  module-config: "iterator"
  local-zone: %q static
remote-control:
  control-enable: no
`, address, home, zone)
	for i := range names {
		fmt.Fprintf(&b, "server:\n  local-data: \"n%d.%s A 10.0.0.%d\"\n", i, zone, i)
	}
	fmt.Fprintf(&b, "server:\n  local-data: \"text.%s TXT 'token=hunter2hunter2'\"\n", zone)
	file := filepath.Join(home, "unbound.conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launchProgram(t, "unbound", "-d", "-c", file)
	port, err := strconv.Atoi(address[strings.IndexByte(address, '@')+1:])
	if err != nil {
		t.Fatal(err)
	}
	listening(t, port)
	return p
}

// lookups counts the spans of look-ups of a process by what they asked and what they got.
func (o *observed) lookups(pid, kind int) map[string]int {
	out := map[string]int{}
	for _, sp := range o.index.Of(pid) {
		if sp.Kind == kind && strings.HasPrefix(sp.Name, "DNS ") {
			out[sp.Name+" "+sp.Text("dns.question.name")+" "+sp.Text("dns.response.code")+" "+sp.Text("error.type")]++
		}
	}
	return out
}

// pipelined asks for n names in one write and reads the answers in whatever order they come.
const pipelined = `
import socket, struct, sys
port, zone, n = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.rstrip(".").split(".")) + b"\0"
def query(i):
    m = struct.pack(">HHHHHH", i, 0x0100, 1, 0, 0, 0) + name("n%d.%s" % (i, zone)) + struct.pack(">HH", 1, 1)
    return struct.pack(">H", len(m)) + m
s = socket.create_connection(("127.0.0.1", port))
s.sendall(b"".join(query(i) for i in range(n)))
f = s.makefile("rb")
seen = set()
for _ in range(n):
    m = f.read(struct.unpack(">H", f.read(2))[0])
    seen.add(struct.unpack(">H", m[:2])[0])
assert seen == set(range(n)), seen
`

// DNS over TCP against a real server: a client that pipelines, and one that asks for another name after each answer.
func TestDNSOverTCP(t *testing.T) {
	t.Parallel()
	o := observing(t)
	const names, zone = 40, "e2e.test."
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	server := resolver(t, fmt.Sprintf("127.0.0.1@%d", port), zone, names)
	python := launchProgram(t, "python3", "-c", pipelined, strconv.Itoa(port), zone, strconv.Itoa(names))
	python.wait()
	arguments := []string{"dig", "@127.0.0.1", "-p", strconv.Itoa(port), "+tcp", "+keepopen", "+short"}
	dig := launchProgram(t, append(arguments, "N1.E2E.test.", "A", "none.e2e.test.", "AAAA", "text.e2e.test.", "TXT")...)
	dig.wait()
	if truthOnly {
		return
	}
	o.await(2*(names+3), python.pid(), dig.pid(), server.pid())
	want := map[int]map[string]int{python.pid(): {}, dig.pid(): {
		"DNS A n1.e2e.test NOERROR ": 1, "DNS AAAA none.e2e.test NXDOMAIN host_not_found": 1, "DNS TXT text.e2e.test NOERROR ": 1,
	}, server.pid(): {"DNS AAAA none.e2e.test NXDOMAIN ": 1, "DNS TXT text.e2e.test NOERROR ": 1}}
	for i := range names {
		line := fmt.Sprintf("DNS A n%d.e2e.test NOERROR ", i)
		want[python.pid()][line]++
		want[server.pid()][line]++
	}
	want[server.pid()]["DNS A n1.e2e.test NOERROR "]++
	o.lookedUp(t, server.pid(), want)
	o.settled(t.Name(), 2*(names+3), python.pid(), dig.pid(), server.pid())
}

// lookedUp compares the look-ups of processes, of which one is the server.
func (o *observed) lookedUp(t *testing.T, server int, want map[int]map[string]int) {
	t.Helper()
	for pid, lines := range want {
		kind := spans.Client
		if pid == server {
			kind = spans.Server
		}
		got := o.lookups(pid, kind)
		for line, n := range lines {
			if got[line] != n {
				t.Errorf("process %d: %d of %q, want %d", pid, got[line], line, n)
			}
		}
		for line, n := range got {
			if lines[line] == 0 {
				t.Errorf("process %d: %d of %q, want none", pid, n, line)
			}
		}
	}
}

// datagrams asks for n names with a connected socket, and for as many with one that is not, one after the other.
const datagrams = `
import socket, struct, sys
address, zone, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.rstrip(".").split(".")) + b"\0"
def query(i, first):
    return struct.pack(">HHHHHH", first + i, 0x0100, 1, 0, 0, 0) + name("n%d.%s" % (i, zone)) + struct.pack(">HH", 1, 1)
connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
connected.connect((address, 53))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(n):
    connected.send(query(i, 0))
    assert connected.recv(4096)[:2] == query(i, 0)[:2]
    other.sendto(query(i, 1000), (address, 53))
    assert other.recvfrom(4096)[0][:2] == query(i, 1000)[:2]
`

// DNS over UDP against a real server: both kinds of sockets, and dig, which uses calls of its own. Both ends agree, and
// each pair is one trace.
func TestDNSOverUDP(t *testing.T) {
	t.Parallel()
	o := observing(t)
	const names, zone, address = 10, "udp.test.", "127.53.7.1"
	server := resolver(t, address+"@53", zone, names)
	python := launchProgram(t, "python3", "-c", datagrams, address, zone, strconv.Itoa(names))
	python.wait()
	dig := launchProgram(t, "dig", "@"+address, "+short", "N1.udp.test.", "A", "none.udp.test.", "AAAA", "text.udp.test.", "TXT")
	dig.wait()
	if truthOnly {
		return
	}
	const total = 2 * (2*names + 3)
	o.await(total, python.pid(), dig.pid(), server.pid())
	want := map[int]map[string]int{python.pid(): {}, dig.pid(): {
		"DNS A n1.udp.test NOERROR ": 1, "DNS AAAA none.udp.test NXDOMAIN host_not_found": 1, "DNS TXT text.udp.test NOERROR ": 1,
	}, server.pid(): {"DNS AAAA none.udp.test NXDOMAIN ": 1, "DNS TXT text.udp.test NOERROR ": 1}}
	for i := range names {
		line := fmt.Sprintf("DNS A n%d.udp.test NOERROR ", i)
		want[python.pid()][line] += 2
		want[server.pid()][line] += 2
	}
	want[server.pid()]["DNS A n1.udp.test NOERROR "]++
	o.lookedUp(t, server.pid(), want)
	clients := map[string]*spans.Span{}
	for _, sp := range o.index.Of(python.pid(), dig.pid()) {
		clients[sp.SpanID] = sp
	}
	servers := map[string]*spans.Span{}
	for _, sp := range o.index.Of(server.pid()) {
		servers[sp.SpanID] = sp
	}
	paired(t, clients, servers)
	o.settled(t.Name(), total, python.pid(), dig.pid(), server.pid())
}
