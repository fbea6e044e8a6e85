package processor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	traffic "millrace.dev/services/decoder/internal/decodertest"
)

// framesProcessor decodes the made-up protocol of frames in place of HTTP/1.
func framesProcessor() *Processor {
	p := New(Options{
		Partitions: 4, MaxStreamBytes: 1 << 20, MaxConnections: 100, ExchangeTimeout: 1e9,
		Protocols: []decode.Protocol{decodetest.Frames},
	})
	p.options.known = func(number int32) *protocols.Protocol {
		known := *all.Of(number)
		known.Order = protocols.ByID
		return &known
	}
	return p
}

// described gives what links and exchanges say of who began what, in one line each.
func described(o *traffic.Output) (lines []string) {
	key := func(k *millracev1.ExchangeKey) string {
		if k == nil {
			return "-"
		}
		return fmt.Sprintf("%x+%d#%d", k.Flow>>32, k.Offset, k.Stream)
	}
	for _, x := range o.Exchanges {
		lines = append(lines, fmt.Sprintf("%s %s cause %s candidate %s, %d/%d bytes, task %d", strings.ToLower(x.Side.String()[5:]), key(x.Key),
			key(x.Cause), key(x.CauseCandidate), x.RequestBytes, x.ResponseBytes, x.Task))
	}
	for _, l := range o.Links {
		lines = append(lines, fmt.Sprintf("%s %s cause %s", strings.ToLower(l.Kind.String()[10:]), key(l.Key), key(l.Cause)))
	}
	slices.Sort(lines)
	return lines
}

