package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"millrace.dev/test/e2e/internal/multiplexed"
	"millrace.dev/test/internal/spans"
)

// multiplexer starts a program of package multiplexed.
func multiplexer(t *testing.T, arguments ...any) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, command: exec.Command(self), out: make(chan string, 1<<14)}
	p.command.Env = append(os.Environ(), multiplexed.Environment+"="+strings.TrimSpace(fmt.Sprintln(arguments...)))
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
			t.Logf("%v: %s", arguments, log.String())
		}
	})
	return p
}

// lines counts the lines that a program prints until it ends well.
func (p *program) lines() (count map[string]int, total int) {
	p.t.Helper()
	count = map[string]int{}
	for line := range p.out {
		count[line]++
		total++
	}
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("%s: %v", p.command.Path, err)
	}
	return count, total
}

// same compares counts of lines.
func same(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	r := &report{t: t}
	for line, n := range want {
		if got[line] != n {
			r.errorf("%s: %d of %q, want %d", what, got[line], line, n)
		}
	}
	for line, n := range got {
		if want[line] == 0 {
			r.errorf("%s: %d of %q, want none", what, n, line)
		}
	}
}

// requests counts the HTTP spans of a process and kind as clients of package multiplexed account for them.
func requests(list []*spans.Span, pid, kind int) map[string]int {
	out := map[string]int{}
	for _, sp := range list {
		if sp.PID() != pid || sp.Kind != kind {
			continue
		}
		path, _ := sp.Target()
		status, _ := sp.Number("http.response.status_code")
		sent, _ := sp.Number("http.request.body.size")
		got, _ := sp.Number("http.response.body.size")
		line := fmt.Sprintf("%s %s %d %d %d", sp.Text("http.request.method"), path, status, sent, got)
		if failed := sp.Text("error.type"); failed == "CANCEL" {
			line += " " + failed
		}
		if version := sp.Text("network.protocol.version"); version != "2" {
			line += " of version " + version
		}
		out[line]++
	}
	return out
}

// eachHasParent checks that the parent of each server span is a client span of its own.
func eachHasParent(t *testing.T, list []*spans.Span, server int) {
	t.Helper()
	clients, servers := map[string]*spans.Span{}, map[string]*spans.Span{}
	for _, sp := range list {
		switch {
		case sp.Kind == spans.Client:
			clients[sp.SpanID] = sp
		case sp.PID() == server:
			servers[sp.SpanID] = sp
		}
	}
	paired(t, clients, servers)
}

// TestHTTP2: a client of Go with prior knowledge, 64 requests at once on a connection, with errors and with requests
// that the client gives up.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	checkHTTP2(t, 64, 8)
}

// TestHTTP2Large: 10 MB each way.
func TestHTTP2Large(t *testing.T) {
	t.Parallel()
	checkHTTP2(t, 1, 1, 10_000_000)
}

func checkHTTP2(t *testing.T, load ...any) {
	t.Helper()
	o := observing(t)
	server := multiplexer(t, "http-server")
	client := multiplexer(t, append([]any{"http-client", "127.0.0.1:" + server.line()}, load...)...)
	want, total := client.lines()
	if truthOnly {
		return
	}
	list := o.await(2*total, client.pid(), server.pid())
	same(t, "client", requests(list, client.pid(), spans.Client), want)
	same(t, "server", requests(list, server.pid(), spans.Server), want)
	eachHasParent(t, list, server.pid())
	o.settled(t.Name(), len(list), client.pid(), server.pid())
}

// calls counts the spans of calls of a process and kind as clients of package multiplexed account for them.
func calls(list []*spans.Span, pid, kind int) map[string]int {
	out := map[string]int{}
	for _, sp := range list {
		if sp.PID() != pid || sp.Kind != kind {
			continue
		}
		sent, _ := sp.Number("millrace.rpc.request.messages")
		got, _ := sp.Number("millrace.rpc.response.messages")
		line := fmt.Sprintf("%s %s %d %d", sp.Text("rpc.method"), sp.Text("rpc.response.status_code"), sent, got)
		if sp.Name != sp.Text("rpc.method") || sp.Text("rpc.system.name") != "grpc" {
			line += " named " + sp.Name
		}
		out[uncertain(line)]++
	}
	return out
}

// uncertain takes out of a line what the client cannot know of a call that ended before its request was sent: how many
// messages left, and of one with a timeout that it gave up the status, which only the wire of a server that was quicker
// says.
func uncertain(line string) string {
	method, rest, _ := strings.Cut(line, " ")
	switch status, _, _ := strings.Cut(rest, " "); {
	case strings.HasSuffix(method, "/Nothing"):
		return method + " " + status
	case strings.HasSuffix(method, "/Sleep") && (status == "" || status == "DEADLINE_EXCEEDED"):
		return method + " time is over"
	case strings.HasSuffix(method, "/Sleep") && status == "CANCELLED":
		return method + " cancelled"
	}
	return line
}

// statuses are the names of statuses that grpc-go spells otherwise.
var statuses = strings.NewReplacer(" Canceled ", " CANCELLED ", " Unknown ", " UNKNOWN ", " InvalidArgument ", " INVALID_ARGUMENT ",
	" DeadlineExceeded ", " DEADLINE_EXCEEDED ", " NotFound ", " NOT_FOUND ", " AlreadyExists ", " ALREADY_EXISTS ",
	" PermissionDenied ", " PERMISSION_DENIED ", " ResourceExhausted ", " RESOURCE_EXHAUSTED ", " FailedPrecondition ", " FAILED_PRECONDITION ",
	" Aborted ", " ABORTED ", " OutOfRange ", " OUT_OF_RANGE ", " Unimplemented ", " UNIMPLEMENTED ", " Internal ", " INTERNAL ",
	" Unavailable ", " UNAVAILABLE ", " DataLoss ", " DATA_LOSS ", " Unauthenticated ", " UNAUTHENTICATED ")

func accountOf(lines map[string]int) map[string]int {
	out := map[string]int{}
	for line, n := range lines {
		line = statuses.Replace(line)
		if method, rest, _ := strings.Cut(line, " "); strings.HasSuffix(method, "/Cancel") || strings.HasSuffix(method, "/Deadline") {
			line = method[:strings.LastIndexByte(method, '/')+1] + "Sleep " + rest
		}
		out[uncertain(line)] += n
	}
	return out
}

// TestGRPC: clients and servers of grpc-go, unary and all three kinds of streams, 64 at once, with every status, and
// calls that the client gives up or whose time is over.
func TestGRPC(t *testing.T) {
	t.Parallel()
	checkGRPC(t, 64, 8)
}

// TestGRPCLarge: messages of 10 MB each way.
func TestGRPCLarge(t *testing.T) {
	t.Parallel()
	checkGRPC(t, 1, 1, 10_000_000)
}

func checkGRPC(t *testing.T, load ...any) {
	t.Helper()
	o := observing(t)
	server := multiplexer(t, "grpc-server")
	client := multiplexer(t, append([]any{"grpc-client", "127.0.0.1:" + server.line()}, load...)...)
	lines, total := client.lines()
	if truthOnly {
		return
	}
	want := accountOf(lines)
	list := o.await(2*total, client.pid(), server.pid())
	same(t, "client", calls(list, client.pid(), spans.Client), want)
	same(t, "server", calls(list, server.pid(), spans.Server), want)
	eachHasParent(t, list, server.pid())
	o.settled(t.Name(), len(list), client.pid(), server.pid())
}
