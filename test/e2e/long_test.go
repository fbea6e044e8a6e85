package e2e

import (
	"bytes"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
)

// A request that is answered, or a response that goes on, long after decoder.exchange_timeout has its status and its
// whole duration, on a node that says nothing meanwhile.
func TestLongerThanTheTimeout(t *testing.T) {
	t.Parallel()
	o := own(t, "decoder:\n  exchange_timeout: 500ms\n")
	silence := actor.Step{Op: actor.Sleep, Delay: 4 * time.Second}
	for name, test := range map[string]struct {
		path string
		cut  int // bytes of the response that come before the silence
	}{
		"before the response": {"/long/report", 0},
		"within the response": {"/long/events", len(response(200, 100)) + 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.open("c")
			ask, answer := request("GET", test.path), append(response(200, 100), bytes.Repeat([]byte{'x'}, 100)...)
			s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: ask, Mark: "ask"}, actor.Step{Op: actor.Receive, Conn: "c", N: len(answer), Mark: "reply"})
			s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(ask), Mark: "ask"})
			if test.cut > 0 {
				s.onServer(actor.Step{Op: actor.Send, Conn: "c", Data: answer[:test.cut]})
			}
			s.onServer(silence, actor.Step{Op: actor.Send, Conn: "c", Data: answer[test.cut:], Mark: "response"})
			s.expect(truth{
				method: "GET", path: test.path, status: 200, response: 100, conn: "c",
				clientStart: "c.ask", clientEnd: "c.reply", serverStart: "s.ask", serverEnd: "s.response",
			})
			s.close("c")
			s.play()
			s.check(o)
		})
	}
}
