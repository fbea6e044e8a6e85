package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"millrace.dev/test/internal/spans"
)

// Calls of gRPC-Web, over HTTP/1.1 and HTTP/2, have at both ends the method, the status and the numbers of messages
// that the client says.
func TestGRPCWeb(t *testing.T) {
	t.Parallel()
	o := observing(t)
	for _, version := range []string{"1", "2"} {
		server, port := launchServer(t, "grpcweb", version)
		folder, _ := servers()
		client := exec.Command(filepath.Join(folder, "grpcweb"), "127.0.0.1:"+strconv.Itoa(port), version)
		output, err := client.Output()
		if err != nil {
			t.Fatal(err, string(output))
		}
		if truthOnly {
			continue
		}
		want, pid := saidCalls(t, string(output)), client.Process.Pid
		total := 0
		for _, n := range want {
			total += n
		}
		o.await(2*total, pid, server.pid())
		ends, calls := [2]map[string]*spans.Span{{}, {}}, [2]map[string]int{{}, {}}
		for i, pid := range []int{pid, server.pid()} {
			for _, sp := range o.index.Of(pid) {
				ends[i][sp.SpanID] = sp
				calls[i][webCall(sp)]++
			}
		}
		same(t, "client of HTTP/"+version, calls[0], want)
		same(t, "server of HTTP/"+version, calls[1], want)
		paired(t, ends[0], ends[1])
		o.settled(t.Name(), 2*total, pid, server.pid())
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
