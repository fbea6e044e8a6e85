package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
)

func TestSequentialFresh(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for c := range 3 {
		conn := fmt.Sprint("conn", c)
		s.open(conn)
		for i := range 3 {
			s.turn(conn, get(fmt.Sprintf("/fresh/%d/%d?n=%d", c, i, i), 200, 10*i))
		}
		s.close(conn)
	}
	s.run()
}

func TestExistingConnection(t *testing.T) {
	needRoot(t)
	s := newScene(t)
	s.open("used")
	s.open("unused")
	for i := range 3 {
		x := get(fmt.Sprint("/before/", i), 200, 5000)
		x.hidden = true
		s.turn("used", x)
	}
	s.wait()
	for i := range 3 {
		s.turn("used", get(fmt.Sprint("/after/used/", i), 200, i))
		s.turn("unused", post(fmt.Sprint("/after/unused/", i), 7, i))
	}
	s.close("used")
	s.close("unused")
	if truthOnly {
		s.between = func() {}
		s.play()
		return
	}
	var o *observed
	s.between = func() { o = own(t, "") }
	s.play()
	s.check(o)
}

func TestPipelined(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		together bool // the server answers in one write
	}{{"answers in one write", true}, {"an answer at a time", false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			var requests, replies []byte
			statuses := []int{200, 201, 202, 404, 500}
			for i, status := range statuses {
				path := fmt.Sprint("/pipelined/", i)
				requests = append(requests, request("GET", path)...)
				reply := append(response(status, i), bytes.Repeat([]byte{'x'}, i)...)
				replies = append(replies, reply...)
				x := truth{
					method: "GET", path: path, status: status, response: i, conn: "c",
					clientStart: "c.requests", clientEnd: "c.replies", serverStart: "s.requests", serverEnd: "s.replies",
				}
				if !test.together {
					x.clientEnd, x.serverEnd = fmt.Sprint("c.reply", i), fmt.Sprint("s.reply", i)
				}
				s.expect(x)
			}
			s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: requests, Mark: "requests"})
			s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(requests), Mark: "requests"})
			if test.together {
				s.onServer(actor.Step{Op: actor.Send, Conn: "c", Data: replies, Mark: "replies"})
				s.onClient(actor.Step{Op: actor.Receive, Conn: "c", N: len(replies), Mark: "replies"})
			} else {
				for i, status := range statuses {
					reply := append(response(status, i), bytes.Repeat([]byte{'x'}, i)...)
					s.onServer(actor.Step{Op: actor.Sleep, Delay: 10 * time.Millisecond},
						actor.Step{Op: actor.Send, Conn: "c", Data: reply, Mark: fmt.Sprint("reply", i)})
					s.onClient(actor.Step{Op: actor.Receive, Conn: "c", N: len(reply), Mark: fmt.Sprint("reply", i)})
				}
			}
			s.close("c")
			s.run()
		})
	}
}

func TestStreamedReply(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	x := get("/streamed/reply", 200, 6000)
	x.response.Cuts = []int{len(x.response.Data) + 1000}
	x.response.Chunk, x.response.Delay = 1000, 100*time.Millisecond // five delays
	s.turn("c", x)
	s.turn("c", get("/streamed/next", 200, 1))
	s.close("c")
	s.run()
	s.lasted("/streamed/reply", 500*time.Millisecond)
}

func TestStreamedBody(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	x := post("/streamed/body", 9000, 3)
	x.request.Cuts = []int{len(x.request.Data) + 1000}
	x.request.Chunk, x.request.Delay = 1000, 100*time.Millisecond // eight delays
	s.turn("c", x)
	s.turn("c", get("/streamed/next", 200, 1))
	s.close("c")
	s.run()
	s.lasted("/streamed/body", 800*time.Millisecond)
}

// A send that blocks because the other end does not read: the client's span begins when the send began, and not when it
// returned. Half of the time that the other end waits tells the two apart, however late a busy machine lets the client
// go on after it looked at the clock.
func TestBlockedSend(t *testing.T) {
	t.Parallel()
	const wait = 300 * time.Millisecond
	s := newScene(t)
	s.open("c", actor.Step{SendBuf: 4096}, actor.Step{RecvBuf: 4096})
	x := post("/blocked", 2<<20, 3)
	s.onServer(actor.Step{Op: actor.Sleep, Delay: wait})
	s.turn("c", x)
	s.close("c")
	s.run()
	if truthOnly {
		return
	}
	for _, sp := range started.index.Of(s.clientPID) {
		if begin := s.results["c.request.1"].Begin; sp.Start > begin+int64(wait/2) {
			t.Errorf("the span starts %s after the send began", milliseconds(sp.Start-begin))
		}
	}
}

