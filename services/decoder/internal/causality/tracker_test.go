package causality

import (
	"testing"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

const (
	none     = millracev1.CauseKind_CAUSE_KIND_UNSPECIFIED
	same     = millracev1.CauseKind_CAUSE_KIND_SAME_TASK
	child    = millracev1.CauseKind_CAUSE_KIND_CHILD_TASK
	handedOn = millracev1.CauseKind_CAUSE_KIND_HANDOFF
	inferred = millracev1.CauseKind_CAUSE_KIND_INFERRED
)

func request(n uint64, start int64) Request {
	return Request{Key: identity.Key{Flow: n}, Start: start}
}

func TestCause(t *testing.T) {
	t.Parallel()
	g := func(id, parent uint64) *stream.Actor { return &stream.Actor{Goroutine: id, Parent: parent, Thread: 99} }
	th := func(id uint32) *stream.Actor { return &stream.Actor{Thread: id} }
	tests := []struct {
		name  string
		setup func(*Tracker)
		actor *stream.Actor
		at    int64
		want  uint64
		kind  millracev1.CauseKind
	}{
		{"nothing known", func(*Tracker) {}, g(1, 0), 10, 0, none},
		{"same goroutine", func(k *Tracker) { k.Serve(Goroutine(1), request(7, 5)) }, g(1, 0), 10, 7, same},
		{"same thread", func(k *Tracker) { k.Serve(Thread(1), request(7, 5)) }, th(1), 10, 7, same},
		{"a goroutine is not the thread of that number", func(k *Tracker) { k.Serve(Thread(1), request(7, 5)) }, g(1, 0), 10, 0, none},
		{"begun before the request was read", func(k *Tracker) { k.Serve(Goroutine(1), request(7, 5)) }, g(1, 0), 4, 0, none},
		{"after the response", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Served(Goroutine(1), identity.Key{Flow: 7}, 0, 8)
		}, g(1, 0), 10, 0, none},
		{"before the response, reported after it", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Served(Goroutine(1), identity.Key{Flow: 7}, 0, 12)
		}, g(1, 0), 10, 7, same},
		{"child goroutine", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Saw(g(2, 1), 9)
		}, g(2, 1), 10, 7, child},
		{"goroutine made for an earlier request", func(k *Tracker) {
			k.Saw(g(2, 1), 3)
			k.Serve(Goroutine(1), request(7, 5))
		}, g(2, 1), 10, 0, none},
		{"grandchild", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Started(Goroutine(3), Goroutine(2), 7)
		}, g(3, 2), 10, 7, child},
		{"child thread", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Started(Thread(2), Thread(1), 6)
		}, th(2), 10, 7, child},
		{"hand-over", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Serve(Goroutine(2), request(8, 5))
			k.Saw(g(3, 1), 6)
			k.Handoff(Goroutine(3), Goroutine(2), 0, 9)
		}, g(3, 1), 10, 8, handedOn},
		{"hand-over to none", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Saw(g(3, 1), 6)
			k.Handoff(Goroutine(3), Goroutine(2), 0, 9)
		}, g(3, 1), 10, 0, none},
		{"hand-over by a child of the one that serves", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Handoff(Goroutine(3), Goroutine(2), 0, 9)
		}, g(3, 0), 10, 7, handedOn},
		{"hand-over on another connection", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Handoff(Goroutine(3), Goroutine(1), 77, 9)
		}, g(3, 0), 10, 0, none},
		{"event loop", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
		}, th(1), 10, 8, inferred},
		{"event loop goes on with the response to a call of an older request", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Resumed(Thread(1), identity.Key{Flow: 7}, false, 9)
		}, th(1), 10, 7, inferred},
		{"event loop goes on with work of its own", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Resumed(Thread(1), identity.Key{}, false, 9)
		}, th(1), 10, 0, none},
		{"event loop with one request left", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Served(Thread(1), identity.Key{Flow: 7}, 0, 8)
		}, th(1), 10, 8, inferred},
		{"pipelining is no event loop", func(k *Tracker) {
			k.Serve(Thread(1), Request{Key: identity.Key{Flow: 7}, Start: 5})
			k.Served(Thread(1), identity.Key{Flow: 7}, 0, 6)
			k.Serve(Thread(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 5})
		}, th(1), 10, 7, same},
		{"creator in a circle", func(k *Tracker) {
			k.Started(Thread(1), Thread(2), 1)
			k.Started(Thread(2), Thread(1), 1)
		}, th(1), 10, 0, none},
		{"task ended", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Ended(Thread(1))
		}, th(1), 10, 0, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := New(nil)
			tt.setup(k)
			for range 2 { // again after a restart
				c, answer := k.Cause(tt.actor, Call{Socket: 1, At: tt.at})
				if c.Key.Flow != tt.want || c.Kind != tt.kind || c.Candidate || (answer == Found) != (tt.want != 0) {
					t.Fatalf("got %d %v %v, want %d %v", c.Key.Flow, c.Kind, c.Candidate, tt.want, tt.kind)
				}
				w := &snapshot.Writer{}
				k.AppendState(w)
				k = New(nil)
				r := snapshot.NewReader(w.B)
				if k.RestoreState(r, LayoutStreams); !r.Done() {
					t.Fatal("state does not come back")
				}
			}
		})
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	k := New(nil)
	k.Serve(Goroutine(1), request(7, 5))
	for i := range uint64(10 * generation) {
		k.Saw(&stream.Actor{Goroutine: i + 2}, 9)
	}
	if n := len(k.young) + len(k.old); n > 2*generation {
		t.Fatalf("%d tasks are remembered", n)
	}
	if _, answer := k.Cause(&stream.Actor{Goroutine: 1}, Call{At: 10}); answer != Found {
		t.Fatal("a task that is serving was forgotten")
	}
}

func TestNewConnectionOfAnEventLoop(t *testing.T) {
	t.Parallel()
	k := New(nil)
	k.Serve(Thread(1), request(7, 5))
	k.Serve(Thread(1), request(8, 6)) // opens a connection at 7
	k.Serve(Thread(1), request(9, 8))
	if c, answer := k.Cause(&stream.Actor{Thread: 1}, Call{1, 10, 7}); answer != Found || c.Key.Flow != 8 {
		t.Errorf("written at 10 on a connection opened at 7: %d", c.Key.Flow)
	}
	if c, answer := k.Cause(&stream.Actor{Thread: 1}, Call{1, 10, 0}); answer != Found || c.Key.Flow != 9 {
		t.Errorf("written at 10 on an older connection: %d", c.Key.Flow)
	}
}
