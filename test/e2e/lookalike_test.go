package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"millrace.dev/protocols/all/confusion"
	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
)

// preface is what tells HTTP/2, and may leave the node.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// say plays a conversation, each line in one send.
func (s *scene) say(lines []string, serverFirst bool) {
	for i, line := range lines {
		send := actor.Step{Op: actor.Send, Conn: "c", Data: []byte(line)}
		receive := actor.Step{Op: actor.Receive, Conn: "c", N: len(line)}
		if (i%2 == 0) == serverFirst {
			s.onServer(send)
			s.onClient(receive)
		} else {
			s.onClient(send)
			s.onServer(receive)
		}
	}
}

// TestLookalikes: of conversations of protocols that are not decoded there are no spans, and nothing of them leaves the
// node.
func TestLookalikes(t *testing.T) {
	needRoot(t)
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	o := own(t, fmt.Sprintf("bus:\n  embedded:\n    listen: 127.0.0.1:%d\n", port))
	connection, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	x := &tap{}
	if _, err := connection.Subscribe("millrace.raw.*.*", x.take); err != nil {
		t.Fatal(err)
	}
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
	play := func(fill func(s *scene)) *scene {
		s := newScene(t)
		s.open("c")
		fill(s)
		s.close("c")
		s.play()
		return s
	}
	scenes := map[string]*scene{}
	for _, l := range append(confusion.Lookalikes(secret), confusion.Lookalike{
		Name: "HTTP/2 that is none", Lines: []string{preface + secret, "\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
	}) {
		scenes[l.Name] = play(func(s *scene) { s.say(l.Lines, l.ServerFirst) })
	}
	// One that is none of them, behind all others: when its spans are there, so is all that is to come.
	last := play(func(s *scene) { s.turn("c", get("/last", 200, 2)) })
	if got := o.await(2, last.clientPID, last.serverPID); len(got) != 2 {
		t.Fatalf("%d spans of a request", len(got))
	}
	if x.of(last).events == 0 {
		t.Error("no event of a request is known to have left the node")
	}
	for name, s := range scenes {
		if got := o.index.Of(s.clientPID, s.serverPID); len(got) != 0 {
			t.Errorf("%s: invented spans: %v", name, got)
		}
		if got := bytes.ReplaceAll(x.of(s).payload, []byte(preface), nil); len(got) > 0 {
			t.Errorf("%s: %d bytes left the node: %.200q", name, len(got), got)
		}
	}
	if x.err != nil {
		t.Error(x.err)
	}
}

// TestMethods: whatever token is the method of the first request of a connection, both ends have a span, and headers
// that carry credentials are blanked as ever.
func TestMethods(t *testing.T) {
	t.Parallel()
	for _, method := range strings.Fields("ACL SET INFO ECHO PING AUTH XYZ RPC_IN_DATA VERSION-CONTROL BASELINE-CONTROL UPDATEREDIRECTREF M-SEARCH " +
		"BREW lower X !#$%&'*+-.^_`|~9 PRI") {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			for _, cut := range []int{0, 1, 5, 17} {
				s := newScene(t)
				s.open("c")
				for i := range 2 {
					x := get(fmt.Sprintf("/%d", i), 200, 2)
					x.method = "_OTHER" // none of them is one that the conventions name
					x.request.Data = request(method, fmt.Sprintf("/%d", i), "Authorization: Bearer "+secret)
					if cut > 0 {
						x.request.Cuts, x.request.Delay = []int{cut}, 5e6
					}
					s.turn("c", x)
				}
				s.close("c")
				s.run()
			}
		})
	}
}

// TestInlineRedis: an inline command opens a connection of Redis if the answer is a reply to it.
func TestInlineRedis(t *testing.T) {
	t.Parallel()
	for _, lines := range [][]string{
		{"PING\r\n", "+PONG\r\n", "SET a b\r\n", "+OK\r\n"},
		{"INFO\r\n", "$5\r\nhello\r\n", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$-1\r\n"},
		{"AUTH x\r\n", "-ERR Client sent AUTH, but no password is set\r\n", "PING\r\n", "+PONG\r\n"},
		{"dbsize\n", ":3\r\n", "PING\n", "+PONG\r\n"},
	} {
		t.Run(fmt.Sprintf("%.4s", lines[0]), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			for i := 0; i < len(lines); i += 2 {
				mark := fmt.Sprint(i)
				s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: []byte(lines[i]), Mark: "ask" + mark},
					actor.Step{Op: actor.Receive, Conn: "c", N: len(lines[i+1]), Mark: "reply" + mark})
				s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(lines[i]), Mark: "asked" + mark},
					actor.Step{Op: actor.Send, Conn: "c", Data: []byte(lines[i+1]), Mark: "answer" + mark})
				command := strings.Fields(lines[i])[0]
				if command[0] == '*' {
					command = "GET"
				}
				s.expect(truth{
					command: command, failed: lines[i+1][0] == '-', conn: "c", clientStart: "c.ask" + mark, clientEnd: "c.reply" + mark,
					serverStart: "s.asked" + mark, serverEnd: "s.answer" + mark,
				})
			}
			s.close("c")
			s.run()
		})
	}
}

