package join

import (
	"bytes"
	"container/heap"
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// message is something on its way to a partition.
type message struct {
	at        int64
	order     int
	partition int
	subject   string
	data      []byte
}

type inFlight []message

func (q inFlight) Len() int { return len(q) }
func (q inFlight) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q inFlight) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *inFlight) Push(x any)   { *q = append(*q, x.(message)) }
func (q *inFlight) Pop() any {
	m := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return m
}

// emittedSpan is a span with the process that it came from.
type emittedSpan struct {
	*millracev1.Span
	resource map[string]string
}

// simulation runs the processors of all partitions over one simulated time.
type simulation struct {
	t          testing.TB
	rng        *rand.Rand
	partitions []*Partition
	settings   Settings
	counters   *Counters
	queue      inFlight
	order      int
	now        int64

	spans map[uint64]emittedSpan
	// repeated counts spans that came again with the same content.
	repeated int
	// linkDelay bounds the time that messages between partitions take.
	linkDelay time.Duration

	// checkpoints and what was delivered since, for crashes.
	checkpoints [][]byte
	since       [][]stage.Record
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()

func newCounters(t testing.TB) *Counters {
	t.Helper()
	c, err := NewCounters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSimulation(t testing.TB, seed uint64, partitions int, settings Settings) *simulation {
	settings.Partitions = partitions
	s := &simulation{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), settings: settings, counters: newCounters(t), now: epoch,
		spans: map[uint64]emittedSpan{}, linkDelay: 50 * time.Millisecond,
		checkpoints: make([][]byte, partitions), since: make([][]stage.Record, partitions),
	}
	for i := range partitions {
		s.partitions = append(s.partitions, New(i, settings, s.counters))
	}
	return s
}

func (s *simulation) send(at int64, partition int, subject string, data []byte) {
	s.order++
	heap.Push(&s.queue, message{at: at, order: s.order, partition: partition, subject: subject, data: data})
}

// output routes what a processor publishes.
type output struct{ s *simulation }

func (o output) Publish(subject, _ string, data []byte) {
	s := o.s
	for p := range s.partitions {
		if subject == bus.LinkSubject(p) {
			s.send(s.now+s.rng.Int64N(int64(s.linkDelay)), p, subject, bytes.Clone(data))
			return
		}
	}
	var batch millracev1.SpanBatch
	if err := batch.UnmarshalVT(data); err != nil {
		s.t.Fatalf("span batch: %v", err)
	}
	resource := map[string]string{}
	for _, kv := range batch.Resource.Attributes {
		resource[kv.Key] = kv.GetStringValue()
	}
	for _, span := range batch.Spans {
		want := bus.SpanSubject(bus.TracePartition([16]byte(span.TraceId), len(s.partitions)), resource["service.namespace"],
			resource["service.name"])
		if subject != want {
			s.t.Fatalf("span on %s, want %s", subject, want)
		}
		if before, found := s.spans[span.SpanId]; found {
			if string(before.TraceId) != string(span.TraceId) || before.ParentSpanId != span.ParentSpanId {
				s.t.Errorf("span %x came again with another trace or parent: %x %x, %x %x", span.SpanId, before.TraceId,
					before.ParentSpanId, span.TraceId, span.ParentSpanId)
			}
			s.repeated++
			continue
		}
		s.spans[span.SpanId] = emittedSpan{span, resource}
	}
}

// run delivers everything that is due until the given time, ticking every 100 ms.
func (s *simulation) run(until int64) {
	ctx := context.Background()
	for s.now < until {
		s.now += int64(100 * time.Millisecond)
		batches := make([][]stage.Record, len(s.partitions))
		for len(s.queue) > 0 && s.queue[0].at <= s.now {
			m := heap.Pop(&s.queue).(message)
			batches[m.partition] = append(batches[m.partition], stage.Record{Subject: m.subject, Time: time.Unix(0, m.at), Data: m.data})
		}
		for i, p := range s.partitions {
			if len(batches[i]) > 0 {
				s.since[i] = append(s.since[i], batches[i]...)
				if err := p.Process(ctx, batches[i], output{s}); err != nil {
					s.t.Fatal(err)
				}
			}
			if err := s.partitions[i].Tick(ctx, time.Unix(0, s.now), output{s}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// move restores a partition from a snapshot of its present state in a new processor.
func (s *simulation) move(i int) {
	snapshot, err := s.partitions[i].Snapshot(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.restore(i, snapshot)
}

func (s *simulation) restore(i int, snapshot []byte) {
	s.partitions[i] = New(i, s.settings, s.counters)
	if snapshot == nil {
		return
	}
	if err := s.partitions[i].Restore(snapshot); err != nil {
		s.t.Fatal(err)
	}
}

// checkpoint stores the state of a partition; crash returns to it and replays.
func (s *simulation) checkpoint(i int) {
	snapshot, err := s.partitions[i].Snapshot(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.checkpoints[i], s.since[i] = snapshot, nil
}

func (s *simulation) crash(i int) {
	s.restore(i, s.checkpoints[i])
	for _, record := range s.since[i] {
		if err := s.partitions[i].Tick(context.Background(), record.Time, output{s}); err != nil {
			s.t.Fatal(err)
		}
		if err := s.partitions[i].Process(context.Background(), []stage.Record{record}, output{s}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// truth is what must come out for one span.
type truth struct {
	trace  [16]byte
	parent uint64
}

// world generates call trees and the messages that a decoder would publish about them.
type world struct {
	*simulation
	flows    []uint64
	offsets  map[uint64]uint64
	expected map[uint64]truth
	// delay bounds how late the decoder's messages are; duplicates is the share of messages that come twice.
	delay      time.Duration
	duplicates float64
	// stalls are when partitions of the decoder stand still; each side of a call is in one of them. acting is that of
	// the present side.
	stalls []stall
	acting int
}

// stall is a time in which a partition of the decoder says nothing; afterwards it says it all.
type stall struct{ from, to int64 }

func newWorld(s *simulation) *world {
	w := &world{simulation: s, offsets: map[uint64]uint64{}, expected: map[uint64]truth{}, delay: 300 * time.Millisecond}
	for range 200 {
		w.flows = append(w.flows, s.rng.Uint64()|1)
	}
	return w
}

func (w *world) key() identity.Key {
	flow := w.flows[w.rng.IntN(len(w.flows))]
	w.offsets[flow] += 1 + w.rng.Uint64N(500)
	return identity.Key{Flow: flow, Offset: w.offsets[flow]}
}

func (w *world) publish(at int64, flow uint64, link bool, data []byte, err error) {
	if err != nil {
		w.t.Fatal(err)
	}
	partition := bus.ConnectionPartition(flow, len(w.partitions))
	subject := bus.ExchangeSubject(partition)
	if link {
		subject = bus.LinkSubject(partition)
	}
	times := 1
	if w.rng.Float64() < w.duplicates {
		times = 2
	}
	if len(w.stalls) > 0 {
		if s := w.stalls[w.acting]; at >= s.from && at < s.to {
			at = s.to
		}
	}
	for range times {
		w.send(at+w.rng.Int64N(int64(w.delay)), partition, subject, data)
		at += w.rng.Int64N(int64(5 * time.Second))
	}
}

func (w *world) link(at int64, l *millracev1.Link) {
	flow := l.Key.Flow
	if l.Kind == millracev1.LinkKind_LINK_KIND_ASK {
		flow = l.Cause.Flow
	}
	data, err := (&millracev1.LinkBatch{Version: 1, Links: []*millracev1.Link{l}}).MarshalVT()
	w.publish(at, flow, true, data, err)
}

func (w *world) exchange(x *millracev1.Exchange) {
	data, err := (&millracev1.ExchangeBatch{
		Version: 1, Exchanges: []*millracev1.Exchange{x},
		Processes: []*millracev1.Process{{Id: x.Process, Node: "n", Pid: uint32(x.Process), RuleServiceName: "service"}},
	}).MarshalVT()
	w.publish(int64(x.EndUnixNs), x.Key.Flow, false, data, err)
}

// announce has every partition of the decoder say until a time how far it is.
func (w *world) announce(until int64) {
	for at := epoch; at < until; at += int64(500 * time.Millisecond) {
		batch := &millracev1.ProgressBatch{Version: 1}
		for i, s := range w.stalls {
			if at < s.from || at >= s.to+int64(w.delay) {
				batch.Partitions = append(batch.Partitions, &millracev1.Progress{Partition: uint32(i), TimeUnixNs: uint64(at - int64(w.delay))})
			}
		}
		data, err := batch.MarshalVT()
		if err != nil {
			w.t.Fatal(err)
		}
		for p := range w.partitions {
			w.send(at, p, bus.ProgressSubject, data)
		}
	}
}

// call is one request in the generated world.
type call struct {
	key        identity.Key
	start, end int64
	client     bool // The client side is watched.
	server     bool
	cause      *identity.Key
	context    *millracev1.TraceContext
	forwarded  bool
}

// side publishes what the decoder says about one side of a call.
func (w *world) side(c call, side millracev1.Side) {
	if len(w.stalls) > 0 {
		w.acting = w.rng.IntN(len(w.stalls))
	}
	started := millracev1.LinkKind_LINK_KIND_SERVER_STARTED
	start, end := c.start+1e5, c.end-1e5
	x := &millracev1.Exchange{
		Key: c.key.Proto(), Side: side, Process: 7, Outcome: millracev1.Outcome_OUTCOME_COMPLETE, Context: c.context,
		Detail: &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{Method: "GET", Target: "/", Status: 200}},
	}
	l := &millracev1.Link{Key: c.key.Proto(), Context: c.context, StartUnixNs: uint64(start)}
	if side == millracev1.Side_SIDE_CLIENT {
		started, start, end = millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, c.start, c.end
		x.ContextForwarded = c.forwarded
		if c.cause != nil {
			x.Cause, x.CauseKind = c.cause.Proto(), millracev1.CauseKind_CAUSE_KIND_SAME_TASK
			l.Cause = c.cause.Proto()
			w.link(start, &millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_ASK, Key: c.key.Proto(), Cause: c.cause.Proto()})
		}
	}
	l.Kind = started
	w.link(start, l)
	x.StartUnixNs, x.EndUnixNs = uint64(start), uint64(end)
	// At a client the first 10 us are the request's write, and what comes waits for 20 us; at a server for 50.
	x.RequestEndNs, x.ResponseEndNs, x.LastArrivedNs = new(int64(0)), new(end-start), new(int64(-50_000))
	if side == millracev1.Side_SIDE_CLIENT {
		x.RequestEndNs, x.LastArrivedNs = new(int64(10_000)), new(end-start-20_000)
	}
	w.exchange(x)
}

func (w *world) context() *millracev1.TraceContext {
	id := make([]byte, 16)
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	return &millracev1.TraceContext{TraceId: id, SpanId: w.rng.Uint64() | 1, Flags: 1}
}

// tree generates a call and those it makes, and notes what is true of them.
func (w *world) tree(c call, trace [16]byte, parent uint64, depth int) {
	if c.client {
		w.side(c, millracev1.Side_SIDE_CLIENT)
		w.expected[identity.Span(c.key, millracev1.Side_SIDE_CLIENT)] = truth{trace, parent}
		parent = identity.Span(c.key, millracev1.Side_SIDE_CLIENT)
	}
	if !c.server {
		return
	}
	w.side(c, millracev1.Side_SIDE_SERVER)
	span := identity.Span(c.key, millracev1.Side_SIDE_SERVER)
	w.expected[span] = truth{trace, parent}
	if depth == 0 {
		return
	}
	for range w.rng.IntN(4) {
		length := c.end - c.start
		start := c.start + length/10 + w.rng.Int64N(length/2+1)
		child := call{
			key: w.key(), start: start, end: start + (c.end-start)/2 + 1, client: true, server: w.rng.IntN(8) > 0, cause: &c.key,
		}
		// A proxy may pass on the header as it is.
		if c.context != nil && w.rng.IntN(3) > 0 {
			child.context, child.forwarded = c.context, true
		}
		w.tree(child, trace, span, depth-1)
	}
}

// root generates a tree of a random kind that starts at a time.
func (w *world) root(start int64) {
	length := int64(time.Millisecond) * (1 + w.rng.Int64N(200))
	if w.rng.IntN(10) == 0 {
		length = int64(time.Second) * (1 + w.rng.Int64N(20))
	}
	c := call{key: w.key(), start: start, end: start + length, server: true}
	trace, parent := identity.Trace(c.key), uint64(0)
	switch w.rng.IntN(4) {
	case 0: // A watched client begins it.
		c.client = true
	case 1: // A client that is not watched names its trace.
		c.context = w.context()
	case 2: // A watched client with a tracing library of its own.
		c.client, c.context = true, w.context()
	}
	if c.context != nil {
		trace, parent = [16]byte(c.context.TraceId), c.context.SpanId
	}
	w.tree(c, trace, parent, 8)
}

// check compares what came out with the truth.
func (w *world) check() {
	w.t.Helper()
	for id, want := range w.expected {
		got, found := w.spans[id]
		switch {
		case !found:
			w.t.Errorf("span %x is missing", id)
		case [16]byte(got.TraceId) != want.trace:
			w.t.Errorf("span %x of trace %x, want %x", id, got.TraceId, want.trace)
		case got.ParentSpanId != want.parent:
			w.t.Errorf("span %x has parent %x, want %x", id, got.ParentSpanId, want.parent)
		}
	}
	if len(w.spans) != len(w.expected) {
		w.t.Errorf("%d spans, want %d", len(w.spans), len(w.expected))
	}
}
