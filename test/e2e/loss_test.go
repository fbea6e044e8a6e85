package e2e

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/e2e/internal/netns"
)

// The ends sit in network namespaces joined by a wire that loses every seventh packet each way: retransmission must not
// move an offset, and nothing may be counted twice.
func TestPacketLoss(t *testing.T) {
	t.Parallel()
	needRoot(t)
	pair, err := netns.New(fmt.Sprintf("mr%d", os.Getpid()), 7)
	if errors.Is(err, netns.ErrNotSupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pair.Close)
	s := newScene(t)
	s.clientPrefix, s.srvPrefix = pair.Command(0), pair.Command(1)
	s.listen, s.connect = pair.Addresses[1], pair.Addresses[1]
	s.open("c")
	for i := range 40 {
		s.turn("c", post(fmt.Sprint("/loss/", i), 3*i, 100*i))
	}
	s.turn("c", get("/loss/large", 200, 3_000_000))
	s.turn("c", post("/loss/upload", 3_000_000, 10))
	var requests, replies []byte
	for i := range 5 {
		path := fmt.Sprint("/loss/pipelined/", i)
		requests = append(requests, request("GET", path)...)
		replies = append(replies, response(204, 0)...)
		s.expect(truth{
			method: "GET", path: path, status: 204, conn: "c",
			clientStart: "c.requests", clientEnd: "c.replies", serverStart: "s.requests", serverEnd: "s.replies",
		})
	}
	s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: requests, Mark: "requests"},
		actor.Step{Op: actor.Receive, Conn: "c", N: len(replies), Mark: "replies"})
	s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(requests), Mark: "requests"},
		actor.Step{Op: actor.Send, Conn: "c", Data: replies, Mark: "replies"})
	streamed := get("/loss/streamed", 200, 6000)
	streamed.response.Chunk, streamed.response.Delay = 1000, 20*time.Millisecond
	s.turn("c", streamed)
	s.close("c")
	s.run()
	dropped, err := pair.Dropped()
	if err != nil || dropped < 20 {
		t.Errorf("only %d packets were dropped: %v", dropped, err)
	}
	t.Logf("%d packets dropped", dropped)
	if truthOnly {
		return
	}
	retransmits := int64(0)
	for _, sp := range started.index.Of(s.clientPID, s.serverPID) {
		n, _ := sp.Number("millrace.tcp.retransmits")
		retransmits += n
	}
	if retransmits == 0 {
		t.Error("no span reports a retransmission (millrace.tcp.retransmits)")
	}
}
