package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/internal/spans"
)

// Calls of gRPC-Web, over HTTP/1.1 and HTTP/2, have at both ends the method, the status and the numbers of messages
// that the client says. Where the kernel side leaves out a message together with what tells its length (the body of a
// response over HTTP/1.1 is one chunk of more than 4 KiB), number and status are left out.
func TestGRPCWeb(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := launchServer(t, "grpcweb")
	folder, _ := servers()
	total, pids := 0, []int{server.pid()}
	for _, version := range []string{"1", "2"} {
		client := exec.Command(filepath.Join(folder, "grpcweb"), "127.0.0.1:"+strconv.Itoa(port), version)
		output, err := client.Output()
		if err != nil {
			t.Fatal(err, string(output))
		}
		if truthOnly {
			continue
		}
		want, pid := saidCalls(t, string(output)), client.Process.Pid
		n := len(strings.Split(strings.TrimSpace(string(output)), "\n"))
		o.await(n, pid)
		total += n
		pids = append(pids, pid)
		clients, served, all := map[string]*spans.Span{}, map[string]*spans.Span{}, map[string]int{}
		for _, sp := range o.index.Of(pid) {
			all[webCall(sp)]++
			clients[sp.SpanID] = sp
		}
		same(t, "client of HTTP/"+version, all, want)
		o.await(total, server.pid())
		all = map[string]int{}
		for _, sp := range o.index.Of(server.pid()) {
			if clients[sp.ParentID] != nil {
				all[webCall(sp)]++
				served[sp.SpanID] = sp
			}
		}
		same(t, "server of HTTP/"+version, all, want)
		paired(t, clients, served)
	}
	if !truthOnly {
		o.settled(t.Name(), 2*total, pids...)
	}
}

// webCall writes a call as the client accounts for it.
func webCall(sp *spans.Span) string {
	sent, knownSent := sp.Number("millrace.rpc.request.messages")
	got, knownGot := sp.Number("millrace.rpc.response.messages")
	status := sp.Text("rpc.response.status_code")
	line := fmt.Sprintf("%s %s %d %d", sp.Name, status, sent, got)
	if failed := sp.Text("error.type"); sp.Kind == spans.Client && (failed != "") != (status != "OK") || failed != "" && failed != status {
		line += ", error " + failed
	}
	if !knownSent || !knownGot {
		line += fmt.Sprint(", known ", knownSent, knownGot)
	}
	return line
}
