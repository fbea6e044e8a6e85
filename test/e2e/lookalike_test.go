package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
)

// lookalikes are conversations of protocols that look a little like HTTP or Redis: what the ends say in turn, the
// server first where its name begins with "server first". Each holds a secret.
var lookalikes = map[string][]string{
	"server first: nats": {
		"INFO {\"server_id\":\"x\"}\r\n", "CONNECT {\"verbose\":true,\"user\":\"a\",\"pass\":\"" + secret + "\"}\r\n", "+OK\r\n", "PING\r\n", "PONG\r\n",
		"PUB a 2\r\nhi\r\n", "+OK\r\n", "PING\r\n", "+PONG\r\n", "FOO " + secret + "\r\n", "-ERR 'Unknown Protocol Operation'\r\n",
	},
	"server first: pop3": {
		"+OK POP3 ready\r\n", "AUTH PLAIN " + secret + "\r\n", "+OK\r\n", "STAT\r\n", "+OK 2 320\r\n", "PING\r\n", "-ERR " + secret + "\r\n",
	},
	"server first: smtp": {"220 mx ESMTP\r\n", "EHLO a\r\n", "250 OK\r\n", "AUTH PLAIN " + secret + "\r\n", "235 ok\r\n", "INFO\r\n", "-ERR\r\n"},
	"server first: ftp":  {"220 ftp\r\n", "USER x\r\n", "331 pw\r\n", "PASS " + secret + "\r\n", "230 in\r\n"},
	"server first: managesieve": {
		"\"IMPLEMENTATION\" \"x\"\r\nOK\r\n", "AUTHENTICATE \"PLAIN\" \"" + secret + "\"\r\n", "OK\r\n",
	},
	"irc":       {"PING " + secret + "\r\n", ":s PONG s :x\r\n", "PASS " + secret + "\r\nNICK a\r\n", ":s 001 a :hi\r\n"},
	"clamd":     {"PING\n", "PONG\n", "SCAN /" + secret + "\n", "/x: OK\n", "PING\n", "PONG\n"},
	"spamd":     {"PING SPAMC/1.2\r\n\r\n", "SPAMD/1.5 0 PONG\r\n", "CHECK SPAMC/1.2\r\nUser: " + secret + "\r\n\r\n", "SPAMD/1.5 0 EX_OK\r\n\r\n"},
	"info":      {"info\n", "what?\n", "auth " + secret + "\n", "no\n"},
	"beanstalk": {"put 0 0 60 32\r\n" + secret + "\r\n", "INSERTED 1\r\n", "reserve\r\n", "RESERVED 1 32\r\n" + secret + "\r\n"},
	"stomp":     {"CONNECT\nlogin:a\npasscode:" + secret + "\n\n\x00", "CONNECTED\nversion:1.2\n\n\x00", "SEND\n\n" + secret + "\x00", "RECEIPT\n\n\x00"},
	"sip": {
		"REGISTER sip:b SIP/2.0\r\nAuthorization: Digest " + secret + "\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n",
		"OPTIONS sip:a@b SIP/2.0\r\nX: " + secret + "\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n",
	},
	"rtsp": {"OPTIONS * RTSP/1.0\r\nAuthorization: Basic " + secret + "\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n"},
	"icap": {
		"REQMOD icap://h/s ICAP/1.0\r\nEncapsulated: req-hdr=0\r\n\r\n", "ICAP/1.0 100 Continue\r\n\r\n",
		"GET /in HTTP/1.1\r\nAuthorization: Bearer " + secret + "\r\n\r\n", "ICAP/1.0 204 No\r\n\r\n",
	},
	"icecast":  {"SOURCE /live ICE/1.0\r\nAuthorization: Basic " + secret + "\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", secret + secret, "x"},
	"lmtp":     {"LHLO a\r\n", "250 ok\r\n", "AUTH PLAIN " + secret + "\r\n", "235\r\n"},
	"gearman":  {"status\n", ".\n", "SUBMIT " + secret + "\n", "ERR\n"},
	"haproxy":  {"show info\n", "Name: HAProxy\n\n", "set server a/b addr " + secret + "\n", "ok\n"},
	"statsd":   {"a.b:1|c|#token:" + secret + "\n", "x"},
	"imap":     {"a001 LOGIN joe " + secret + "\r\n", "a001 OK\r\n"},
	"ldap":     {"0&\x02\x01\x01`!\x02\x01\x03\x04\x0acn=" + secret, "0\x0c\x02\x01\x01a\x07"},
	"http/0.9": {"GET /" + secret + "\r\n", secret},
	"http/2":   {preface + secret, "\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
}

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

// TestLookalikes: of what only looks like HTTP or Redis there are no spans, and nothing of it leaves the node.
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
	for name, lines := range lookalikes {
		scenes[name] = play(func(s *scene) { s.say(lines, strings.HasPrefix(name, "server first")) })
	}
	// One that is none of them, behind all others: when its spans are there, so is all that is to come.
	last := play(func(s *scene) { s.turn("c", get("/last", 200, 2)) })
	if got := o.await(2, last.clientPID, last.serverPID); len(got) != 2 {
		t.Fatalf("%d spans of a request", len(got))
	}
	for name, s := range scenes {
		if got := o.index.Of(s.clientPID, s.serverPID); len(got) != 0 {
			t.Errorf("%s: invented spans: %v", name, got)
		}
		if got := bytes.ReplaceAll(x.of(s.port).payload, []byte(preface), nil); len(got) > 0 {
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
		if got := x.of(s.port); bytes.Contains(got.payload, []byte(secret)) {
			t.Errorf("%s: left the node: %q", name, got.payload)
		}
	}
}