// lasted checks that both spans of the scene's first exchange lasted at least low, and at most 80 ms more than what the
// client measured.
func (s *scene) lasted(path string, low time.Duration) {
	s.t.Helper()
	if truthOnly {
		return
	}
	high := time.Duration(s.results["c.reply.1"].End-s.results["c.request.1"].Begin) + 80*time.Millisecond
	r := &report{t: s.t}
	for _, sp := range started.index.Of(s.clientPID, s.serverPID) {
		if p, _ := sp.Target(); p == path {
			duration(r, sp.String(), sp, low, high)
		}
	}
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		turn turn
	}{
		{"GET without a body", get("/size/none", 200, 0)},
		{"4,000-byte response", get("/size/4000", 200, 4000)},
		{"10 MB response", get("/size/10M", 200, 10_000_000)},
		{"POST of 10 MB", post("/size/post", 10_000_000, 2)},
		{"POST of 0 bytes", post("/size/zero", 0, 0)},
		{"10 MB both ways", post("/size/both", 10_000_000, 10_000_000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			s.turn("c", test.turn)
			s.turn("c", get("/size/next", 200, 1)) // the stream must still be in step
			s.close("c")
			s.run()
		})
	}
}

func TestLongPaths(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	for _, n := range []int{400, 8000} {
		s.turn("c", get("/"+strings.Repeat("p", n-1), 200, 3))
	}
	s.turn("c", get("/short?q="+strings.Repeat("v", 390), 200, 3))
	s.close("c")
	s.run()
}

func TestSplitRequestLine(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	x := get("/split/line", 200, 3)
	x.request.Cuts, x.request.Delay = []int{8}, 30*time.Millisecond
	s.turn("c", x)
	s.close("c")
	s.run()
}

// Every split of a small request, and every split of a small response, in two sends each.
func TestSplitAnywhere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	data := request("GET", "/split/000")
	for i := 1; i < len(data); i++ {
		x := get(fmt.Sprintf("/split/%03d", i), 200, 3)
		x.request.Cuts, x.request.Delay = []int{i}, 2*time.Millisecond
		s.turn("c", x)
	}
	for i := 1; i < len(response(200, 3))+3; i++ {
		x := get(fmt.Sprintf("/split/reply/%03d", i), 200, 3)
		x.response.Cuts, x.response.Delay = []int{i}, 2*time.Millisecond
		s.turn("c", x)
	}
	s.close("c")
	s.run()
}

// A byte at a time, both ways, written and read: from a connection's first byte, and after an ordinary exchange.
func TestByteAtATime(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		t.Run(map[bool]string{true: "first", false: "later"}[first], func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			if !first {
				s.turn("c", get("/bytes/before", 200, 2))
			}
			x := post("/bytes", 5, 7)
			x.request.Chunk, x.response.Chunk, x.receive.Chunk, x.receiveRsp.Chunk = 1, 1, 1, 1
			s.turn("c", x)
			s.turn("c", get("/bytes/next", 200, 0))
			s.close("c")
			s.run()
		})
	}
}

func TestChunkedWithTrailers(t *testing.T) {
	t.Parallel()
	body := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "%x;ext=1\r\n%s\r\n", 300, strings.Repeat("y", 300))
		}
		return b.String() + "0\r\nX-Sum: 1\r\nX-Other: two\r\n\r\n"
	}
	s := newScene(t)
	s.open("c")
	for i, chunks := range []int{0, 1, 3, 400} {
		x := get(fmt.Sprint("/chunked/", i), 200, 300*chunks)
		x.method, x.truth.request = "POST", 300*chunks
		x.request.Data = append(request("POST", x.path, "Transfer-Encoding: chunked", "Trailer: X-Sum"), body(chunks)...)
		x.response.Data = append(head("HTTP/1.1 200 OK", []string{"Transfer-Encoding: chunked"}), body(chunks)...)
		x.response.Fill = 0
		x.estimated = chunks == 400
		if i == 2 { // boundaries of chunks and of sends differ
			x.request.Chunk, x.request.Delay = 97, time.Millisecond
			x.response.Chunk, x.response.Delay = 101, time.Millisecond
		}
		s.turn("c", x)
	}
	s.turn("c", get("/chunked/next", 200, 1))
	s.close("c")
	s.run()
}

