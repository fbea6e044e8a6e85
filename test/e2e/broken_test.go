package e2e

import (
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
)

// half is an exchange: one end sends only a part of it.
type half struct {
	sent     int // bytes of the request sent; 0: all
	answered int // bytes of the response sent; 0: none
	byServer bool
	reset    bool
	truth    truth
}

// A connection that ends half-way: an error at both ends, with what was seen of the exchange.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	ask := append(request("POST", "/broken", "Content-Length: 1000"), make([]byte, 1000)...)
	askHead := len(ask) - 1000
	answer := append(response(200, 800), make([]byte, 800)...)
	answerHead := len(answer) - 800
	seen := func(status, request, response int) truth {
		return truth{method: "POST", path: "/broken", status: status, request: request, response: response, failed: true, conn: "c"}
	}
	for name, test := range map[string]half{
		"server closes in the response": {answered: answerHead + 300, byServer: true, truth: seen(200, 1000, 300)},
		"server resets in the response": {answered: answerHead + 300, byServer: true, reset: true, truth: seen(200, 1000, 300)},
		// The status was seen; the rest of the head was not.
		"server closes in the response's head":        {answered: 30, byServer: true, truth: seen(200, 1000, 0)},
		"server closes in the response's status line": {answered: 10, byServer: true, truth: seen(0, 1000, 0)},
		"server closes without a response":            {byServer: true, truth: seen(0, 1000, 0)},
		"server resets without a response":            {byServer: true, reset: true, truth: seen(0, 1000, 0)},
		"client closes in the response":               {answered: answerHead + 300, truth: seen(200, 1000, 300)},
		"client resets in the response":               {answered: answerHead + 300, reset: true, truth: seen(200, 1000, 300)},
		"client closes without a response":            {truth: seen(0, 1000, 0)},
		"client closes in its body":                   {sent: askHead + 400, truth: seen(0, 400, 0)},
		"client resets in its body":                   {sent: askHead + 400, reset: true, truth: seen(0, 400, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			if test.sent > 0 {
				ask := ask[:test.sent]
				s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: ask, Mark: "ask"})
				s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(ask), Mark: "ask"})
			} else {
				s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: ask, Mark: "ask"})
				s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(ask), Mark: "ask"})
			}
			if test.answered > 0 {
				s.onServer(actor.Step{Op: actor.Send, Conn: "c", Data: answer[:test.answered]})
				s.onClient(actor.Step{Op: actor.Receive, Conn: "c", N: test.answered})
			}
			end := actor.Step{Op: actor.Close, Conn: "c", Mark: "end"}
			if test.reset {
				end.Op = actor.Reset
			}
			pause := actor.Step{Op: actor.Sleep, Delay: 50 * time.Millisecond}
			// The other end reads until it sees the end; its result may be an error, so it has a mark.
			other := []actor.Step{{Op: actor.Receive, Conn: "c", N: 1, Mark: "noticed"}, {Op: actor.Close, Conn: "c"}}
			if test.byServer {
				s.onServer(pause, end)
				s.onClient(other...)
			} else {
				s.onClient(pause, end)
				s.onServer(other...)
			}
			test.truth.clientStart, test.truth.serverStart = "c.ask", "s.ask"
			s.expect(test.truth)
			s.run()
		})
	}
}

// A response without a length ends with the connection: that is no failure, and its duration ends at its last byte.
func TestResponseDelimitedByClose(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	x := get("/delimited", 200, 3000)
	x.response = actor.Step{Data: head("HTTP/1.1 200 OK", []string{"Connection: close"}), Fill: 3000}
	s.turn("c", x)
	s.onServer(actor.Step{Op: actor.Sleep, Delay: 150 * time.Millisecond}, actor.Step{Op: actor.Close, Conn: "c"})
	s.onClient(actor.Step{Op: actor.Receive, Conn: "c", N: 1}, actor.Step{Op: actor.Close, Conn: "c"})
	s.run()
}

// The process ends without closing its sockets: the kernel closes them.
func TestProcessExit(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	s.turn("c", get("/exit/1", 200, 10))
	ask := request("GET", "/exit/2")
	s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: ask, Mark: "ask"}, actor.Step{Op: actor.Sleep, Delay: 50 * time.Millisecond},
		actor.Step{Op: actor.Exit})
	s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(ask), Mark: "ask"},
		actor.Step{Op: actor.Receive, Conn: "c", N: 1, Mark: "noticed"}, actor.Step{Op: actor.Close, Conn: "c"})
	s.expect(truth{method: "GET", path: "/exit/2", failed: true, clientStart: "c.ask", serverStart: "s.ask", conn: "c"})
	s.run()
}
