package redact

import (
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

const planted = "hunter2hunter2"

// lines makes a conversation: the client's lines begin with '>', the server's with '<'.
func lines(text ...string) (pieces []piece) {
	for _, t := range text {
		if t[0] == '>' {
			pieces = append(pieces, send(t[1:]))
		} else {
			pieces = append(pieces, receive(t[1:]))
		}
	}
	return pieces
}

var foreign = map[string][]piece{
	"nats": lines("<INFO {\"server_id\":\"x\"}\r\n", ">CONNECT {\"verbose\":true,\"pass\":\""+planted+"\"}\r\n", "<+OK\r\n", ">PING\r\n", "<+PONG\r\n",
		">PUB a 14\r\n"+planted+"\r\n"),
	"nats without its greeting": lines(">CONNECT {\"pass\":\""+planted+"\"}\r\nPING\r\n", "<+OK\r\nPONG\r\n"),
	"irc":                       lines(">PING x\r\n", "<:s PONG s :x\r\n", ">PASS "+planted+"\r\n"),
	"pop3":                      lines("<+OK ready\r\n", ">AUTH PLAIN "+planted+"\r\n", "<+OK\r\n", ">PING\r\n", "<-ERR "+planted+"\r\n"),
	"smtp":                      lines("<220 mx\r\n", ">AUTH PLAIN "+planted+"\r\n", "<+OK\r\n"),
	"clamd":                     lines(">PING\n", "<PONG\n", ">SCAN "+planted+"\n"),
	"spamd":                     lines(">PING SPAMC/1.2\r\n\r\n", "<SPAMD/1.5 0 PONG\r\n", ">"+planted),
	"info":                      lines(">info\n", "<what?\n", ">auth "+planted+"\n"),
	"wrong type of reply":       lines(">GET "+planted+"\r\n", "<+OK\r\n"),
	"an error of NATS":          lines(">PING "+planted+"\r\n", "<-ERR 'Unknown'\r\n"),
	"sip":                       lines(">OPTIONS sip:"+planted+"@b SIP/2.0\r\n\r\n", "<SIP/2.0 200 OK\r\n\r\n"),
	"rtsp":                      lines(">OPTIONS * RTSP/1.0\r\nAuthorization: " + planted + "\r\n\r\n"),
	"icap":                      lines(">REQMOD icap://h ICAP/1.0\r\n\r\n", ">GET / HTTP/1.1\r\nAuthorization: "+planted+"\r\n\r\n"),
	"icecast":                   lines(">SOURCE /live ICE/1.0\r\nAuthorization: "+planted+"\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\n", ">"+planted),
	"smtp behind a preface":     lines(">PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nEHLO " + planted + "\r\n"),
}

// TestForeign: nothing leaves of connections that speak neither protocol, at either end, however they are cut.
func TestForeign(t *testing.T) {
	t.Parallel()
	for name, pieces := range foreign {
		for _, role := range []millracev1.Role{millracev1.Role_ROLE_CLIENT, millracev1.Role_ROLE_SERVER} {
			for _, size := range []int{1, 2, 3, 7, 1000} {
				h := newClient(t, on)
				h.k.Role = role
				for _, p := range pieces {
					if role == millracev1.Role_ROLE_SERVER {
						p.kind = kernel.Send + kernel.Receive - p.kind
					}
					for rest := p.text; rest != ""; {
						n := min(size, len(rest))
						if got := h.piece(piece{p.kind, rest[:n]}); strings.Trim(got, "~") != "" {
							t.Fatalf("%s, %v, in pieces of %d: %q leaves", name, role, size, got)
						}
						rest = rest[n:]
					}
				}
				h.r.Event(&h.c, &kernel.Event{Kind: kernel.Close, Connection: &h.k})
				if h.c.GivenUp() == CauseNone || h.r.withheld != 0 || h.c.opening != nil {
					t.Errorf("%s, %v, in pieces of %d: given up for %q, %d bytes withheld", name, role, size, h.c.GivenUp(), h.r.withheld)
				}
			}
		}
	}
}

// TestMalformedHello: of what begins as a record of TLS and is no hello, the beginning is all that leaves.
func TestMalformedHello(t *testing.T) {
	t.Parallel()
	for _, preface := range []string{"", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"} {
		for _, size := range []int{1, 2, 3, 7, 1000} {
			h := newClient(t, on)
			left := ""
			for _, p := range lines(">"+preface+"\x16\x03\x01"+planted, "<\x16\x03\x03"+planted) {
				for rest := p.text; rest != ""; {
					n := min(size, len(rest))
					left += h.piece(piece{p.kind, rest[:n]})
					rest = rest[n:]
				}
			}
			if left = strings.NewReplacer("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "", "\x16\x03\x01", "", "\x16\x03\x03", "").Replace(left); strings.Trim(left, "~*") != "" {
				t.Errorf("behind %q in pieces of %d: %q leaves", preface, size, left)
			}
		}
	}
}

// TestHelloMissing: a connection of which a part of the hello was not seen is given up, and counted.
func TestHelloMissing(t *testing.T) {
	t.Parallel()
	h := newClient(t, on)
	h.piece(send("\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03"))
	if h.c.GivenUp() != CauseNone {
		t.Fatalf("given up for %q", h.c.GivenUp())
	}
	if got := h.event(kernel.Send, planted, []kernel.Segment{{At: 5, Length: uint32(len(planted))}}, uint32(5+len(planted))); strings.Contains(got, planted) {
		t.Errorf("%q leaves", got)
	}
	if h.c.GivenUp() != CauseBroken {
		t.Errorf("given up for %q", h.c.GivenUp())
	}
}

// TestInline: an inline command leaves once a reply to it was read, redacted as such.
func TestInline(t *testing.T) {
	t.Parallel()
	for _, role := range []millracev1.Role{millracev1.Role_ROLE_CLIENT, millracev1.Role_ROLE_SERVER} {
		h := newClient(t, on)
		h.k.Role = role
		ask, say := send, receive
		if role == millracev1.Role_ROLE_SERVER {
			ask, say = receive, send
		}
		if got := h.piece(ask("AUTH " + planted + "\r\n")); got != "" {
			t.Errorf("before the reply: %q", got)
		}
		if got := h.piece(say("+O")); got != "" {
			t.Errorf("before the end of the reply's line: %q", got)
		}
		want := "AUTH " + strings.Repeat("*", len(planted)) + "\r\n+**\r\n" // the text of a reply that comes in pieces is blanked
		if got := h.piece(say("K\r\n")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if h.c.Taken().Name != "redis" || h.r.withheld != 0 {
			t.Errorf("taken for %v, %d bytes withheld", h.c.Taken(), h.r.withheld)
		}
		// What goes on as something else stops at once, and for good.
		if got := h.piece(say("<html>" + planted)); strings.Trim(got, "~") != "" || h.c.GivenUp() != CauseBroken {
			t.Errorf("%q leaves, given up for %q", got, h.c.GivenUp())
		}
		if got := h.piece(ask("*1\r\n$4\r\nPING\r\n")); strings.Trim(got, "~") != "" {
			t.Errorf("%q leaves later", got)
		}
	}
}

// TestMethodsOfTheirOwn: with any method the first request is one of HTTP, and its credentials are blanked.
func TestMethodsOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, method := range strings.Fields("ACL SET INFO ECHO PING XYZ x BREW M-SEARCH VERSION-CONTROL BASELINE-CONTROL RPC_IN_DATA !#$%&'*+-.^_`|~9") {
		for _, size := range []int{1, 5, 1000} {
			h := newClient(t, on)
			var got strings.Builder
			text := method + " /x HTTP/1.1\r\nAuthorization: " + planted + "\r\n\r\n"
			for rest := text + text; rest != ""; {
				n := min(size, len(rest))
				got.WriteString(h.piece(send(rest[:n])))
				rest = rest[n:]
			}
			want := strings.ReplaceAll(text+text, planted, strings.Repeat("*", len(planted)))
			if got.String() != want {
				t.Errorf("%s in pieces of %d:\ngot  %q\nwant %q", method, size, got.String(), want)
			}
		}
	}
}

// TestPreface: of what a load balancer says first, addresses leave.
func TestPreface(t *testing.T) {
	t.Parallel()
	const get = "GET / HTTP/1.1\r\n\r\n"
	two := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x1d\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02"
	for _, test := range [][2]string{
		{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"},
		{"PROXY UNKNOWN\r\n", "PROXY UNKNOWN\r\n"},
		{"PROXY UNKNOWN " + planted + "\r\n", "PROXY UNKNOWN " + strings.Repeat("*", len(planted)) + "\r\n"},
		{two + "\x02\x00\x0e" + planted, two + strings.Repeat("~", 17)},
		{"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"},
	} {
		for size := 1; size < len(test[0])+len(get)+1; size++ {
			h := newClient(t, on)
			var got strings.Builder
			for rest := test[0] + get; rest != ""; {
				n := min(size, len(rest))
				got.WriteString(h.piece(send(rest[:n])))
				rest = rest[n:]
			}
			if got.String() != test[1]+get {
				t.Fatalf("in pieces of %d:\ngot  %q\nwant %q", size, got.String(), test[1]+get)
			}
		}
	}
}

// TestWithheldIsBounded: what is withheld is given up beyond a bound, of one connection and of all.
func TestWithheldIsBounded(t *testing.T) {
	t.Parallel()
	h := newClient(t, on)
	long := "XYZ /" + strings.Repeat("a", 4000)
	for range 40 {
		h.piece(send(long))
		long = strings.Repeat("a", 4000)
		if h.r.withheld > 3*maxOpening {
			t.Fatalf("%d bytes are withheld of one connection", h.r.withheld)
		}
	}
	if h.c.GivenUp() == CauseNone || h.r.withheld != 0 {
		t.Errorf("given up for %q, %d bytes withheld", h.c.GivenUp(), h.r.withheld)
	}
	given := 0
	for range 40000 {
		var c Connection
		h.r.Event(&c, &kernel.Event{Kind: kernel.Send, Connection: &h.k, Length: 6, Payload: []byte("PING\r\n")})
		if c.GivenUp() == CauseWithheld {
			given++
		}
	}
	if given == 0 || h.r.withheld > maxWithheld {
		t.Errorf("%d connections were given up, %d bytes are withheld", given, h.r.withheld)
	}
}

// TestGreetingMissing: a server that speaks first may begin with bytes that were not copied.
func TestGreetingMissing(t *testing.T) {
	t.Parallel()
	h := newClient(t, on)
	got := h.event(kernel.Receive, "ready\r\n", []kernel.Segment{{At: 0}, {At: 30, Length: 7}}, 37)
	got += h.piece(send("GET / HTTP/1.1\r\nAuthorization: secret\r\n\r\n"))
	if strings.Contains(got, "ready") || strings.Contains(got, "secret") {
		t.Errorf("%q left the node", got)
	}
}