// Either end may begin an exchange: the one that does is its client, both give it the same key, and who began it is
// said in links. Requests of one connection are served at once: a call of the goroutine that was made in the turn of
// one of them is that one's.
func TestEitherEndBegins(t *testing.T) {
	t.Parallel()
	tr := traffic.New()
	tr.Goroutine = 1
	c, s := tr.Dial()
	next, _ := tr.Dial()
	next.Facts().Process = traffic.ServerProcess
	traffic.Pass(c, s, decodetest.FramesOpening) // 24 bytes
	started := func(goroutine uint64) {
		tr.Add(&millracev1.Event{
			Kind: millracev1.EventKind_EVENT_KIND_TASK_START, Process: traffic.ServerProcess, Thread: 3, Goroutine: goroutine, ParentGoroutine: 1,
		})
	}
	traffic.Pass(c, s, decodetest.Frame(1, '*', 4)) // 9 bytes
	started(11)
	traffic.Pass(c, s, decodetest.Frame(3, '*', 5)) // 10 bytes
	started(13)
	tr.Goroutine, tr.Parent = 11, 1
	next.Send(decodetest.FramesOpening + decodetest.Frame(21, '*', 0))
	tr.Goroutine = 13
	next.Send(decodetest.Frame(23, '*', 0))
	tr.Goroutine, tr.Parent = 1, 0
	next.Receive(decodetest.Frame(23, '!', 1) + decodetest.Frame(21, '!', 1))
	traffic.Pass(s, c, decodetest.Frame(3, '!', 2)+decodetest.Frame(50, '*', 6)) // the server begins the second
	traffic.Pass(s, c, decodetest.Frame(1, '!', 2))
	traffic.Pass(c, s, decodetest.Frame(50, '!', 7))
	want := []string{
		"ask 3+24#21 cause 1+24#1",
		"ask 3+29#23 cause 1+33#3",
		"client 1+24#1 cause - candidate -, 9/7 bytes, task 1",
		"client 1+33#3 cause - candidate -, 10/7 bytes, task 1",
		"client 3+24#21 cause 1+24#1 candidate -, 5/6 bytes, task 11",
		"client 3+29#23 cause 1+33#3 candidate -, 5/6 bytes, task 13",
		"client 3e9+7#50 cause - candidate 1+24#1, 11/12 bytes, task 1", // on whose behalf, nobody knows
		"client_started 1+24#1 cause -",
		"client_started 1+33#3 cause -",
		"client_started 3+24#21 cause 1+24#1",
		"client_started 3+29#23 cause 1+33#3",
		"client_started 3e9+7#50 cause -",
		"server 1+24#1 cause - candidate -, 9/7 bytes, task 1",
		"server 1+33#3 cause - candidate -, 10/7 bytes, task 1",
		"server 3e9+7#50 cause - candidate -, 11/12 bytes, task 1",
		"server_started 1+24#1 cause -",
		"server_started 1+33#3 cause -",
		"server_started 3e9+7#50 cause -",
	}
	for _, batch := range []int{1, 3, 1000} {
		got := described(traffic.Run(t, framesProcessor(), tr, batch))
		if !slices.Equal(got, want) {
			t.Errorf("batches of %d: got\n%s\nwant\n%s", batch, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	out := &traffic.Output{TB: t}
	p := framesProcessor()
	for i, e := range tr.Events { // with a restart before each
		snapshot, _ := p.Snapshot(nil)
		if p = framesProcessor(); i > 0 && p.Restore(snapshot) != nil {
			t.Fatal("not restored")
		}
		if err := p.Process(context.Background(), []stage.Record{{Data: tr.Batch(uint64(i+1), []*millracev1.Event{e})}}, out); err != nil {
			t.Fatal(err)
		}
	}
	traffic.Settle(t, p, out)
	if got := described(out); !slices.Equal(got, want) {
		t.Errorf("with restarts: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A goroutine that was made in the course of a request, and that writes the calls of all on a connection that is
// shared, is not taken to work for that request.
func TestSharedWriter(t *testing.T) {
	t.Parallel()
	tr := traffic.New()
	tr.Goroutine = 1
	c, s := tr.Dial()
	next, _ := tr.Dial()
	next.Facts().Process = traffic.ServerProcess
	traffic.Pass(c, s, decodetest.FramesOpening+decodetest.Frame(1, '*', 4))
	tr.Add(&millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_TASK_START, Process: traffic.ServerProcess, Thread: 3, Goroutine: 11, ParentGoroutine: 1,
	})
	tr.Goroutine, tr.Parent = 11, 1
	next.Send(decodetest.FramesOpening + decodetest.Frame(21, '*', 0))
	next.Send(decodetest.Frame(23, '*', 0))
	out := traffic.Run(t, framesProcessor(), tr, 1)
	for _, x := range out.Of(millracev1.Side_SIDE_CLIENT) {
		if id := x.Key.Stream; (x.Cause != nil) != (id == 21) || (x.CauseCandidate != nil) != (id == 23) {
			t.Errorf("%d: cause %v, candidate %v", id, x.Cause, x.CauseCandidate)
		}
	}
}

// Of a response of which a part was lost nobody knows whether it came to its end, whatever else comes. It is given up
// when it was waited for in vain; one of which there is more is not.
func TestLostEndByID(t *testing.T) {
	t.Parallel()
	tr := traffic.New()
	c, _ := tr.Dial()
	p, out := framesProcessor(), &traffic.Output{TB: t}
	at := time.Unix(1_700_000_000, 0)
	sequence := uint64(0)
	process := func() {
		at = at.Add(100 * time.Millisecond)
		tr.Clock += 1e8
		sequence++
		if err := p.Process(context.Background(), []stage.Record{{Time: at, Data: tr.Batch(sequence, tr.Events)}}, out); err != nil {
			t.Fatal(err)
		}
		tr.Events = nil
	}
	c.Send(decodetest.FramesOpening + decodetest.Frame(1, '*', 4) + decodetest.Frame(2, '*', 0))
	c.Receive(decodetest.Frame(1, '.', 1))
	process()
	c.Lose(0, 20)
	for range 40 { // the gap is certain after half a second, and all that follows it comes
		c.Receive(decodetest.Frame(2, '.', 2))
		process()
	}
	if len(out.Exchanges) != 1 || out.Exchanges[0].Key.Stream != 1 || out.Exchanges[0].Outcome != millracev1.Outcome_OUTCOME_LOST ||
		!out.Exchanges[0].SizesEstimated {
		t.Errorf("ended: %v", out.Exchanges)
	}
	c.Receive(decodetest.Frame(2, '!', 2) + decodetest.Frame(1, '!', 0))
	process()
	if n := len(out.Exchanges); n != 3 || !out.Exchanges[2].Completes || out.Exchanges[1].Key.Stream != 2 {
		t.Errorf("ended: %v", out.Exchanges)
	}
}
