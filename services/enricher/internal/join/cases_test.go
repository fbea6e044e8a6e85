package join

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	clientSide = millracev1.Side_SIDE_CLIENT
	serverSide = millracev1.Side_SIDE_SERVER
)

// attribute gives an attribute of a span; nil if it has none.
func (s emittedSpan) attribute(key string) *millracev1.KeyValue {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv
		}
	}
	return nil
}

// scene is a world with exact times: nothing is delayed.
func scene(t *testing.T, settings Settings) *world {
	w := newWorld(newSimulation(t, 1, 4, settings))
	w.delay = 1
	return w
}

func (w *world) span(key identity.Key, side millracev1.Side) (emittedSpan, bool) {
	s, found := w.spans[identity.Span(key, side)]
	return s, found
}

func at(d time.Duration) int64 { return epoch + int64(d) }

// An exchange with both sides is emitted at once, each side with the facts of the other.
func TestPair(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	key := w.key()
	w.tree(call{key: key, start: at(0), end: at(100 * time.Millisecond), client: true, server: true}, identity.Trace(key), 0, 0)
	w.run(at(300 * time.Millisecond))
	w.check()
	client, _ := w.span(key, clientSide)
	server, _ := w.span(key, serverSide)
	if client.attribute("peer.service").GetStringValue() != "service" || server.attribute("peer.service").GetStringValue() != "service" {
		t.Error("peer.service is missing")
	}
	// The generator lets the server begin and end 0.1 ms inside the client's times, and both wait before they read.
	for name, want := range map[string]float64{
		"millrace.network.duration": 0.00012, "millrace.client.send.duration": 0.00001, "millrace.client.read_delay.duration": 0.00002,
	} {
		if got := client.attribute(name).GetDoubleValue(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := server.attribute("millrace.server.queue.duration").GetDoubleValue(); got != 0.00005 {
		t.Errorf("queue duration %v", got)
	}
	if server.attribute("millrace.network.duration") != nil {
		t.Error("network duration at the server")
	}
}

// Times at which spans of exchanges without their other side are emitted.
func TestHold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call call
		side millracev1.Side
		due  time.Duration
	}{
		"server, caller not watched":      {call{server: true, end: at(50 * time.Millisecond)}, serverSide, 2 * time.Second},
		"long server, caller not watched": {call{server: true, end: at(5 * time.Second)}, serverSide, 5500 * time.Millisecond},
		"client, callee not watched":      {call{client: true, end: at(50 * time.Millisecond)}, clientSide, 2 * time.Second},
		"long client, callee not watched": {call{client: true, end: at(5 * time.Second)}, clientSide, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := scene(t, defaults)
			c := test.call
			c.key, c.start = w.key(), at(0)
			w.side(c, test.side)
			w.run(at(test.due - 200*time.Millisecond))
			if _, found := w.span(c.key, test.side); found {
				t.Error("emitted too early")
			}
			w.run(at(test.due + 200*time.Millisecond))
			if s, found := w.span(c.key, test.side); !found {
				t.Error("not emitted in time")
			} else if s.ParentSpanId != 0 || [16]byte(s.TraceId) != identity.Trace(c.key) {
				t.Error("not a root of its own")
			}
		})
	}
}

// The children of a request that runs for long resolve at once, and so does its own trace's every other part.
func TestLongRequest(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	root, child := w.key(), w.key()
	w.side(call{key: root, start: at(0), end: at(60 * time.Second)}, clientSide)
	w.side(call{key: root, start: at(0), end: at(60 * time.Second)}, serverSide)
	c := call{key: child, start: at(time.Second), end: at(1100 * time.Millisecond), cause: &root}
	w.side(c, clientSide)
	w.side(c, serverSide)
	w.run(at(1500 * time.Millisecond))
	for _, side := range []millracev1.Side{clientSide, serverSide} {
		if s, found := w.span(child, side); !found || [16]byte(s.TraceId) != identity.Trace(root) {
			t.Errorf("%s of the child is not resolved while the root runs", side)
		}
	}
	w.run(at(61 * time.Second))
	if len(w.spans) != 4 {
		t.Errorf("%d spans", len(w.spans))
	}
}

// A client that sends for longer than the hold time in one call is heard of when the server is about to answer.
func TestClientHeardOfAtTheEnd(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	key := w.key()
	w.side(call{key: key, start: at(0), end: at(3 * time.Second)}, serverSide)
	w.side(call{key: key, start: at(3100 * time.Millisecond), end: at(3200 * time.Millisecond)}, clientSide)
	w.run(at(6 * time.Second))
	client, found := w.span(key, clientSide)
	if !found || client.attribute("millrace.trace.late") != nil {
		t.Errorf("client: %v", client.Span)
	}
	server, _ := w.span(key, serverSide)
	if server.ParentSpanId != client.SpanId || [16]byte(server.TraceId) != [16]byte(client.TraceId) {
		t.Errorf("server %v is not below client %v", server.Span, client.Span)
	}
}

