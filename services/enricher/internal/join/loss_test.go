package join

import (
	"testing"
	"time"

	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// The trace of a request that runs for half an hour, and of one that it causes at its end, is known when they end,
// although the partitions have long forgotten everything else.
func TestVeryLongRequest(t *testing.T) {
	t.Parallel()
	w := scene(t, defaults)
	root, middle, child := w.key(), w.key(), w.key()
	half := at(30 * time.Minute)
	context := w.context()
	sides := func(c call) {
		w.side(c, clientSide)
		w.side(c, serverSide)
	}
	sides(call{key: root, start: at(0), end: half, context: context})
	sides(call{key: middle, start: at(time.Second), end: half - 1e6, cause: &root})
	sides(call{key: child, start: half - 1e9, end: half - 5e8, cause: &middle})
	w.run(half + int64(10*time.Second))
	for _, key := range []identity.Key{root, middle, child} {
		for _, side := range []millracev1.Side{clientSide, serverSide} {
			if s, found := w.span(key, side); !found || string(s.TraceId) != string(context.TraceId) {
				t.Errorf("%v %v: found %v, %v", key, side, found, s.Span)
			}
		}
	}
}

// lone is one partition whose spans are kept in order.
type lone struct {
	*testing.T
	*Partition
	now   int64
	spans []*millracev1.Span
	last  func() *witness
}

func newLone(t *testing.T) *lone {
	settings, last := observed(Decision{})
	settings.Partitions = 1
	return &lone{T: t, Partition: New(0, settings, newCounters(t)), now: epoch, last: last}
}

func (l *lone) Publish(_, _ string, data []byte) {
	var batch millracev1.SpanBatch
	if err := batch.UnmarshalVT(data); err != nil {
		l.Fatal(err)
	}
	l.spans = append(l.spans, batch.Spans...)
}

// hear hands in exchanges and links.
func (l *lone) hear(messages ...any) {
	l.Helper()
	for _, m := range messages {
		r := stage.Record{Time: time.Unix(0, l.now)}
		var err error
		switch m := m.(type) {
		case *millracev1.Exchange:
			r.Subject = "millrace.exchange.0"
			r.Data, err = (&millracev1.ExchangeBatch{Version: 1, Exchanges: []*millracev1.Exchange{m}}).MarshalVT()
		case *millracev1.Link:
			r.Subject = "millrace.link.0"
			r.Data, err = (&millracev1.LinkBatch{Version: 1, Links: []*millracev1.Link{m}}).MarshalVT()
		}
		if err != nil {
			l.Fatal(err)
		}
		if err := l.Process(l.Context(), []stage.Record{r}, l); err != nil {
			l.Fatal(err)
		}
	}
}

// pass lets time pass, with a restart at its beginning.
func (l *lone) pass(d time.Duration) {
	l.Helper()
	snapshot, err := l.Snapshot(nil)
	if err != nil {
		l.Fatal(err)
	}
	state := l.last().state
	l.Partition = New(0, l.settings, l.counters)
	if err := l.Restore(snapshot); err != nil {
		l.Fatal(err)
	}
	if l.last().state != state {
		l.Fatal("the observer's state is another")
	}
	l.now += int64(d)
	if err := l.Tick(l.Context(), time.Unix(0, l.now), l); err != nil {
		l.Fatal(err)
	}
}

func end(key identity.Key, side millracev1.Side, outcome millracev1.Outcome) *millracev1.Exchange {
	return &millracev1.Exchange{
		Key: key.Proto(), Side: side, Outcome: outcome, StartUnixNs: uint64(epoch), EndUnixNs: uint64(epoch) + 5,
		Detail: &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{Method: "GET", Target: "/"}},
	}
}

func yes(s *millracev1.Span, key string) bool {
	return emittedSpan{Span: s}.attribute(key).GetBoolValue()
}

// What was given up and is complete after all is counted once. Its span is sent once where it had not gone out yet, and
// else once more under its id, in its trace.
func TestCompletedAfterGivenUp(t *testing.T) {
	t.Parallel()
	key := identity.Key{Flow: 5<<32 | 6, Offset: 1}
	for _, test := range []struct {
		name  string
		after time.Duration
		spans int
	}{{"while it waits", time.Second, 1}, {"after its span", 10 * time.Second, 2}, {"much later", 10 * time.Minute, 2}, {"too late", time.Hour, 1}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLone(t)
			givenUp := end(key, serverSide, millracev1.Outcome_OUTCOME_LOST)
			givenUp.GivenUp = true
			l.hear(givenUp)
			l.pass(test.after)
			completes := end(key, serverSide, millracev1.Outcome_OUTCOME_COMPLETE)
			completes.Completes, completes.EndUnixNs = true, uint64(epoch)+uint64(test.after)
			completes.GetHttp().Status = 200
			l.hear(completes, completes)
			l.pass(10 * time.Second)
			if len(l.spans) != test.spans {
				t.Fatalf("%d spans: %v", len(l.spans), l.spans)
			}
			if counted := l.last().state; counted != 1 {
				t.Errorf("counted %d times", counted)
			}
			first, last := l.spans[0], l.spans[len(l.spans)-1]
			if first.SpanId != last.SpanId || string(first.TraceId) != string(last.TraceId) || first.ParentSpanId != last.ParentSpanId {
				t.Errorf("%v became %v", first, last)
			}
			if test.spans == 2 && (!yes(last, "millrace.completes") || last.EndUnixNs != completes.EndUnixNs) || yes(first, "millrace.completes") {
				t.Errorf("%v", l.spans)
			}
			l.pass(time.Hour)
			if len(l.entries) != 0 {
				t.Errorf("%d entries are left", len(l.entries))
			}
		})
	}
}

