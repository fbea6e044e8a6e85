package decoder_test

import (
	"testing"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// Process ids of what a request makes: a shell, and what that runs.
const (
	shellProcess = 33
	childProcess = 44
)

// caused says what a call must be tied to.
type caused struct {
	cause     identity.Key
	kind      millracev1.CauseKind
	candidate bool
}

var nobody caused

// by is the cause that is the first request of end.
func by(end *decodertest.End, kind millracev1.CauseKind) caused {
	return caused{cause: identity.Key{Flow: end.Facts().ReceiveFlow}, kind: kind}
}

// checkCauses compares what calls say of their causes with what is wanted, by their targets, with the events in batches
// of several sizes.
func checkCauses(t *testing.T, traffic *decodertest.Traffic, want map[string]caused) {
	t.Helper()
	for _, batch := range []int{1, 3, 1000} {
		out := decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, batch)
		calls := out.Of(client)
		if len(calls) != len(want) {
			t.Fatalf("%d calls, want %d", len(calls), len(want))
		}
		asked := 0
		for _, x := range calls {
			got := caused{cause: identity.KeyOf(x.Cause), kind: x.CauseKind}
			if x.CauseCandidate != nil {
				got.cause, got.candidate = identity.KeyOf(x.CauseCandidate), true
			} else if x.Cause != nil {
				asked++
			}
			if got != want[x.GetHttp().Target] {
				t.Errorf("%s: %+v, want %+v", x.GetHttp().Target, got, want[x.GetHttp().Target])
			}
		}
		for _, l := range out.Links {
			if l.Kind == millracev1.LinkKind_LINK_KIND_ASK {
				asked--
			}
		}
		if asked != 0 {
			t.Errorf("%d causes more than questions", asked)
		}
	}
}

// connected gives n connections to the server, and n from it.
func connected(traffic *decodertest.Traffic, n int) (in, out []*decodertest.End) {
	for range n {
		_, s := traffic.Dial()
		c, _ := traffic.Dial()
		c.Facts().Process = decodertest.ServerProcess
		in, out = append(in, s), append(out, c)
	}
	return in, out
}

func get(target string) string { return "GET " + target + " HTTP/1.1\r\n\r\n" }

// TestBackgroundWork: what a request started and left running calls for itself once the request is over.
func TestBackgroundWork(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	in, out := connected(traffic, 2)
	as := func(g, parent uint64) { traffic.Goroutine, traffic.Parent = g, parent }
	begin := func(kind millracev1.EventKind, g, parent uint64) {
		traffic.Add(&millracev1.Event{Kind: kind, Process: decodertest.ServerProcess, Thread: 1, Goroutine: g, ParentGoroutine: parent})
	}
	call := func(writer, caller uint64, target string) {
		as(writer, 0)
		begin(millracev1.EventKind_EVENT_KIND_HANDOFF, writer, caller)
		out[0].Send(get(target))
		out[0].Receive(reply)
	}
	as(5, 1)
	in[0].Receive(get("/first"))
	begin(millracev1.EventKind_EVENT_KIND_TASK_START, 6, 5) // polls from now on
	begin(millracev1.EventKind_EVENT_KIND_TASK_START, 9, 6) // writes on the connection of the polls
	call(9, 6, "/poll/1")
	as(5, 1)
	in[0].Send(reply)
	call(9, 6, "/poll/2")
	as(5, 1)
	in[0].Receive(get("/second"))
	call(9, 6, "/poll/3")
	call(9, 5, "/second/call")
	as(5, 1)
	in[0].Send(reply)
	second := by(in[0], millracev1.CauseKind_CAUSE_KIND_HANDOFF)
	second.cause.Offset = uint64(len(get("/first")))
	checkCauses(t, traffic, map[string]caused{
		"/poll/1":      by(in[0], millracev1.CauseKind_CAUSE_KIND_HANDOFF),
		"/poll/2":      nobody,
		"/poll/3":      nobody,
		"/second/call": second,
	})
}

// TestReaderThread: a thread that reads requests for others to answer does not serve them.
func TestReaderThread(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	in, out := connected(traffic, 3)
	for _, end := range []*decodertest.End{in[0], in[2]} {
		traffic.Thread = 7
		end.Receive(get("/"))
		traffic.Thread = 8 // older than the request
		end.Send(reply)
	}
	traffic.Thread = 7
	in[1].Receive(get("/open"))
	out[0].Send(get("/health")) // of the reader's own
	traffic.Thread = 8
	out[1].Send(get("/work"))
	out[1].Receive(reply)
	traffic.Thread = 7
	out[0].Receive(reply)
	traffic.Thread = 8
	in[1].Send(reply)
	open := by(in[1], millracev1.CauseKind_CAUSE_KIND_INFERRED)
	open.candidate = true
	checkCauses(t, traffic, map[string]caused{"/health": open, "/work": nobody})
}

// TestChildOfARequest: a handler runs a shell, which runs a program that calls; a child that is older than the request,
// or calls when it is over, is nobody's.
func TestChildOfARequest(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	traffic.Processes = append(traffic.Processes, &millracev1.Process{Id: childProcess, Home: decodertest.ServerProcess})
	in, _ := connected(traffic, 2)
	made := func(process, parent uint64, thread uint32, at uint64) {
		e := traffic.Add(&millracev1.Event{
			Kind: millracev1.EventKind_EVENT_KIND_PROCESS_START, Process: process, Thread: 900, ParentProcess: parent, ParentThread: thread,
		})
		e.TimeNs = at
	}
	call := func(process uint64, target string) {
		c, _ := traffic.Dial()
		c.Facts().Process = process
		traffic.Thread = 900
		c.Send(get(target))
		c.Receive(reply)
	}
	before := traffic.Clock
	traffic.Thread = 7
	in[0].Receive(get("/run"))
	traffic.Thread = 8
	in[1].Receive(get("/other"))
	forked := traffic.Clock
	made(childProcess, shellProcess, 800, forked+500)
	made(childProcess, decodertest.ServerProcess, 7, forked)
	call(childProcess, "/child")
	made(55, decodertest.ServerProcess, 8, before) // a worker that was there before
	call(55, "/worker")
	traffic.Thread = 7
	in[0].Send(reply)
	call(childProcess, "/child/after")
	traffic.Thread = 8
	in[1].Send(reply)
	checkCauses(t, traffic, map[string]caused{
		"/child":       by(in[0], millracev1.CauseKind_CAUSE_KIND_CHILD_TASK),
		"/worker":      nobody,
		"/child/after": nobody,
	})
}

// TestChildThatServes: what a server does that a request started is for its own requests.
func TestChildThatServes(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	in, _ := connected(traffic, 1)
	traffic.Thread = 7
	in[0].Receive(get("/start"))
	e := &millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_PROCESS_START, Process: childProcess, Thread: 900,
		ParentProcess: decodertest.ServerProcess, ParentThread: 7,
	}
	traffic.Add(e)
	_, s := traffic.Dial()
	c, _ := traffic.Dial()
	s.Facts().Process, c.Facts().Process = childProcess, childProcess
	traffic.Thread = 900
	s.Receive(get("/own"))
	traffic.Thread = 901 // a thread of a pool
	c.Send(get("/call"))
	c.Receive(reply)
	checkCauses(t, traffic, map[string]caused{"/call": nobody})
}
