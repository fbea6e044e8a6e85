package decoder_test

import (
	"context"
	"strings"
	"testing"

	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

const reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// TestCauses: two requests are served at once by two goroutines of one process; each makes a call, one itself, one
// through a pooled connection whose writer is handed the request.
func TestCauses(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	// The process in the middle is the one that connects in Dial for calls, and the one that accepts for requests.
	middle := func(e *decodertest.End) *decodertest.End { e.Facts().Process = 33; return e }
	_, in1 := traffic.Dial()
	_, in2 := traffic.Dial()
	out1, _ := traffic.Dial()
	out2, _ := traffic.Dial()
	middle(in1)
	middle(in2)
	middle(out1)
	middle(out2)
	as := func(g, parent uint64) { traffic.Goroutine, traffic.Parent = g, parent }

	as(9, 1) // the writer of a pooled connection, made long ago
	out2.Send("GET /old HTTP/1.1\r\n\r\n")
	out2.Receive(reply)
	as(5, 1)
	in1.Receive("GET /one HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
	as(6, 1)
	in2.Receive("GET /two HTTP/1.1\r\n\r\n")
	as(5, 1)
	out1.Send("GET /one/call HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
	traffic.Add(&millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_HANDOFF, Process: 33, Thread: 1, Goroutine: 9, ParentGoroutine: 6,
	})
	as(9, 1)
	out2.Send("GET /two/call HTTP/1.1\r\n\r\n")
	out2.Receive(reply)
	as(5, 1)
	out1.Receive(reply)
	in1.Send(reply)
	out1.Send("GET /one/after HTTP/1.1\r\n\r\n") // the response is written: nobody's
	out1.Receive(reply)
	as(6, 1)
	in2.Send(reply)

	out := decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, 1)
	want := map[string]struct {
		cause uint64
		kind  millracev1.CauseKind
	}{
		"/old":       {0, millracev1.CauseKind_CAUSE_KIND_UNSPECIFIED},
		"/one/call":  {in1.Facts().ReceiveFlow, millracev1.CauseKind_CAUSE_KIND_SAME_TASK},
		"/two/call":  {in2.Facts().ReceiveFlow, millracev1.CauseKind_CAUSE_KIND_HANDOFF},
		"/one/after": {0, millracev1.CauseKind_CAUSE_KIND_UNSPECIFIED},
	}
	calls := out.Of(client)
	if len(calls) != len(want) {
		t.Fatalf("%d calls", len(calls))
	}
	for _, x := range calls {
		w := want[x.GetHttp().Target]
		if x.GetCause().GetFlow() != w.cause || x.CauseKind != w.kind {
			t.Errorf("%s: caused by %x %v, want %x %v", x.GetHttp().Target, x.GetCause().GetFlow(), x.CauseKind, w.cause, w.kind)
		}
		if x.ContextForwarded != (x.GetHttp().Target == "/one/call") {
			t.Errorf("%s: forwarded %v", x.GetHttp().Target, x.ContextForwarded)
		}
	}
	kinds := map[millracev1.LinkKind]int{}
	for _, l := range out.Links {
		kinds[l.Kind]++
		if l.Kind == millracev1.LinkKind_LINK_KIND_ASK && identity.KeyOf(l.Cause).IsZero() {
			t.Error("a question without a cause")
		}
	}
	if kinds[millracev1.LinkKind_LINK_KIND_CLIENT_STARTED] != 4 || kinds[millracev1.LinkKind_LINK_KIND_SERVER_STARTED] != 2 ||
		kinds[millracev1.LinkKind_LINK_KIND_ASK] != 2 {
		t.Errorf("links %v", kinds)
	}
}

// TestLinksComeAtTheStart: the link of a request is out before its response is.
func TestLinksComeAtTheStart(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	c, s := traffic.Dial()
	decodertest.Pass(c, s, "GET /a HTTP/1.1\r\n\r\n")
	out := &decodertest.Output{TB: t}
	p := decoder.New(decoder.Options{Partitions: 4})
	if err := p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(1, traffic.Events)}}, out); err != nil {
		t.Fatal(err)
	}
	if len(out.Links) != 2 || len(out.Exchanges) != 0 || identity.KeyOf(out.Links[0].Key) != identity.KeyOf(out.Links[1].Key) {
		t.Errorf("%d exchanges, links %v", len(out.Exchanges), out.Links)
	}
}