// A trace context that one end could not see is what the other end saw. If neither knows, the trace says so; nobody
// waits for longer than the hold time.
func TestContextUnknown(t *testing.T) {
	t.Parallel()
	key := identity.Key{Flow: 5<<32 | 6, Offset: 1}
	context := &millracev1.TraceContext{TraceId: []byte("0123456789abcdef"), SpanId: 7, Flags: 1}
	start := func(kind millracev1.LinkKind, unknown bool, c *millracev1.TraceContext) *millracev1.Link {
		return &millracev1.Link{Kind: kind, Key: key.Proto(), ContextUnknown: unknown, Context: c}
	}
	const clientStarts, serverStarts = millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, millracev1.LinkKind_LINK_KIND_SERVER_STARTED
	for _, test := range []struct {
		name      string
		links     []any
		later     *millracev1.Link // a second after them
		known     time.Duration    // when the trace is decided at the latest
		trace     string           // empty: that of the key
		uncertain bool
	}{
		{"the client's head is cut, the server saw it", []any{start(clientStarts, true, nil), start(serverStarts, false, context)}, nil, 0, "0123456789abcdef", false},
		{"the server's head is cut, the client saw it", []any{start(serverStarts, true, nil), start(clientStarts, false, context)}, nil, 0, "0123456789abcdef", false},
		{"the server saw it later", []any{start(clientStarts, true, nil)}, start(serverStarts, false, context), time.Second, "0123456789abcdef", false},
		{"the server saw that there is none", []any{start(clientStarts, true, nil), start(serverStarts, false, nil)}, nil, 0, "", false},
		{"neither knows", []any{start(clientStarts, true, nil), start(serverStarts, true, nil)}, nil, 3 * time.Second, "", true},
		{"only the client, which does not know", []any{start(clientStarts, true, nil)}, nil, 3 * time.Second, "", true},
		{"only the server, which does not know", []any{start(serverStarts, true, nil)}, nil, 3 * time.Second, "", true},
		{"both know that there is none", []any{start(clientStarts, false, nil), start(serverStarts, false, nil)}, nil, 0, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLone(t)
			l.hear(test.links...)
			if test.later != nil {
				l.pass(time.Second)
				l.hear(test.later)
			} else {
				l.pass(test.known)
			}
			if e := l.entries[key]; e == nil || e.how == unknown {
				t.Fatalf("the trace is not decided: %+v", e)
			}
			for _, side := range []millracev1.Side{clientSide, serverSide} {
				l.hear(end(key, side, millracev1.Outcome_OUTCOME_COMPLETE))
			}
			l.pass(10 * time.Second)
			want := test.trace
			if want == "" {
				id := identity.Trace(key)
				want = string(id[:])
			}
			if len(l.spans) != 2 {
				t.Fatalf("%d spans", len(l.spans))
			}
			for _, s := range l.spans {
				if string(s.TraceId) != want || yes(s, "millrace.trace.uncertain") != test.uncertain {
					t.Errorf("%v", s)
				}
			}
		})
	}
}

// A call whose cause may have been lost does not begin a trace with confidence.
func TestCauseUnknown(t *testing.T) {
	t.Parallel()
	for _, unknown := range []bool{false, true} {
		key := identity.Key{Flow: 5<<32 | 6, Offset: 1}
		l := newLone(t)
		l.hear(&millracev1.Link{Kind: millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, Key: key.Proto(), CauseUnknown: unknown})
		x := end(key, clientSide, millracev1.Outcome_OUTCOME_COMPLETE)
		x.CauseUnknown = unknown
		l.hear(x)
		l.pass(10 * time.Second)
		if len(l.spans) != 1 || yes(l.spans[0], "millrace.trace.uncertain") != unknown {
			t.Errorf("%v: %v", unknown, l.spans)
		}
		// A context is certain, whatever caused the call.
		other := identity.Key{Flow: 5<<32 | 6, Offset: 100}
		y := end(other, clientSide, millracev1.Outcome_OUTCOME_COMPLETE)
		y.CauseUnknown, y.Context = unknown, &millracev1.TraceContext{TraceId: []byte("0123456789abcdef"), SpanId: 7}
		l.hear(y)
		l.pass(10 * time.Second)
		if len(l.spans) != 2 || yes(l.spans[1], "millrace.trace.uncertain") {
			t.Errorf("%v: %v", unknown, l.spans)
		}
	}
}
