package decoder_test

import (
	"testing"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/lib/stage/stagebench"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	scanners "millrace.dev/protocols/edge/all"
	"millrace.dev/protocols/edge/edgetest"
	rooms "millrace.dev/protocols/edge/edgetest/all"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// BenchmarkRooms is what the stage costs under each load of each room, at a server's end: from raw batches with what
// the node's scanner lets pass to encoded exchanges.
func BenchmarkRooms(b *testing.B) {
	for _, of := range rooms.Loads() {
		for i := range of.Loads {
			l := &of.Loads[i]
			b.Run(of.Room+"/"+l.Title(), func(b *testing.B) {
				stagebench.Run(b, loaded(l), stagebench.Load{Next: newTalk(b, of.Scanner, l).next, Warm: time.Second, Round: time.Second})
			})
		}
	}
}

// TestRooms decodes some of each load: a benchmark of traffic that is not understood would be fast.
func TestRooms(t *testing.T) {
	t.Parallel()
	for _, of := range rooms.Loads() {
		for i := range of.Loads {
			l := &of.Loads[i]
			t.Run(of.Room+"/"+l.Title(), func(t *testing.T) {
				t.Parallel()
				newTalk(t, of.Scanner, l).check(loaded(l))
			})
		}
	}
}

// loaded gives a decoder for a load.
func loaded(l *edgetest.Load) stage.Processor {
	o := decoder.Options{Partitions: 32}
	if l.Layer != "" {
		o.Layers = decoder.NewLayers(map[string]bool{l.Layer: true})
	}
	return decoder.New(o)
}

// talkConnections is how many connections there are at once.
const talkConnections = 50

// talk is a load on connections whose rounds take turns. All of them say the same, so a round is scanned once.
type talk struct {
	tb       testing.TB
	load     *edgetest.Load
	node     edgetest.Node
	datagram edge.DatagramScanner
	offsets  [2]uint64

	traffic *decodertest.Traffic
	facts   []*millracev1.Connection
	events  []*millracev1.Event // of a round, or of what opens, of any connection
	rounds  int                 // of all connections
	batches uint64
	started time.Time
}

func newTalk(tb testing.TB, scanner string, l *edgetest.Load) *talk {
	rules := edge.Rules{Enable: true, Literals: true, Layers: scanners.LayersOf(map[string]bool{l.Layer: l.Layer != ""})}
	if err := scanners.Complete(&rules); err != nil {
		tb.Fatal(err)
	}
	t := &talk{tb: tb, load: l, traffic: decodertest.New()}
	for _, room := range scanners.List {
		if room.Protocol.Name != scanner {
			continue
		}
		t.node = edgetest.Follow(room, &rules)(false, protocols.Server)
		if l.Datagrams {
			newScanner, err := room.Scanners(&rules)
			if err != nil {
				tb.Fatal(err)
			}
			t.datagram = newScanner(true).(edge.DatagramScanner)
		}
	}
	for range talkConnections {
		t.dial()
	}
	return t
}

// dial makes a connection.
func (t *talk) dial() *millracev1.Connection {
	_, server := t.traffic.Dial()
	facts := server.Facts()
	if t.load.Datagrams {
		facts.Transport, facts.OpenedNs = millracev1.Transport_TRANSPORT_UDP, 0
	}
	t.facts = append(t.facts, facts)
	return facts
}

// pass makes the events of what is said at the server's end.
func (t *talk) pass(pieces []edgetest.Piece) {
	t.events = t.events[:0]
	for _, p := range pieces {
		e := edgetest.Event{From: p.From, Offset: t.offsets[p.From-protocols.Client], Length: uint32(len(p.Bytes)), Bytes: []byte(p.Bytes)}
		t.offsets[p.From-protocols.Client] += uint64(len(p.Bytes))
		moved := &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_RECEIVE, Offset: e.Offset, Length: e.Length, Thread: 1}
		if p.From == protocols.Server {
			moved.Kind, moved.DurationNs = millracev1.EventKind_EVENT_KIND_SEND, 200
		}
		if t.datagram != nil {
			var w edge.Writer
			w.Start(e.Bytes)
			w.Run(0, 0)
			t.datagram.Datagram(p.From, e.Bytes, &w)
			kept, segments := w.Kept()
			e.Bytes, e.Segments = kept, segments
			t.fill(moved, &e)
		} else {
			for _, kept := range t.node.Pass(&e) {
				t.fill(moved, &kept)
			}
		}
		t.events = append(t.events, moved)
	}
}

