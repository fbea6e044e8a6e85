package redact

import (
	"math/rand/v2"
	"strings"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	known "millrace.dev/protocols/edge/edgetest/all"
	"millrace.dev/protocols/redis"
	"millrace.dev/services/capture/internal/kernel"
)

// piece is bytes moved in one direction by one call.
type piece struct {
	kind kernel.Kind
	text string
}

func newRedactor(tb testing.TB, cfg config.Redact) *Redactor {
	tb.Helper()
	r, err := New(cfg, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// client is a harness for one client's end of a connection.
type client struct {
	tb      testing.TB
	r       *Redactor
	c       Connection
	k       kernel.Connection
	offsets [2]uint64
	flags   uint32
}

func newClient(tb testing.TB, cfg config.Redact) *client {
	return &client{tb: tb, r: newRedactor(tb, cfg), k: kernel.Connection{Role: millracev1.Role_ROLE_CLIENT}}
}

// event passes an event and renders what is left: dropped bytes show as '~'.
func (h *client) event(kind kernel.Kind, text string, segments []kernel.Segment, length uint32) string {
	h.tb.Helper()
	way := kind - kernel.Send
	ev := kernel.Event{
		Kind: kind, Connection: &h.k, Offset: h.offsets[way], Length: length, Payload: []byte(text), Segments: segments,
	}
	h.offsets[way] += uint64(length)
	earlier, pass := h.r.Event(&h.c, &ev)
	var out strings.Builder
	for i := range earlier {
		h.flags |= earlier[i].Flags
		checkEvent(h.tb, &earlier[i], len(earlier[i].Payload))
		out.WriteString(render(&earlier[i]))
	}
	if !pass { // what does not leave is dropped for good, or withheld and shown when it leaves
		if h.c.GivenUp() != CauseNone {
			return strings.Repeat("~", int(length))
		}
		return ""
	}
	h.flags |= ev.Flags
	checkEvent(h.tb, &ev, len(text))
	return out.String() + render(&ev)
}

func (h *client) piece(p piece) string {
	h.tb.Helper()
	return h.event(p.kind, p.text, nil, uint32(len(p.text)))
}

func checkEvent(tb testing.TB, ev *kernel.Event, before int) {
	tb.Helper()
	if len(ev.Payload) > before {
		tb.Fatalf("payload grew from %d to %d", before, len(ev.Payload))
	}
	if ev.Segments == nil {
		if len(ev.Payload) > int(ev.Length) {
			tb.Fatalf("%d bytes of payload in an event of %d", len(ev.Payload), ev.Length)
		}
		return
	}
	at, sum := uint32(0), 0
	for i, s := range ev.Segments {
		if s.Length == 0 || s.At < at || i > 0 && s.At == at || uint64(s.At)+uint64(s.Length) > uint64(ev.Length) {
			tb.Fatalf("segments %v of an event of %d", ev.Segments, ev.Length)
		}
		at = s.At + s.Length
		sum += int(s.Length)
	}
	if sum != len(ev.Payload) {
		tb.Fatalf("segments %v for %d bytes", ev.Segments, len(ev.Payload))
	}
}

func render(ev *kernel.Event) string {
	out := []byte(strings.Repeat("~", int(ev.Length)))
	segments := ev.Segments
	if segments == nil {
		segments = []kernel.Segment{{Length: uint32(len(ev.Payload))}}
	}
	from := 0
	for _, s := range segments {
		copy(out[s.At:], ev.Payload[from:from+int(s.Length)])
		from += int(s.Length)
	}
	return string(out)
}

var on = config.Redact{Enable: true, Literals: true, Headers: []string{"X-Tenant-*"}, QueryParameters: []string{"pin"}}

type conversation struct {
	name   string
	pieces []piece
	want   []string
}

func send(text string) piece    { return piece{kernel.Send, text} }
func receive(text string) piece { return piece{kernel.Receive, text} }

var big = strings.Repeat("v", 2000)

var conversations = []conversation{
	{
		"credentials in headers",
		[]piece{
			send("GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcg==\r\ncookie:  a=1; b=2\r\nX-Tenant-Key:k\r\nN-Tenantkey: k\r\n\r\n"),
			receive("HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nContent-Length: 5\r\n\r\nhello"),
		},
		[]string{
			"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: **************\r\ncookie:  ********\r\nX-Tenant-Key:*\r\n***********: *\r\n\r\n",
			"HTTP/1.1 200 **\r\nSet-Cookie: ***\r\nContent-Length: 5\r\n\r\n~~~~~",
		},
	},
	{
		"folded credentials",
		[]piece{send("GET /a HTTP/1.1\r\nAuthorization: Digest\r\n abc\r\n\tdef\r\nN: b\r\n\r\n")},
		[]string{"GET /a HTTP/1.1\r\nAuthorization: ******\r\n ***\r\n\t***\r\n*: *\r\n\r\n"},
	},
	{
		"query",
		[]piece{send("GET /a?x=1&Access_Token=abc&&PIN=12;pins=3&q#f HTTP/1.1\r\n\r\nGET /?password= HTTP/1.1\r\n\r\nGET /?sig=a HTTP/1.1\r\n\r\n")},
		[]string{"GET /a?x=1&Access_Token=***&&PIN=**;pins=3&q#* HTTP/1.1\r\n\r\nGET /?password= HTTP/1.1\r\n\r\nGET /?sig=* HTTP/1.1\r\n\r\n"},
	},
	{
		"bodies and pipelining",
		[]piece{
			send("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\nGET /e HTTP/1.1\r\n\r\n"),
			receive("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n4;x=y\r\nwiki\r\n0A\r\n0123456789\r\n0\r\nN-T: 1\r\nSet-Cookie: q\r\n\r\n" +
				"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\nHTTP/1.0 200\r\n\r\nuntil close HTTP/1.1 200 OK\r\n\r\n"),
		},
		[]string{
			"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n~~~GET /b HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\nGET /e HTTP/1.1\r\n\r\n",
			"HTTP/1.1 100 ********\r\n\r\nHTTP/1.1 200 **\r\ntransfer-encoding: gzip, Chunked\r\n\r\n4;***\r\n~~~~\r\n0A\r\n~~~~~~~~~~\r\n0\r\n***: *\r\nSet-Cookie: *\r\n\r\n" +
				"HTTP/1.1 204 **\r\n\r\nHTTP/1.1 200 **\r\nContent-Length: 50\r\n\r\nHTTP/1.1 304 ***\r\nContent-Length: 7\r\n\r\nHTTP/1.0 200\r\n\r\n" +
				strings.Repeat("~", len("until close HTTP/1.1 200 OK\r\n\r\n")),
		},
	},
	{
		"upgrade",
		[]piece{
			send("GET /ws HTTP/1.1\r\nUpgrade: else-2\r\n\r\n"),
			receive("HTTP/1.1 101 Switching\r\nUpgrade: else-2\r\n\r\n\x81\x05hello"),
			send("GET / HTTP/1.1\r\n\r\n"),
		},
		[]string{
			"GET /ws HTTP/1.1\r\nUpgrade: ******\r\n\r\n",
			"HTTP/1.1 101 *********\r\nUpgrade: ******\r\n\r\n~~~~~~~",
			strings.Repeat("~", 18),
		},
	},
	{
		"upgrade to WebSocket",
		[]piece{
			send("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
			receive("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\x02\x02he\x80\x01y"),
			send("\x82\x83KEYSabc\x88\x86KEYS12more"),
			receive("HTTP/1.1 200 OK\r\n\r\n"), // no frame
		},
		[]string{
			"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 101 *********\r\nUpgrade: websocket\r\n\r\n\x81\x05~~~~~\x02\x02~~\x80\x01~",
			"\x82\x83~~~~~~~\x88\x86KEYS12~~~~",
			strings.Repeat("~", 19),
		},
	},
	{
		"tunnel",
		[]piece{
			send("CONNECT a:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n"),
			receive("HTTP/1.1 200 OK\r\n\r\nabc"),
		},
		[]string{"CONNECT a:443 HTTP/1.1\r\nProxy-Authorization: *\r\n\r\n", "HTTP/1.1 200 **\r\n\r\n~~~"},
	},
	{
		"redis",
		[]piece{
			send("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*3\r\n$3\r\nSET\r\n$4\r\nauth\r\n$1\r\nv\r\n"),
			receive("+OK\r\n+OK\r\n"),
			send("*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n*3\r\n$4\r\nauth\r\n$1\r\nu\r\n$2\r\npw\r\n"),
			receive("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n$-1\r\n"),
			send("*4\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$1\r\nu\r\n$3\r\n>pw\r\n*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$2\r\npw\r\n"),
			receive("+OK\r\n*2\r\n$10\r\nrequirepas\r\n$2\r\npw\r\n$2\r\nok\r\n"),
			send("*9\r\n$7\r\nMIGRATE\r\n$1\r\nh\r\n$1\r\n1\r\n$0\r\n\r\n$1\r\n0\r\n$1\r\n9\r\n$5\r\nAUTH2\r\n$1\r\nu\r\n$1\r\np\r\nAUTH u p\r\nPING\r\n"),
			send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000\r\n" + big + "\r\n*1\r\n$4\r\nPING\r\n"),
		},
		[]string{
			"*2\r\n$4\r\nAUTH\r\n$6\r\n******\r\n*3\r\n$3\r\nSET\r\n$4\r\nauth\r\n$1\r\n*\r\n",
			"+OK\r\n+OK\r\n",
			"*5\r\n$5\r\nHELLO\r\n$1\r\n*\r\n$4\r\n****\r\n$1\r\n*\r\n$2\r\n**\r\n*3\r\n$4\r\nauth\r\n$1\r\n*\r\n$2\r\n**\r\n",
			"%1\r\n$6\r\n******\r\n$5\r\n*****\r\n$-1\r\n",
			"*4\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$1\r\nu\r\n$3\r\n***\r\n*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$2\r\n**\r\n",
			"+OK\r\n*2\r\n$10\r\n**********\r\n$2\r\n**\r\n$2\r\n**\r\n",
			"*9\r\n$7\r\nMIGRATE\r\n$1\r\n*\r\n$1\r\n*\r\n$0\r\n\r\n$1\r\n*\r\n$1\r\n*\r\n$5\r\n*****\r\n$1\r\n*\r\n$1\r\n*\r\nAUTH * *\r\nPING\r\n",
			"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000\r\n" + strings.Repeat("*", redis.BulkHead) + strings.Repeat("~", 2000-redis.BulkHead) + "\r\n*1\r\n$4\r\nPING\r\n",
		},
	},
	{
		"neither protocol",
		[]piece{send("\x16\x03\x01abc"), receive("secret"), send("GET / HTTP/1.1\r\n\r\n")},
		[]string{"\x16\x03\x01*~~", "~~~~~~", strings.Repeat("~", 18)},
	},
}

func TestConversations(t *testing.T) {
	t.Parallel()
	for _, tc := range conversations {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newClient(t, on)
			for i, p := range tc.pieces {
				if got := h.piece(p); got != tc.want[i] {
					t.Errorf("piece %d:\ngot  %q\nwant %q", i, got, tc.want[i])
				}
			}
		})
	}
}

// masked reports whether got is want, but for bytes that are blanked besides.
func masked(got, want string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if got[i] != want[i] && got[i] != '*' && got[i] != ' ' && (got[i] != '1' || want[i] < '0' || want[i] > '9') {
			return false
		}
	}
	return true
}