// A client that is heard of after its server was sent as a root joins the trace that was announced.
func TestLateClient(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	cause, key, child := w.key(), w.key(), w.key()
	w.side(call{key: key, start: at(0), end: at(10 * time.Millisecond)}, serverSide)
	w.side(call{key: child, start: at(5 * time.Millisecond), end: at(8 * time.Millisecond), cause: &key}, clientSide)
	w.run(at(3 * time.Second))
	late := call{key: key, start: at(3 * time.Second), end: at(3010 * time.Millisecond), cause: &cause}
	w.side(call{key: cause, start: at(2900 * time.Millisecond), end: at(4 * time.Second)}, clientSide)
	w.side(call{key: cause, start: at(2900 * time.Millisecond), end: at(4 * time.Second)}, serverSide)
	w.side(late, clientSide)
	w.run(at(10 * time.Second))
	for _, want := range []struct {
		key  identity.Key
		side millracev1.Side
	}{{key, serverSide}, {key, clientSide}, {child, clientSide}} {
		if s, found := w.span(want.key, want.side); !found || [16]byte(s.TraceId) != identity.Trace(key) {
			t.Errorf("%v %s is not in the announced trace", want.key, want.side)
		}
	}
	s, _ := w.span(key, clientSide)
	if s.ParentSpanId != 0 || !s.attribute("millrace.trace.late").GetBoolValue() || s.attribute("millrace.cause.span_id") == nil {
		t.Errorf("late client: %v", s.Span)
	}
	if late, conflicts := testutil.ToFloat64(w.counters.Late), testutil.ToFloat64(w.counters.Conflicts); late != 1 || conflicts != 1 {
		t.Errorf("%v late, %v conflicts", late, conflicts)
	}
}

// A request that may be the cause, or may not, is named and is no parent: the client begins a trace, or stays in the
// one that it names itself.
func TestCandidate(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	candidate := w.key()
	w.side(call{key: candidate, start: at(0), end: at(50 * time.Millisecond)}, serverSide)
	own := w.context()
	for i, test := range []struct {
		context *millracev1.TraceContext
		parent  uint64
	}{{nil, 0}, {own, own.SpanId}} {
		key, start := w.key(), time.Duration(i)*10*time.Second
		w.link(at(start), &millracev1.Link{
			Kind: millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, Key: key.Proto(), Context: test.context, StartUnixNs: uint64(at(start)),
		})
		w.exchange(&millracev1.Exchange{
			Key: key.Proto(), Side: clientSide, Process: 7, Outcome: millracev1.Outcome_OUTCOME_COMPLETE, Context: test.context,
			CauseKind: millracev1.CauseKind_CAUSE_KIND_INFERRED, CauseCandidate: candidate.Proto(),
			StartUnixNs: uint64(at(start)), EndUnixNs: uint64(at(start + time.Millisecond)),
		})
		w.run(at(start + 5*time.Second))
		trace := identity.Trace(key)
		if test.context != nil {
			trace = [16]byte(own.TraceId)
		}
		s, found := w.span(key, clientSide)
		if !found || [16]byte(s.TraceId) != trace || s.ParentSpanId != test.parent {
			t.Errorf("found %v: %v, want trace %x, parent %x", found, s.Span, trace, test.parent)
		}
		want := fmt.Sprintf("%016x", identity.Span(candidate, serverSide))
		if got := s.attribute("millrace.cause.span_id").GetStringValue(); got != want || s.attribute("millrace.cause").GetStringValue() != "inferred" {
			t.Errorf("candidate %q, want %q: %v", got, want, s.Span)
		}
	}
}

// A child that asks after its cause has finished is still told.
func TestLateQuestion(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	root, child := w.key(), w.key()
	w.side(call{key: root, start: at(0), end: at(10 * time.Millisecond)}, clientSide)
	w.side(call{key: root, start: at(0), end: at(10 * time.Millisecond)}, serverSide)
	w.side(call{key: child, start: at(20 * time.Second), end: at(20100 * time.Millisecond), cause: &root}, clientSide)
	w.run(at(23 * time.Second))
	if s, found := w.span(child, clientSide); !found || [16]byte(s.TraceId) != identity.Trace(root) ||
		s.ParentSpanId != identity.Span(root, serverSide) {
		t.Errorf("found %v: %v", found, s.Span)
	}
}

