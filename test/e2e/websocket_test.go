package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/internal/spans"
)

// sockets counts the spans of connections that were upgraded to WebSocket, of a process and kind, as the clients
// account for them. again are those that were told before their end.
func sockets(list []*spans.Span, pid, kind int) (ended, again map[string]int) {
	ended, again = map[string]int{}, map[string]int{}
	for _, sp := range list {
		if sp.PID() != pid || sp.Kind != kind {
			continue
		}
		count := func(name string) string {
			n, ok := sp.Number("millrace.websocket." + name)
			if !ok {
				return "?"
			}
			return fmt.Sprint(n)
		}
		path, _ := sp.Target()
		line := fmt.Sprintf("%s client %s/%s server %s/%s", path, count("client.messages"), count("client.bytes"), count("server.messages"), count("server.bytes"))
		if code := count("close_code"); code != "?" {
			line += " code " + code
		}
		if sp.Attributes["millrace.sizes_estimated"] == true {
			line += " estimated"
		}
		if sp.Attributes["millrace.websocket.open"] == true {
			again[line]++
			continue
		}
		ended[line]++
	}
	return ended, again
}

// TestWebSocket: connections of gorilla/websocket that are upgraded, with messages of all sizes, in one frame and in
// many, pings between them, and some that end without a word. The truth is what the client counts.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := multiplexer(t, "websocket-server")
	client := multiplexer(t, "websocket-client", "127.0.0.1:"+server.line(), 4)
	want, total := client.lines()
	if truthOnly {
		return
	}
	// One lasts for long: it is told after ten seconds, with two messages of the server, and once more at its end.
	list := o.await(2*(total+1), client.pid(), server.pid())
	for _, sp := range list {
		if path, _ := sp.Target(); t.Failed() || path == "/long" {
			t.Log(sp)
		}
	}
	for what, end := range map[string]struct{ pid, kind int }{"client": {client.pid(), spans.Client}, "server": {server.pid(), spans.Server}} {
		ended, open := sockets(list, end.pid, end.kind)
		same(t, what, ended, want)
		same(t, what+", still open", open, map[string]int{"/long client 0/0 server 2/3007": 1})
	}
	o.settled(t.Name(), len(list), client.pid(), server.pid())
}

// nodeSocket is a client of Node.js: it sends thousands of short messages at once, then a long one, and says what it
// counted.
const nodeSocket = `
const s = new WebSocket("ws://" + process.argv[1] + "/node"); s.binaryType = "arraybuffer";
const n = 3000, long = 20 << 20; let sent = 0, sentBytes = 0, got = 0, gotBytes = 0;
const send = (x) => { s.send(x); sent++; sentBytes += x.length; };
s.onopen = () => { for (let i = 0; i < n; i++) send("x".repeat(i % 50)); };
s.onmessage = (e) => {
  got++; gotBytes += e.data.byteLength ?? e.data.length;
  if (got === n + 2) send(new Uint8Array(long));
  if (got === n + 3) s.close(4002, "hunter2hunter2");
};
s.onclose = () => { console.log("/node client " + sent + "/" + sentBytes + " server " + got + "/" + gotBytes + " code 4002"); process.exit(0); };
`

// TestWebSocketNode: the client of Node.js, with thousands of frames in each call, and one of 20 MiB. The truth is what
// the client counts.
func TestWebSocketNode(t *testing.T) {
	t.Parallel()
	node, err := resolve("node")
	if err != nil {
		lacking(t, "node")
	}
	if exec.Command(node, "--experimental-websocket", "-e", "new WebSocket('ws://127.0.0.1:1').onerror = () => process.exit(0)").Run() != nil {
		lacking(t, "a node that has WebSocket")
	}
	o := observing(t)
	server := multiplexer(t, "websocket-server")
	client := exec.Command(node, "--experimental-websocket", "-e", nodeSocket, "127.0.0.1:"+server.line())
	out, err := client.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if truthOnly {
		return
	}
	pid := client.Process.Pid
	list := o.await(2, pid, server.pid())
	for until := time.Now().Add(deadline); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		list = o.index.Of(pid, server.pid())
		asked, _ := sockets(list, pid, spans.Client)
		if answered, _ := sockets(list, server.pid(), spans.Server); len(asked) > 0 && len(answered) > 0 {
			break
		}
	}
	want := map[string]int{strings.TrimSpace(string(out)): 1}
	for what, end := range map[string]struct{ pid, kind int }{"client": {pid, spans.Client}, "server": {server.pid(), spans.Server}} {
		ended, _ := sockets(list, end.pid, end.kind) // on a slow machine it is told before its end too
		same(t, what, ended, want)
	}
	o.settled(t.Name(), len(list), pid, server.pid())
}
