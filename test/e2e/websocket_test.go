package e2e

import (
	"fmt"
	"testing"

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