// A question that gets lost is asked again; one that is never answered ends in an assumption that says so.
func TestLostQuestion(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	cause, key := w.key(), w.key()
	x := &millracev1.Exchange{
		Key: key.Proto(), Side: clientSide, Cause: cause.Proto(), StartUnixNs: uint64(at(0)), EndUnixNs: uint64(at(1)), Process: 7,
	}
	w.exchange(x)
	w.run(at(time.Second))
	w.linkDelay = time.Hour // The answer never comes.
	w.run(at(19 * time.Second))
	if len(w.queue) == 0 {
		t.Error("the question was not repeated")
	}
	w.run(at(21 * time.Second))
	s, found := w.span(key, clientSide)
	if !found || !s.attribute("millrace.trace.assumed").GetBoolValue() || s.ParentSpanId != identity.Span(cause, serverSide) {
		t.Errorf("found %v: %v", found, s.Span)
	}
}

// More pending than allowed: the oldest are decided early, nothing is lost, and the memory is bounded.
func TestBounded(t *testing.T) {
	t.Parallel()
	w := scene(t, Settings{Hold: 2 * time.Second, MaxPending: 50})
	for range 2000 {
		key := w.key()
		w.tree(call{key: key, start: at(0), end: at(10 * time.Millisecond), server: true}, identity.Trace(key), 0, 0)
	}
	w.run(at(200 * time.Millisecond))
	for _, p := range w.partitions {
		if p.open.length > 50 || p.done.len() > 50 || len(p.entries) > 50 {
			t.Errorf("%d open, %d done, %d entries", p.open.length, p.done.len(), len(p.entries))
		}
	}
	if testutil.ToFloat64(w.counters.Early) < 1000 {
		t.Errorf("%v early", testutil.ToFloat64(w.counters.Early))
	}
	w.run(at(5 * time.Second))
	w.check()
}

// State is given back when it is no longer of use.
func TestForgets(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	for range 100 {
		w.root(at(0))
	}
	w.side(call{key: w.key(), start: at(0), end: at(26 * time.Hour)}, serverSide) // Its exchange comes much later.
	w.run(at(25 * time.Hour))
	for _, p := range w.partitions {
		if len(p.entries) != 0 || p.open.length != 0 || p.done.len() != 0 || len(p.wheel.slots) > 1 || len(p.processes.byID) != 0 {
			t.Errorf("%d entries, %d open, %d done, %d slots, %d processes", len(p.entries), p.open.length, p.done.len(),
				len(p.wheel.slots), len(p.processes.byID))
		}
	}
	if got := testutil.ToFloat64(w.counters.Unfinished); got != 1 {
		t.Errorf("%v unfinished", got)
	}
}

// What cannot be understood is counted and does no harm.
func TestMalformed(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	p := w.partitions[0]
	marshal := func(m interface{ MarshalVT() ([]byte, error) }) []byte {
		b, err := m.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := w.key().Proto()
	link := func(l *millracev1.Link) stage.Record {
		return stage.Record{Subject: bus.LinkSubject(0), Data: marshal(&millracev1.LinkBatch{Version: 1, Links: []*millracev1.Link{l}})}
	}
	exchange := func(x *millracev1.Exchange) stage.Record {
		return stage.Record{Subject: bus.ExchangeSubject(0), Data: marshal(&millracev1.ExchangeBatch{Version: 1, Exchanges: []*millracev1.Exchange{x}})}
	}
	input := []stage.Record{
		{Subject: bus.ExchangeSubject(0), Data: []byte("\xff")},
		{Subject: bus.LinkSubject(0), Data: []byte("\xff")},
		{Subject: bus.ExchangeSubject(0), Data: marshal(&millracev1.ExchangeBatch{Version: 2})},
		{Subject: bus.LinkSubject(0), Data: marshal(&millracev1.LinkBatch{Version: 2})},
		exchange(&millracev1.Exchange{Side: clientSide}),
		exchange(&millracev1.Exchange{Key: key}),
		exchange(&millracev1.Exchange{Key: key, Side: 9}),
		link(&millracev1.Link{Key: key}),
		link(&millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_CLIENT_STARTED}),
		link(&millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_ASK, Key: key}),
		link(&millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_RESOLVED, Key: key, TraceId: []byte("short")}),
		exchange(&millracev1.Exchange{Key: key, Side: serverSide, Context: &millracev1.TraceContext{TraceId: make([]byte, 16), SpanId: 1}}),
	}
	for i := range input {
		input[i].Time = time.Unix(0, epoch)
	}
	if err := p.Process(context.Background(), input, output{w.simulation}); err != nil {
		t.Fatal(err)
	}
	w.run(at(5 * time.Second))
	total := 0.0
	for _, what := range []string{"batch", "version", "key", "side", "kind", "trace_id", "context"} {
		total += testutil.ToFloat64(w.counters.Malformed.WithLabelValues(what))
	}
	if int(total) != len(input) {
		t.Errorf("%v counted, want %d", total, len(input))
	}
	if len(w.spans) != 1 {
		t.Errorf("%d spans, want that of the last exchange", len(w.spans))
	}
	for _, s := range w.spans {
		if s.resource["service.name"] != "unknown_service" {
			t.Errorf("resource %v", s.resource)
		}
	}
}