func (t *talk) fill(moved *millracev1.Event, kept *edgetest.Event) {
	moved.Payload = append([]byte(nil), kept.Bytes...)
	for _, s := range kept.Segments {
		moved.Segments = append(moved.Segments, s.At, s.Length)
	}
	if len(moved.Segments) == 2 && moved.Segments[0] == 0 { // as capture sends it
		moved.Segments = nil
	}
	moved.Restated = append([]byte(nil), kept.Restated...)
	moved.Restatements = append([]uint32(nil), kept.Restatements...)
}

// say gives the events to connection i.
func (t *talk) say(i int, all []*millracev1.Event) []*millracev1.Event {
	for _, e := range t.events {
		moved := &millracev1.Event{
			Kind: e.Kind, Connection: uint32(i + 1), Offset: e.Offset, Length: e.Length, Payload: e.Payload, Segments: e.Segments,
			Restated: e.Restated, Restatements: e.Restatements, Thread: e.Thread, DurationNs: e.DurationNs,
		}
		t.traffic.Clock += 1000
		moved.TimeNs = t.traffic.Clock
		all = append(all, moved)
	}
	return all
}

// next is [stagebench.Load.Next]: about 200 exchanges.
func (t *talk) next(at time.Time) (records []stage.Record, exchanges int) {
	if t.started.IsZero() {
		t.started = at
	}
	t.traffic.Clock = 1_000_000 + uint64(at.Sub(t.started))
	var all []*millracev1.Event
	if t.rounds == 0 && len(t.load.Opening) > 0 {
		t.pass(t.load.Opening)
		for i := range talkConnections {
			all = t.say(i, all)
		}
	}
	if t.load.Once {
		t.facts = t.facts[:0]
	}
	for n := 0; n < 200; n += t.load.Exchanges {
		i := t.rounds % talkConnections
		if i == 0 && (t.rounds == 0 || !t.load.Once) {
			t.pass(t.load.Round(t.rounds / talkConnections))
		}
		if t.load.Once {
			i = len(t.facts)
			facts := t.dial()
			facts.Socket, facts.OpenedNs = uint64(t.rounds+1000), t.traffic.Clock
			t.traffic.Connections = t.traffic.Connections[:2] // the number of the next one
			facts.SendFlow, facts.ReceiveFlow = uint64(t.rounds+1)<<32|1, 1<<32|uint64(t.rounds+1)
		}
		all = t.say(i, all)
		if t.load.Once {
			all = append(all, &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_CLOSE, Connection: uint32(i + 1), TimeNs: t.traffic.Clock})
		}
		t.rounds++
		exchanges += t.load.Exchanges
	}
	t.batches++
	data, err := (&millracev1.RawBatch{
		Version: 1, Node: "n", Epoch: 7, Sequence: t.batches, ClockOffsetNs: 1_700_000_000_000_000_000,
		Processes: t.traffic.Processes, Connections: t.facts, Events: all,
	}).MarshalVT()
	if err != nil {
		t.tb.Fatal(err)
	}
	return []stage.Record{{Data: data}}, exchanges
}

// check decodes some of the load; its exchanges must come out whole.
func (t *talk) check(p stage.Processor) {
	out := &decodertest.Output{TB: t.tb}
	want, at := 0, time.Unix(1_800_000_000, 0)
	for range 3 {
		records, n := t.next(at)
		want += n
		if err := p.Process(t.tb.Context(), records, out); err != nil {
			t.tb.Fatal(err)
		}
		at = at.Add(100 * time.Millisecond)
		if err := p.Tick(t.tb.Context(), at, out); err != nil {
			t.tb.Fatal(err)
		}
	}
	whole := 0
	for _, x := range out.Exchanges {
		if x.Outcome == millracev1.Outcome_OUTCOME_COMPLETE && x.Operation != "" {
			whole++
		}
	}
	if t.load.Once { // the last ones may wait for a step of the time
		want -= 200
	}
	if whole < want {
		t.tb.Fatalf("%d exchanges of %d", whole, want)
	}
}
