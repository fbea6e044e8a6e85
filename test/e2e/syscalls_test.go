package e2e

import (
	"strconv"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
)

// Every way to send at one end and every way to receive at the other. Where the kernel gives no user buffer (sendfile,
// splice), lengths are known and payload is not: such calls carry bodies here, as in real programs.
func TestSystemCalls(t *testing.T) {
	t.Parallel()
	for _, via := range []string{"write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg"} {
		t.Run(via, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			small, large := post("/via/"+via, 20, 30), post("/via/large/"+via, 100_000, 200_000)
			for _, x := range []turn{small, large} {
				x.request.Via, x.response.Via = via, via
				s.turn("c", x)
			}
			s.turn("c", get("/via/next", 200, 1))
			s.close("c")
			s.run()
		})
	}
	for _, via := range []string{"read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg"} {
		t.Run(via, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			small, large := post("/via/"+via, 20, 30), post("/via/large/"+via, 100_000, 200_000)
			for _, x := range []turn{small, large} {
				x.receive.Via, x.receiveRsp.Via = via, via
				s.turn("c", x)
			}
			s.turn("c", get("/via/next", 200, 1))
			s.close("c")
			s.run()
		})
	}
	for _, via := range []string{"sendfile", "splice", "vmsplice"} {
		t.Run(via, func(t *testing.T) {
			t.Parallel()
			bodies(t, via, "read")
		})
	}
	for _, via := range []string{"splice", "trunc"} {
		t.Run("receive by "+via, func(t *testing.T) {
			t.Parallel()
			bodies(t, "write", via)
		})
	}
	t.Run("wait for all", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.open("c")
		x := post("/waitall", 5000, 5000)
		x.request.Chunk, x.request.Delay = 1000, 2*time.Millisecond
		x.receive.WaitAll, x.receiveRsp.WaitAll = true, true
		s.turn("c", x)
		s.close("c")
		s.run()
	})
	t.Run("io_uring", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.open("c")
		for _, path := range []string{"/uring/1", "/uring/2"} {
			x := post(path, 20, 3000)
			x.request.Via, x.receive.Via, x.response.Via, x.receiveRsp.Via = "iouring", "iouring", "iouring", "iouring"
			s.turn("c", x)
		}
		s.close("c")
		s.run()
	})
}

// bodies sends heads by write and bodies by another call.
func bodies(t *testing.T, send, receive string) {
	t.Helper()
	s := newScene(t)
	s.open("c")
	for _, n := range []int{10, 3000, 300_000} {
		ask, answer := post("/body", n, n).request, response(200, n)
		mark := "." + string(rune('a'+len(s.truths)))
		path := "/body" + mark
		ask.Data = request("POST", path, "Content-Length: "+strconv.Itoa(n))
		s.onClient(
			actor.Step{Op: actor.Send, Conn: "c", Data: ask.Data, Mark: "head" + mark},
			actor.Step{Op: actor.Send, Conn: "c", Fill: n, Via: send},
			actor.Step{Op: actor.Receive, Conn: "c", N: len(answer)},
			actor.Step{Op: actor.Receive, Conn: "c", N: n, Via: receive, Mark: "body" + mark})
		s.onServer(
			actor.Step{Op: actor.Receive, Conn: "c", N: len(ask.Data), Mark: "head" + mark},
			actor.Step{Op: actor.Receive, Conn: "c", N: n, Via: receive},
			actor.Step{Op: actor.Send, Conn: "c", Data: answer},
			actor.Step{Op: actor.Send, Conn: "c", Fill: n, Via: send, Mark: "body" + mark})
		s.expect(truth{
			method: "POST", path: path, status: 200, request: n, response: n, conn: "c",
			clientStart: "c.head" + mark, clientEnd: "c.body" + mark, serverStart: "s.head" + mark, serverEnd: "s.body" + mark,
		})
	}
	s.turn("c", get("/body/next", 200, 1))
	s.close("c")
	s.run()
}

// MSG_PEEK shows bytes without taking them: they must count once.
func TestPeek(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	for _, path := range []string{"/peek/1", "/peek/2"} {
		x := post(path, 40, 4000)
		x.receive.Peek, x.receiveRsp.Peek = true, true
		x.receive.Chunk = 30
		s.turn("c", x)
	}
	s.close("c")
	s.run()
}

// Non-blocking sockets: calls that fail with EAGAIN, and writes that take only a part.
func TestNonblocking(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	option := actor.Step{Nonblock: true, SendBuf: 8192}
	s.open("c", option, option)
	for _, path := range []string{"/nonblocking/1", "/nonblocking/2"} {
		x := post(path, 1_000_000, 1_000_000)
		x.receive.Chunk, x.receive.Delay = 16384, time.Millisecond // slower than the sender, so that it has to wait
		s.turn("c", x)
	}
	s.turn("c", get("/nonblocking/3", 200, 0))
	s.close("c")
	s.run()
	if r := s.results["c.request.1"]; r.EAGAIN == 0 || r.Calls < 3 {
		t.Errorf("the sends did not fill the socket: %+v", r)
	}
}