// Responses that have no body although their headers speak of one, RFC 9112 section 6.3.
func TestResponsesWithoutBody(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	without := func(method, path string, status int, headers ...string) {
		x := get(path, status, 0)
		x.method = method
		x.request.Data = request(method, path)
		x.response.Data = head(fmt.Sprintf("HTTP/1.1 %d Status", status), append(headers, "Server: t"))
		s.turn("c", x)
	}
	without("HEAD", "/nobody/head", 200, "Content-Length: 1234")
	without("HEAD", "/nobody/head/chunked", 200, "Transfer-Encoding: chunked")
	without("DELETE", "/nobody/204", 204)
	without("GET", "/nobody/304", 304, "Content-Length: 1234")
	s.turn("c", get("/nobody/next", 200, 4))
	without("HEAD", "/nobody/head/404", 404, "Content-Length: 9")
	s.turn("c", get("/nobody/500", 500, 4))
	s.close("c")
	s.run()
}

func TestContinue(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	ask := request("POST", "/continue", "Content-Length: 2000", "Expect: 100-continue")
	interim := []byte("HTTP/1.1 100 Continue\r\n\r\n")
	final := append(response(201, 2), "ok"...)
	s.onClient(
		actor.Step{Op: actor.Send, Conn: "c", Data: ask, Mark: "head"},
		actor.Step{Op: actor.Receive, Conn: "c", N: len(interim)},
		actor.Step{Op: actor.Send, Conn: "c", Fill: 2000},
		actor.Step{Op: actor.Receive, Conn: "c", N: len(final), Mark: "final"})
	s.onServer(
		actor.Step{Op: actor.Receive, Conn: "c", N: len(ask), Mark: "head"},
		actor.Step{Op: actor.Sleep, Delay: 20 * time.Millisecond},
		actor.Step{Op: actor.Send, Conn: "c", Data: interim},
		actor.Step{Op: actor.Receive, Conn: "c", N: 2000},
		actor.Step{Op: actor.Send, Conn: "c", Data: final, Mark: "final"})
	s.expect(truth{
		method: "POST", path: "/continue", status: 201, request: 2000, response: 2, conn: "c",
		clientStart: "c.head", clientEnd: "c.final", serverStart: "s.head", serverEnd: "s.final",
	})
	s.turn("c", get("/continue/next", 200, 1))
	s.close("c")
	s.run()
}

// The server answers before the body has come, and the connection goes on.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	ask := request("POST", "/early", "Content-Length: 2000")
	final := response(413, 0)
	s.onClient(
		actor.Step{Op: actor.Send, Conn: "c", Data: ask, Mark: "head"},
		actor.Step{Op: actor.Receive, Conn: "c", N: len(final)},
		actor.Step{Op: actor.Send, Conn: "c", Fill: 2000, Mark: "body"})
	s.onServer(
		actor.Step{Op: actor.Receive, Conn: "c", N: len(ask), Mark: "head"},
		actor.Step{Op: actor.Send, Conn: "c", Data: final},
		actor.Step{Op: actor.Receive, Conn: "c", N: 2000, Mark: "body"})
	s.expect(truth{
		method: "POST", path: "/early", status: 413, request: 2000, conn: "c",
		clientStart: "c.head", serverStart: "s.head",
	})
	s.turn("c", get("/early/next", 200, 1))
	s.close("c")
	s.run()
}

func TestThousandOnOneConnection(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	const count = 1000
	ask := request("GET", "/loop/{{i}}")
	size := len(ask) - len("{{i}}") + 6
	answer := append(response(200, 12), "0123456789ab"...)
	s.onClient(actor.Step{Op: actor.Loop, Count: count, Steps: []actor.Step{
		{Op: actor.Send, Conn: "c", Data: ask, Mark: "ask"},
		{Op: actor.Receive, Conn: "c", N: len(answer), Mark: "answer"},
	}})
	s.onServer(actor.Step{Op: actor.Loop, Count: count, Steps: []actor.Step{
		{Op: actor.Receive, Conn: "c", N: size, Mark: "ask"},
		{Op: actor.Send, Conn: "c", Data: answer, Mark: "answer"},
	}})
	for i := range count {
		s.expect(truth{
			method: "GET", path: fmt.Sprintf("/loop/%06d", i), status: 200, response: 12, conn: "c",
			clientStart: fmt.Sprint("c.ask#", i), clientEnd: fmt.Sprint("c.answer#", i),
			serverStart: fmt.Sprint("s.ask#", i), serverEnd: fmt.Sprint("s.answer#", i),
		})
	}
	s.close("c")
	s.run()
}