// TestSplits: whatever way the same bytes are cut into calls, no more is shown than of the whole.
func TestSplits(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, tc := range conversations {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "neither protocol" {
				return // What it is taken for depends on how much was seen at first.
			}
			for round := range 400 {
				h := newClient(t, on)
				for i, p := range tc.pieces {
					var got strings.Builder
					for rest := p.text; rest != ""; {
						n := 1
						if round > 0 {
							n = 1 + random.IntN(min(len(rest), 1+round%40))
						}
						got.WriteString(h.piece(piece{p.kind, rest[:n]}))
						rest = rest[n:]
					}
					if !masked(got.String(), tc.want[i]) {
						t.Fatalf("round %d, piece %d:\ngot  %q\nwant %q", round, i, got.String(), tc.want[i])
					}
				}
			}
		})
	}
}

func TestUserInformation(t *testing.T) {
	t.Parallel()
	const text = "GET http://joe:pw@host:80/p?a=b HTTP/1.1\r\nN: b\r\n\r\nGET http://host:80/ HTTP/1.1\r\n\r\n"
	h := newClient(t, on)
	const want = "GET http://******@host:80/p?a=b HTTP/1.1\r\n*: *\r\n\r\nGET http://host:80/ HTTP/1.1\r\n\r\n"
	if got := h.piece(send(text)); got != want {
		t.Errorf("got %q", got)
	}
	// Cut anywhere, it shows no more than that.
	for cut := 1; cut < len(text); cut++ {
		h := newClient(t, on)
		got := h.piece(send(text[:cut])) + h.piece(send(text[cut:]))
		for i := range got {
			if got[i] != '*' && got[i] != want[i] {
				t.Fatalf("cut at %d: %q", cut, got)
			}
		}
		if !strings.HasSuffix(got, " HTTP/1.1\r\n\r\n") {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
}

func TestDisabledStillDropsBodies(t *testing.T) {
	t.Parallel()
	h := newClient(t, config.Redact{})
	if got := h.piece(send("POST / HTTP/1.1\r\nCookie: a\r\nContent-Length: 2\r\n\r\nab")); got !=
		"POST / HTTP/1.1\r\nCookie: a\r\nContent-Length: 2\r\n\r\n~~" {
		t.Errorf("got %q", got)
	}
	if h.flags != 0 {
		t.Errorf("flags %d", h.flags)
	}
}

func TestFlag(t *testing.T) {
	t.Parallel()
	h := newClient(t, on)
	h.piece(send("GET / HTTP/1.1\r\n\r\n"))
	if h.flags != 0 {
		t.Errorf("flags %d without credentials", h.flags)
	}
	h.piece(send("GET / HTTP/1.1\r\nCookie: a\r\n\r\n"))
	if h.flags != FlagRedacted {
		t.Errorf("flags %d with credentials", h.flags)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", " ", strings.Repeat("a", 65)} {
		if _, err := New(config.Redact{Headers: []string{name}}, nil); err == nil {
			t.Errorf("header %q taken", name)
		}
	}
}

// FuzzEvent: any bytes, cut anywhere with pieces missing, neither panic nor make payload grow nor give segments that do
// not fit.
func FuzzEvent(f *testing.F) {
	for _, c := range conversations {
		for _, p := range c.pieces {
			f.Add([]byte(p.text), uint64(12345), p.kind == kernel.Send)
		}
	}
	for _, list := range known.Conversations() {
		for i := range list {
			client, server := list[i].Streams()
			f.Add([]byte(client), uint64(1), true)
			f.Add([]byte(server), uint64(1), false)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, sends bool) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := newClient(t, on)
		for len(data) > 0 {
			n := 1 + random.IntN(len(data))
			kind := kernel.Send
			if sends != (random.IntN(5) == 0) {
				kind = kernel.Receive
			}
			if random.IntN(10) == 0 {
				h.offsets[kind-kernel.Send] += uint64(random.IntN(30)) - uint64(random.IntN(3))
			}
			length, segments := uint32(n), []kernel.Segment(nil)
			if random.IntN(4) == 0 {
				first := random.IntN(n + 1)
				hole := random.IntN(50)
				length += uint32(hole)
				segments = []kernel.Segment{{At: 0, Length: uint32(first)}, {At: uint32(first + hole), Length: uint32(n - first)}}
			}
			h.event(kind, string(data[:n]), segments, length)
			data = data[n:]
		}
	})
}
