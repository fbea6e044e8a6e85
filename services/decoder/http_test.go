package decoder_test

import (
	"slices"
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

const (
	client   = millracev1.Side_SIDE_CLIENT
	server   = millracev1.Side_SIDE_SERVER
	send     = millracev1.EventKind_EVENT_KIND_SEND
	receive  = millracev1.EventKind_EVENT_KIND_RECEIVE
	closed   = millracev1.EventKind_EVENT_KIND_CLOSE
	wasReset = millracev1.EventKind_EVENT_KIND_RESET
)

// ends is a connection under test.
type ends struct{ c, s *decodertest.End }

func (e ends) ask(b string)    { decodertest.Pass(e.c, e.s, b) }
func (e ends) answer(b string) { decodertest.Pass(e.s, e.c, b) }
func (e ends) close(kind millracev1.EventKind) {
	e.s.End(kind)
	e.c.End(kind)
}

func run(t *testing.T, play func(ends)) *decodertest.Output {
	t.Helper()
	traffic := decodertest.New()
	c, s := traffic.Dial()
	play(ends{c, s})
	return decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, 3)
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	long := "/" + strings.Repeat("x", 8000)
	tests := []struct {
		name string
		play func(ends)
		want []string // of each side, in order
	}{
		{"plain", func(e ends) { e.ask(get("/a")); e.answer(ok) }, []string{"GET /a 200 COMPLETE req=28/0 resp=40/2"}},
		{"pipelined in one write", func(e ends) {
			e.ask(get("/1") + get("/2") + get("/3") + get("/4") + get("/5"))
			e.answer(ok + ok + ok + ok + ok)
		}, []string{
			"GET /1 200 COMPLETE req=28/0 resp=40/2", "GET /2 200 COMPLETE req=28/0 resp=40/2", "GET /3 200 COMPLETE req=28/0 resp=40/2",
			"GET /4 200 COMPLETE req=28/0 resp=40/2", "GET /5 200 COMPLETE req=28/0 resp=40/2",
		}},
		{
			"line split", func(e ends) { e.ask("GET /a HT"); e.ask("TP/1.1\r\n"); e.ask("Host: h\r\n\r\n"); e.answer(ok) },
			[]string{"GET /a 200 COMPLETE req=28/0 resp=40/2"},
		},
		{
			"long path", func(e ends) { e.ask(get(long)[:3000]); e.ask(get(long)[3000:]); e.answer(ok) },
			[]string{"GET " + long + " 200 COMPLETE req=8027/0 resp=40/2"},
		},
		{"header line of 100 KB", func(e ends) {
			head := "GET /a HTTP/1.1\r\nCookie: " + strings.Repeat("c", 100_000) + "\r\nHost: h\r\n\r\n"
			for at := 0; at < len(head); at += 16_000 {
				e.ask(head[at:min(len(head), at+16_000)])
			}
			e.answer("HTTP/1.1 200 OK\r\nSet-Cookie: " + strings.Repeat("c", 100_000) + "\r\nContent-Length: 2\r\n\r\nhi")
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"GET /a 200 COMPLETE req=100038/0 resp=100054/2", "GET /b 200 COMPLETE req=28/0 resp=40/2"}},
		{"target of 1 MB", func(e ends) {
			line := "POST /" + strings.Repeat("x", 1_000_000) + " HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
			for at := 0; at < len(line); at += 16_000 {
				e.ask(line[at:min(len(line), at+16_000)])
			}
			e.answer(ok)
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{
			"POST /" + strings.Repeat("x", 8191) + " 200 COMPLETE req=1000041/3 resp=40/2", "GET /b 200 COMPLETE req=28/0 resp=40/2",
		}},
		{"target of 1 MB with a gap", func(e ends) {
			e.ask("GET /" + strings.Repeat("x", 20_000))
			e.c.Hole(send, 980_000)
			e.s.Hole(receive, 980_000)
			e.ask("x HTTP/1.1\r\n\r\n")
			e.answer(ok)
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"GET /" + strings.Repeat("x", 8191) + " 200 COMPLETE req=1000019/0 resp=40/2 estimated", "GET /b 200 COMPLETE req=28/0 resp=40/2 estimated"}},
		{"body in holes", func(e ends) {
			e.ask("POST /p HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n")
			e.c.Hole(send, 5000000)
			e.s.Hole(receive, 5000000)
			e.answer("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
			e.s.Hole(send, 10000000)
			e.c.Hole(receive, 4000000)
			e.c.Hole(receive, 6000000)
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"POST /p 200 COMPLETE req=5000045/5000000 resp=10000045/10000000", "GET /b 200 COMPLETE req=28/0 resp=40/2"}},
		{"chunked with trailers", func(e ends) {
			e.ask("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\r\n")
			e.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"POST /c 200 COMPLETE req=69/5 resp=75/5", "GET /b 200 COMPLETE req=28/0 resp=40/2"}},
		{"HEAD, 204, 304", func(e ends) {
			e.ask("HEAD /h HTTP/1.1\r\n\r\n")
			e.answer("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
			e.ask("DELETE /d HTTP/1.1\r\n\r\n")
			e.answer("HTTP/1.1 204 No Content\r\n\r\n")
			e.ask("GET /n HTTP/1.1\r\n\r\n")
			e.answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")
		}, []string{
			"HEAD /h 200 COMPLETE req=20/0 resp=39/0", "DELETE /d 204 COMPLETE req=22/0 resp=27/0", "GET /n 304 COMPLETE req=19/0 resp=49/0",
		}},
		{"100 continue, 103 early hints", func(e ends) {
			e.ask("PUT /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
			e.answer("HTTP/1.1 100 Continue\r\n\r\n")
			e.ask("abc")
			e.answer("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
			e.answer(ok)
		}, []string{"PUT /p 200 COMPLETE req=63/3 resp=102/2"}},
		{"until close", func(e ends) {
			e.ask("GET /u HTTP/1.0\r\n\r\n")
			e.answer("HTTP/1.0 200 OK\r\n\r\nabc")
			e.answer("def")
			e.c.Receive("")
			e.close(closed)
		}, []string{"GET /u 200 COMPLETE req=19/0 resp=25/6"}},
		{"closed half-way", func(e ends) {
			e.ask(get("/x"))
			e.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
			e.close(closed)
		}, []string{"GET /x 200 CLOSED req=28/0 resp=43/3"}},
		{"reset before the response", func(e ends) { e.ask(get("/x")); e.close(wasReset) }, []string{"GET /x 0 RESET req=28/0 resp=0/0"}},
		{
			"closed in the request head", func(e ends) { e.ask("GET /x HTTP/1.1\r\nHos"); e.close(closed) },
			[]string{"GET /x 0 CLOSED req=20/0 resp=0/0"},
		},
		{"closed in the request body", func(e ends) {
			e.ask("POST /x HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
			e.close(closed)
		}, []string{"POST /x 0 CLOSED req=44/3 resp=0/0"}},
		{"websocket", func(e ends) {
			e.ask("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			e.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
			e.ask("\x81\x85abcdhello")
			e.answer("\x81\x05hello")
			e.close(closed)
		}, []string{"GET /ws 101 COMPLETE req=61/0 resp=56/0"}},
		{"no frame of a websocket", func(e ends) {
			e.ask("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			e.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
			e.ask("\x81\x85abcdhello")
			e.ask(get("/no"))
			e.close(closed)
		}, []string{"GET /ws 101 COMPLETE req=61/0 resp=56/0 estimated"}},
		{"upgrade refused", func(e ends) {
			e.ask("GET /ws HTTP/1.1\r\nUpgrade: h2c\r\n\r\n" + get("/b"))
			e.answer(ok + ok)
		}, []string{"GET /ws 200 COMPLETE req=34/0 resp=40/2", "GET /b 200 COMPLETE req=28/0 resp=40/2"}},
		{"tunnel", func(e ends) {
			e.ask("CONNECT h:443 HTTP/1.1\r\n\r\n")
			e.answer("HTTP/1.1 200 Connected\r\n\r\n")
			e.ask(get("/no"))
		}, []string{"CONNECT h:443 200 COMPLETE req=26/0 resp=26/0"}},
		{"length and coding: coding wins", func(e ends) {
			e.ask("POST /s HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + get("/b"))
			e.answer(ok + ok)
		}, []string{"POST /s 200 COMPLETE req=78/1 resp=40/2", "GET /b 200 COMPLETE req=28/0 resp=40/2"}},
		{"bare line feeds, folding, unknown method", func(e ends) {
			e.ask("frob /a HTTP/1.1\nX: a\n b\nContent-Length:\n 2\n\nhi")
			e.answer("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi")
		}, []string{"frob /a 200 COMPLETE req=47/2 resp=37/2"}},
		{"early response", func(e ends) {
			e.ask("POST /e HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc")
			e.answer("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			e.ask("def")
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"POST /e 413 COMPLETE req=45/6 resp=45/0", "GET /b 200 COMPLETE req=28/0 resp=40/2"}},
		{"response to half a head", func(e ends) {
			e.ask("GET /t HTTP/1.1\r\nHo")
			e.answer("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
			e.close(closed)
		}, []string{"GET /t 408 COMPLETE req=19/0 resp=51/0"}},
		{"joined in a body", func(e ends) {
			e.c.JoinAt(500, 900)
			e.s.JoinAt(900, 500)
			e.answer("...of a body")
			e.ask(get("/a"))
			e.answer(ok)
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"GET /a 200 COMPLETE req=28/0 resp=40/2 estimated", "GET /b 200 COMPLETE req=28/0 resp=40/2 estimated"}},
		{"joined before a response", func(e ends) {
			e.c.JoinAt(500, 900)
			e.s.JoinAt(900, 500)
			e.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			e.ask(get("/a"))
			e.answer(ok)
		}, []string{"GET /a 200 COMPLETE req=28/0 resp=40/2 estimated"}},
		{"binary chatter", func(e ends) {
			for range 50 {
				e.ask("\x00\x01\x02GET / HTTP/1.1\r\n\r\n")
				e.answer("\x05\x06\x07\x08")
				e.ask(get("/hidden"))
			}
		}, nil},
		{"own export", func(e ends) {
			e.ask("POST /v1/traces HTTP/1.1\r\nUser-Agent: Millrace/1.0\r\nContent-Length: 0\r\n\r\n")
			e.answer(ok)
		}, nil},
		{"chunk headers in holes", func(e ends) {
			e.ask(get("/a"))
			e.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
			e.s.Hole(send, 4000)
			e.c.Hole(receive, 4000)
			e.answer("xyz\r\n0\r\n\r\n")
			e.ask(get("/b"))
			e.answer(ok)
		}, []string{"GET /a 200 COMPLETE req=28/0 resp=4062/4010 estimated", "GET /b 200 COMPLETE req=28/0 resp=40/2 estimated"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := run(t, tt.play)
			for _, side := range []millracev1.Side{client, server} {
				var got []string
				for _, x := range out.Of(side) {
					got = append(got, decodertest.HTTP(x))
					if x.EndUnixNs < x.StartUnixNs {
						t.Errorf("%s ends before it starts", x)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%v: got\n%s\nwant\n%s", side, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
			}
		})
	}
}
