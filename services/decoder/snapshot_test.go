package decoder_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

var update = flag.Bool("update", false, "write the snapshot of the current version to testdata/snapshots")

// version is what the decoder writes. With another, a snapshot of it joins the older ones in testdata: go test -run
// Golden -update.
const version = "14"

// situations is traffic that leaves, halfway, something of everything that a snapshot holds.
func situations() (first, second *decodertest.Traffic) {
	r := rand.New(rand.NewPCG(9, 10))
	t := decodertest.New()
	middle := func(e *decodertest.End) *decodertest.End { e.Facts().Process = decodertest.ServerProcess; return e }
	t.Goroutine, t.Parent = 5, 1
	// A request being served, the call that it caused, and a task that it made and one that works for it.
	_, in := t.Dial()
	out, _ := t.Dial()
	middle(in)
	middle(out)
	in.Receive("POST /a HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\nContent-Length: 9\r\n\r\nabc")
	out.Send("GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
	out.Receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")
	task := func(kind millracev1.EventKind, goroutine, parent uint64) {
		t.Add(&millracev1.Event{Kind: kind, Process: decodertest.ServerProcess, Thread: 3, Goroutine: goroutine, ParentGoroutine: parent})
	}
	task(millracev1.EventKind_EVENT_KIND_TASK_START, 6, 5)
	task(millracev1.EventKind_EVENT_KIND_HANDOFF, 7, 5)
	// A process that it made; snapshots of versions that knew of none were made without this event.
	t.Add(&millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_PROCESS_START, Process: 77, Thread: 900, ParentProcess: decodertest.ServerProcess, ParentGoroutine: 5,
	})
	t.Clock -= 1000
	// An event loop with two requests.
	t.Goroutine, t.Parent, t.Thread = 0, 0, 40
	var loops []*decodertest.End
	for range 2 {
		_, s := t.Dial()
		s.Receive("GET /loop HTTP/1.1\r\n\r\n")
		loops = append(loops, s)
	}
	// Pipelined commands, the last one in the middle of an argument; a transaction.
	c, s := t.Dial()
	decodertest.Pass(c, s, resp("MULTI")+resp("GET", "k")+"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400\r\nvvv")
	decodertest.Pass(s, c, "+OK\r\n")
	// A gap that may still be filled, on a connection joined in the middle; one that closes; one that is opaque.
	late, _ := t.Dial()
	late.JoinAt(100, 200)
	late.Send("GET /late HTTP/1.1\r\n\r\n")
	late.Lose(0, 5)
	late.Receive("200 OK\r\nContent-Length: 0\r\n\r\n")
	closing, _ := t.Dial()
	closing.Send("GET /closing HTTP/1.1\r\n\r\n")
	closing.End(millracev1.EventKind_EVENT_KIND_CLOSE)
	opaque, _ := t.Dial()
	opaque.Send("\x00\x01\x02 nothing known\n")
	for name := range 4 {
		pieces := conversations[[]string{"http", "redis"}[name%2]]
		half := play(r, pieces, true)
		for _, e := range half.Events[:len(half.Events)/2] {
			e.Connection += uint32(len(t.Connections))
			t.Clock += 1000
			e.TimeNs = t.Clock
			t.Events = append(t.Events, e)
		}
		for _, f := range half.Connections {
			n := uint64(len(t.Connections) + 1)
			f.Socket, f.SendFlow, f.ReceiveFlow = n, n<<32|n, n<<32|n
			t.Connections = append(t.Connections, f)
		}
	}
	first = &decodertest.Traffic{Processes: t.Processes, Connections: t.Connections, Events: t.Events}
	t.Events = nil
	in.Receive("defghi")
	t.Goroutine, t.Parent = 7, 1
	out.Receive("456789")
	out.Send("GET /c HTTP/1.1\r\n\r\n")
	out.Receive("HTTP/1.1 204 No Content\r\n\r\n")
	in.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	t.Goroutine, t.Parent = 0, 0
	for _, s := range loops {
		s.Send("HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n")
	}
	decodertest.Pass(c, s, strings.Repeat("v", 397)+"\r\n"+resp("EXEC"))
	decodertest.Pass(s, c, "+QUEUED\r\n+QUEUED\r\n*2\r\n$-1\r\n+OK\r\n")
	second = &decodertest.Traffic{Processes: t.Processes, Connections: t.Connections, Events: t.Events}
	return first, second
}

// TestGoldenSnapshots: snapshots of every version that ever was are read, or refused with a word on the version; the
// current one is written as it is in testdata.
func TestGoldenSnapshots(t *testing.T) {
	t.Parallel()
	first, second := situations()
	process := func(p stage.Processor, out *decodertest.Output, sequence uint64, traffic *decodertest.Traffic) {
		t.Helper()
		if err := p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(sequence, traffic.Events)}}, out); err != nil {
			t.Fatal(err)
		}
	}
	straight := decoder.New(decoder.Options{Partitions: 4})
	process(straight, &decodertest.Output{TB: t}, 1, first)
	told := []stage.Record{decodertest.Progress("n.2", 7, time.Unix(1_700_000_000, 0), time.Hour, time.Hour-time.Second, false)}
	told = append(told, decodertest.Watermarks(time.Unix(1_700_000_000, 0), map[uint32]time.Time{2: time.Unix(1_699_999_999, 0)}))
	if err := straight.Process(context.Background(), told, &decodertest.Output{TB: t}); err != nil {
		t.Fatal(err)
	}
	snapshot, err := straight.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &decodertest.Output{TB: t}
	process(straight, want, 2, second)
	decodertest.Settle(t, straight, want)
	if len(want.Exchanges) < 12 {
		t.Fatalf("only %d exchanges", len(want.Exchanges))
	}
	name := filepath.Join("testdata", "snapshots", "v"+version)
	if *update {
		if err := os.WriteFile(name, snapshot, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if golden, err := os.ReadFile(name); err != nil || !slices.Equal(golden, snapshot) {
		t.Errorf("%s: not what the decoder writes (%v): a change of the layout needs another version, see snapshotVersion", name, err)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "snapshots", "v*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		golden, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p := decoder.New(decoder.Options{Partitions: 4})
		if err := p.Restore(golden); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := &decodertest.Output{TB: t}
		process(p, got, 2, second)
		decodertest.Settle(t, p, got)
		if g, w := got.Strings(), want.Strings(); !slices.Equal(g, w) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(g, "\n"), strings.Join(w, "\n"))
		}
	}
}