// prefaces are what load balancers say first, and the client that they name.
func prefaces() map[string]struct{ text, client string } {
	v2 := func(command, family byte, addresses, rest string) string {
		b := []byte("\r\n\r\n\x00\r\nQUIT\n")
		b = append(b, 0x20|command, family)
		size := len(addresses) + len(rest)
		return string(append(b, byte(size>>8), byte(size))) + addresses + rest
	}
	four := "\xcb\x00\x71\x07\x7f\x00\x00\x01\xc7\x38\x00\x50"
	six := netip.MustParseAddr("2001:db8::7").As16()
	authority := "\x02\x00\x20" + secret // PP2_TYPE_AUTHORITY
	return map[string]struct{ text, client string }{
		"v1":                {"PROXY TCP4 203.0.113.7 127.0.0.1 51000 80\r\n", "203.0.113.7"},
		"v1 of version 6":   {"PROXY TCP6 2001:db8::7 ::1 51000 80\r\n", "2001:db8::7"},
		"v1 unknown":        {"PROXY UNKNOWN\r\n", ""},
		"v1 unknown, named": {"PROXY UNKNOWN " + secret + " x 1 2\r\n", ""},
		"v2":                {v2(1, 0x11, four, ""), "203.0.113.7"},
		"v2 of version 6":   {v2(1, 0x21, string(six[:])+string(six[:])+"\xc7\x38\x00\x50", ""), "2001:db8::7"},
		"v2 local":          {v2(0, 0, "", ""), ""},
		"v2 with TLVs":      {v2(1, 0x11, four, authority), "203.0.113.7"},
	}
}

// TestProxyProtocol: a preface changes nothing but the client's address.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	for name, preface := range prefaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, apart := range []bool{false, true} {
				s := newScene(t)
				s.noConnection = true
				s.open("c")
				first := get("/first", 200, 2)
				first.request.Data = append([]byte(preface.text), first.request.Data...)
				if apart {
					first.request.Cuts, first.request.Delay = []int{len(preface.text)}, 5e6
				}
				s.turn("c", first)
				if apart { // the request began after the preface, which the mark is of
					s.truths[0].clientStart, s.truths[0].serverStart = "", ""
				}
				s.turn("c", get("/second", 200, 2))
				s.close("c")
				s.run()
				if truthOnly {
					continue
				}
				for _, x := range shared(t).index.Of(s.serverPID) {
					want := preface.client
					if want == "" {
						want = "127.0.0.1"
					}
					if got := x.Text("client.address"); got != want {
						t.Errorf("apart %v: the client is %q, want %q", apart, got, want)
					}
					if got := x.Text("network.peer.address"); got != "127.0.0.1" {
						t.Errorf("apart %v: the peer is %q", apart, got)
					}
				}
			}
		})
	}
}

// TestProxyProtocolLeavesOut: what a preface names besides addresses does not leave the node.
func TestProxyProtocolLeavesOut(t *testing.T) {
	needRoot(t)
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	o := own(t, fmt.Sprintf("bus:\n  embedded:\n    listen: 127.0.0.1:%d\n", port))
	connection, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	x := &tap{}
	if _, err := connection.Subscribe("millrace.raw.*.*", x.take); err != nil {
		t.Fatal(err)
	}
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, preface := range prefaces() {
		s := newScene(t)
		s.open("c")
		y := get("/x", 200, 2)
		y.request.Data = append([]byte(preface.text), y.request.Data...)
		s.turn("c", y)
		s.close("c")
		s.play()
		if got := o.await(2, s.clientPID, s.serverPID); len(got) != 2 {
			t.Errorf("%s: %d spans", name, len(got))
		}
		if got := x.of(s); bytes.Contains(got.payload, []byte(secret)) {
			t.Errorf("%s: left the node: %q", name, got.payload)
		}
	}
}
