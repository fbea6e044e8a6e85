package decoder_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// TestForeign: other protocols give no exchange, even where the node has let everything through. Lines of the client
// begin with '>', those of the server with '<'.
func TestForeign(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"nats":      {"<INFO {\"server_id\":\"x\"}\r\n", ">CONNECT {\"verbose\":true}\r\n", "<+OK\r\n", ">PING\r\n", "<+PONG\r\n"},
		"nats ping": {">PING\r\n", "<PONG\r\n", ">PING\r\n", "<PONG\r\n"},
		"pop3":      {"<+OK ready\r\n", ">AUTH PLAIN x\r\n", "<+OK\r\n", ">PING\r\n", "<-ERR no\r\n"},
		"greeting that the client did not wait for": {">PING\r\n", "<+OK ready\r\n", ">STAT\r\n", "<+OK 2\r\n"},
		"clamd":        {">PING\n", "<PONG\n", ">PING\n", "<PONG\n"},
		"spamd":        {">PING SPAMC/1.2\r\n\r\n", "<SPAMD/1.5 0 PONG\r\n"},
		"info":         {">info\n", "<what?\n", ">info\n", "<-what\r\n"},
		"no answer":    {">INFO\r\n", ">INFO\r\n"},
		"wrong type":   {">INFO\r\n", "<+OK\r\n", ">DBSIZE\r\n", "<+OK\r\n"},
		"rtsp":         {">OPTIONS * RTSP/1.0\r\n\r\n", "<RTSP/1.0 200 OK\r\n\r\n"},
		"sip":          {">OPTIONS sip:a@b SIP/2.0\r\n\r\n", "<SIP/2.0 200 OK\r\n\r\n"},
		"icecast":      {">SOURCE /live ICE/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\n"},
		"icap":         {">REQMOD icap://h ICAP/1.0\r\n\r\n", ">GET / HTTP/1.1\r\n\r\n", "<ICAP/1.0 204 No\r\n\r\n"},
		"http 2":       {">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "<\x00\x00\x00\x04\x00"},
		"tls, proxied": {">PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n\x16\x03\x01\x02\x00\x01", "<\x16\x03\x03"},
	} {
		out := run(t, func(e ends) {
			for _, line := range lines {
				if line[0] == '>' {
					e.ask(line[1:])
				} else {
					e.answer(line[1:])
				}
			}
			e.close(closed)
		})
		if len(out.Exchanges) != 0 {
			t.Errorf("%s: %q", name, out.Strings())
		}
	}
}

// TestHalfMethod: where the byte before was not seen, a request line whose method is not known is the rest of one.
func TestHalfMethod(t *testing.T) {
	t.Parallel()
	out := run(t, func(e ends) {
		e.c.JoinAt(100, 100)
		e.s.JoinAt(100, 100)
		e.ask("ET /half HTTP/1.1\r\n\r\n")
		e.answer("HTTP/1.1 204 No\r\n\r\n")
		e.ask("GET /whole HTTP/1.1\r\n\r\n")
		e.answer("HTTP/1.1 204 No\r\n\r\n")
		e.close(closed)
	})
	for _, x := range out.Exchanges {
		if got := x.GetHttp().GetTarget(); got != "/whole" || x.GetHttp().GetMethod() != "GET" {
			t.Errorf("%v", x)
		}
	}
	if len(out.Exchanges) != 2 {
		t.Errorf("%d exchanges", len(out.Exchanges))
	}
}

// TestPrefaces: what a load balancer says first only shows as the client's address, and keys are those of the bytes.
func TestPrefaces(t *testing.T) {
	t.Parallel()
	two := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x1d\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02\x02\x00\x0e" + strings.Repeat("n", 14)
	for _, test := range []struct {
		preface, client string
		port            uint32
		hidden          int // bytes that the node leaves out
	}{
		{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "1.2.3.4", 1, 0},
		{"PROXY TCP6 2001:db8::1 ::1 65535 2\r\n", "2001:db8::1", 65535, 0},
		{"PROXY UNKNOWN ***\r\n", "", 0, 0},
		{two, "1.2.3.4", 1, 17},
		{"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "", 0, 0},
	} {
		for _, apart := range []bool{false, true} {
			const get = "GET /a HTTP/1.1\r\n\r\n"
			out := run(t, func(e ends) {
				for _, end := range []func(string) *millracev1.Event{e.c.Send, e.s.Receive} {
					text := test.preface
					if !apart {
						text += get
					}
					ev := end(text)
					if n := uint32(len(test.preface) - test.hidden); test.hidden > 0 {
						ev.Payload = slices.Concat(ev.Payload[:n], ev.Payload[len(test.preface):])
						ev.Segments = []uint32{0, n}
						if !apart {
							ev.Segments = append(ev.Segments, uint32(len(test.preface)), uint32(len(get)))
						}
					}
					if apart {
						end(get)
					}
				}
				e.answer("HTTP/1.1 204 No\r\n\r\n")
				e.ask("GET /b HTTP/1.1\r\n\r\n")
				e.answer("HTTP/1.1 204 No\r\n\r\n")
			})
			for _, side := range []millracev1.Side{client, server} {
				found := out.Of(side)
				if len(found) != 2 {
					t.Errorf("%.20q, apart %v: %d exchanges of side %d", test.preface, apart, len(found), side)
					continue
				}
				for i, x := range found {
					if want := uint64(len(test.preface) + i*len(get)); x.Key.Offset != want || x.RequestBytes != uint64(len(get)) || x.SizesEstimated {
						t.Errorf("%.20q, apart %v: %v, want offset %d", test.preface, apart, x, want)
					}
					want := ""
					if side == server {
						want = test.client
					}
					got := ""
					if a, ok := netip.AddrFromSlice(x.ClientAddress); ok {
						got = a.String()
					}
					if got != want || want != "" && x.ClientPort != test.port {
						t.Errorf("%.20q: side %d: client %s port %d", test.preface, side, got, x.ClientPort)
					}
				}
			}
		}
	}
}