// Damaged snapshots are refused, never believed in part.
func FuzzRestore(f *testing.F) {
	s := newSimulation(f, 3, 1, defaults)
	w := newWorld(s)
	w.delay = 1
	root, child := w.key(), w.key()
	w.tree(call{key: root, start: epoch, end: epoch + 1, client: true, server: true}, identity.Trace(root), 0, 0)
	w.side(call{key: child, start: epoch, end: epoch + 1, cause: &root, context: w.context()}, clientSide)
	w.side(call{key: w.key(), start: epoch, end: epoch + 1, cause: &child}, clientSide)
	s.run(epoch + int64(100*time.Millisecond))
	snapshot, err := s.partitions[0].Snapshot(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snapshot)
	f.Add(snapshot[:len(snapshot)/2])
	f.Add([]byte{2})
	if snapshot, err = attributed(f, []string{"test.a", "test.b", "test.c"}, textOf(2, "x"), textOf(0, "y")).Snapshot(nil); err != nil {
		f.Fatal(err)
	}
	f.Add(snapshot)
	counters := newCounters(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		settings := defaults
		settings.Partitions = 1
		p := New(0, settings, counters)
		if err := p.Restore(data); err != nil {
			if len(p.entries) != 0 {
				t.Error("state after an error")
			}
			return
		}
		again, err := p.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		q := New(0, settings, counters)
		if err := q.Restore(again); err != nil {
			t.Fatalf("own snapshot: %v", err)
		}
		third, err := q.Snapshot(nil)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("snapshot changes: %v", err)
		}
		for range 3 {
			if err := p.Tick(context.Background(), time.Unix(0, p.now+int64(time.Hour)), ignore{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// ignore is an output that nobody reads.
type ignore struct{}

func (ignore) Publish(string, string, []byte) {}

func TestUnknownSnapshotVersion(t *testing.T) {
	t.Parallel()
	if err := New(0, Settings{Partitions: 1}, newCounters(t)).Restore([]byte{99}); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("error %v", err)
	}
}

// One exchange is a client and a server side with their links, in batches as a decoder makes them.
func BenchmarkExchanges(b *testing.B) {
	const size = 500
	var records [][]stage.Record
	processes := []*millracev1.Process{{Id: 1, RuleServiceName: "shop"}, {Id: 2, RuleServiceName: "orders"}}
	offset := uint64(0)
	next := func() []stage.Record {
		links := &millracev1.LinkBatch{Version: 1}
		exchanges := &millracev1.ExchangeBatch{Version: 1, Processes: processes}
		for range size {
			offset += 100
			for side := clientSide; side <= serverSide; side++ {
				key := &millracev1.ExchangeKey{Flow: 77<<32 | offset%64, Offset: offset}
				links.Links = append(links.Links, &millracev1.Link{Kind: millracev1.LinkKind(side), Key: key, StartUnixNs: uint64(epoch)})
				exchanges.Exchanges = append(exchanges.Exchanges, &millracev1.Exchange{
					Key: key, Side: side, Process: uint64(side), Outcome: millracev1.Outcome_OUTCOME_COMPLETE,
					Transport: millracev1.Transport_TRANSPORT_TCP, LocalAddress: []byte{10, 0, 0, 1}, LocalPort: 80,
					RemoteAddress: []byte{10, 0, 0, 2}, RemotePort: 81, StartUnixNs: uint64(epoch), EndUnixNs: uint64(epoch) + 1e6,
					Detail: &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{
						Method: "GET", Target: "/orders/17", Host: "shop.example", Status: 200, Version: "1.1", UserAgent: "curl/8.5.0",
					}},
				})
			}
		}
		l, _ := links.MarshalVT()
		x, _ := exchanges.MarshalVT()
		return []stage.Record{{Subject: bus.LinkSubject(0), Data: l}, {Subject: bus.ExchangeSubject(0), Data: x}}
	}
	for range 200 {
		records = append(records, next())
	}
	settings := Settings{Partitions: 32, Hold: 2 * time.Second, MaxPending: 100000}
	counters := newCounters(b)
	p := New(0, settings, counters)
	now, i := epoch, 0
	b.ReportAllocs()
	for b.Loop() {
		batch := records[i%len(records)]
		if i%len(records) == 0 {
			p = New(0, settings, counters)
		}
		i++
		now += int64(10 * time.Millisecond)
		for j := range batch {
			batch[j].Time = time.Unix(0, now)
		}
		if err := p.Process(context.Background(), batch, ignore{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(i*size*2)/b.Elapsed().Seconds(), "exchanges/s")
}