// TestDurations: from the first byte, at a client when the send began, to the last byte of the response.
func TestDurations(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	c, s := traffic.Dial()
	at := func(ms uint64) { traffic.Clock = ms*1_000_000 - 1000 }
	at(10)
	c.Send("GET /a HT").DurationNs = 2_000_000
	at(11)
	s.Receive("GET /a HT")
	at(20)
	decodertest.Pass(c, s, "TP/1.1\r\n\r\n")
	at(100)
	decodertest.Pass(s, c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
	at(600)
	s.Send("cd")
	at(601)
	c.Receive("cd")
	out := decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, 2)
	const unix = 1_700_000_000_000_000_000
	for side, want := range map[millracev1.Side][3]uint64{client: {8, 100, 601}, server: {11, 100, 600}} {
		x := out.Of(side)[0]
		got := [3]uint64{(x.StartUnixNs - unix) / 1e6, (x.ResponseUnixNs - unix) / 1e6, (x.EndUnixNs - unix) / 1e6}
		if side == server {
			got[1] = (x.ResponseUnixNs - unix + 200) / 1e6 // the send began a little earlier
		}
		if got != want {
			t.Errorf("%v: %v, want %v", side, got, want)
		}
	}
}

func TestDisorderAndLoss(t *testing.T) {
	t.Parallel()
	get := func(p string) string { return "GET " + p + " HTTP/1.1\r\n\r\n" }
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
	tests := []struct {
		name string
		play func(*decodertest.Traffic, ends)
		want string // of the server's side
	}{
		{"events out of order", func(tr *decodertest.Traffic, e ends) {
			for _, p := range []string{"/a", "/b"} {
				e.s.Receive(get(p)[:9])
				e.s.Receive(get(p)[9:])
				e.s.Send(ok[:20])
				e.s.Send(ok[20:])
				n := len(tr.Events)
				tr.Events[n-4], tr.Events[n-3] = tr.Events[n-3], tr.Events[n-4]
				tr.Events[n-2], tr.Events[n-1] = tr.Events[n-1], tr.Events[n-2]
			}
		}, "GET /a 200 COMPLETE req=19/0 resp=49/10; GET /b 200 COMPLETE req=19/0 resp=49/10"},
		{"everything twice", func(tr *decodertest.Traffic, e ends) {
			e.s.Receive(get("/a"))
			e.s.Send(ok)
			tr.Events = append(tr.Events, tr.Events...)
		}, "GET /a 200 COMPLETE req=19/0 resp=49/10"},
		{"a body event is lost", func(tr *decodertest.Traffic, e ends) {
			e.s.Receive(get("/a"))
			e.s.Send(ok[:len(ok)-10])
			e.s.Lose(10, 0)
			tr.Clock += 1e9
			e.s.Receive(get("/b"))
			e.s.Send(ok)
		}, "GET /a 200 COMPLETE req=19/0 resp=49/10 lost=10; GET /b 200 COMPLETE req=19/0 resp=49/10"},
		{"a request is lost", func(tr *decodertest.Traffic, e ends) {
			e.s.Receive(get("/a"))
			e.s.Send(ok)
			e.s.Lose(0, 19)
			e.s.Send(strings.ReplaceAll(ok, "200", "500"))
			tr.Clock += 1e9
			e.s.Receive(get("/c"))
			e.s.Send(ok)
			e.s.Receive(get("/d"))
			e.s.Send(ok)
		}, "GET /a 200 COMPLETE req=19/0 resp=49/10; GET /c 200 COMPLETE req=19/0 resp=49/10 estimated; GET /d 200 COMPLETE req=19/0 resp=49/10 estimated"},
		{"a response is lost", func(tr *decodertest.Traffic, e ends) {
			e.s.Receive(get("/a"))
			e.s.Lose(49, 0)
			tr.Clock += 1e9
			e.s.Receive(get("/b"))
			e.s.Send(ok)
			e.s.Receive(get("/c"))
			e.s.Send(ok)
		}, "GET /a 0 LOST req=19/0 resp=0/0; GET /b 200 COMPLETE req=19/0 resp=49/10 estimated lost=49; GET /c 200 COMPLETE req=19/0 resp=49/10 estimated"},
		{"both are lost", func(tr *decodertest.Traffic, e ends) {
			e.s.Receive(get("/a"))
			e.s.Send(ok)
			e.s.Lose(49, 19)
			tr.Clock += 1e9
			e.s.Receive(get("/c"))
			e.s.Send(ok)
		}, "GET /a 200 COMPLETE req=19/0 resp=49/10; GET /c 200 COMPLETE req=19/0 resp=49/10 estimated lost=49"},
		{"garbage in the middle", func(tr *decodertest.Traffic, e ends) {
			e.s.Receive(get("/a"))
			e.s.Send(ok)
			e.s.Receive("\x00\x01garbage\r\n")
			e.s.Receive(get("/b"))
			e.s.Send(ok)
		}, "GET /a 200 COMPLETE req=19/0 resp=49/10; GET /b 200 COMPLETE req=19/0 resp=49/10 estimated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traffic := decodertest.New()
			c, s := traffic.Dial()
			tt.play(traffic, ends{c, s})
			out := decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, 2)
			var got []string
			for _, x := range out.Of(server) {
				got = append(got, decodertest.HTTP(x))
			}
			if g := strings.Join(got, "; "); g != tt.want {
				t.Errorf("got\n%s\nwant\n%s", g, tt.want)
			}
		})
	}
}
