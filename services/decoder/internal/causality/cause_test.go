package causality

import (
	"testing"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

func key(n uint64) identity.Key { return identity.Key{Flow: n} }

func restored(t *testing.T, k *Tracker) *Tracker {
	t.Helper()
	w := &snapshot.Writer{}
	k.AppendState(w)
	again := New(nil)
	r := snapshot.NewReader(w.B)
	if again.RestoreState(r, LayoutStreams); !r.Done() {
		t.Fatal("state does not come back")
	}
	return again
}

// TestNotForEver: what a request made works for it only as long as it is open, and what is not certain is not said to
// be.
func TestNotForEver(t *testing.T) {
	t.Parallel()
	th := func(id uint32) *stream.Actor { return &stream.Actor{Thread: id} }
	g := func(id, parent uint64) *stream.Actor { return &stream.Actor{Goroutine: id, Parent: parent, Thread: 99} }
	tests := []struct {
		name      string
		setup     func(*Tracker)
		actor     *stream.Actor
		at        int64
		want      uint64
		kind      millracev1.CauseKind
		candidate bool
	}{
		{"thread of a pool, its maker's request is over", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Started(Thread(2), Thread(1), 6)
			k.Served(Thread(1), key(7), Thread(1), 8)
		}, th(2), 10, 0, none, false},
		{"thread of a pool, its maker serves another request", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Started(Thread(2), Thread(1), 6)
			k.Served(Thread(1), key(7), Thread(1), 8)
			k.Serve(Thread(1), request(8, 9))
		}, th(2), 10, 0, none, false},
		{"goroutine that polls through a pooled connection", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Served(Goroutine(1), key(7), Goroutine(1), 8)
			k.Handoff(Goroutine(3), Goroutine(2), 0, 9)
		}, g(3, 0), 10, 0, none, false},
		{"goroutine whose call began before the response was complete", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Served(Goroutine(1), key(7), Goroutine(1), 12)
		}, g(2, 1), 10, 7, child, false},
		{"goroutine that is older than what is reported of its program", func(k *Tracker) {
			k.Started(Goroutine(3), Goroutine(1), 4)
			k.Serve(Goroutine(1), request(7, 5))
			k.Saw(g(2, 1), 9)
		}, g(2, 1), 10, 0, none, false},
		{"thread that serves requests itself", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Started(Thread(2), Thread(1), 6)
			k.Serve(Thread(2), request(8, 7))
			k.Served(Thread(2), key(8), Thread(2), 8)
		}, th(2), 10, 0, none, false},
		{"reader of requests that others answer", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Served(Thread(1), key(7), Thread(2), 6)
			k.Serve(Thread(1), request(9, 6))
			k.Served(Thread(1), key(9), Thread(2), 6)
			k.Serve(Thread(1), request(8, 7))
		}, th(1), 10, 8, inferred, true},
		{"reader of one connection, on which others write", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Served(Goroutine(1), key(7), Goroutine(2), 6)
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 7})
		}, g(1, 0), 10, 7, same, false},
		{"reader of requests that threads answer which it makes for them", func(k *Tracker) {
			k.Serve(Thread(1), request(6, 3))
			k.Served(Thread(1), key(6), Thread(1), 4)
			k.Serve(Thread(1), request(7, 5))
			k.Started(Thread(2), Thread(1), 5)
			k.Served(Thread(1), key(7), Thread(2), 6)
			k.Serve(Thread(1), request(8, 7))
		}, th(1), 10, 8, same, false},
		{"thread that also calls when it serves nothing", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 1))
			k.Served(Thread(1), key(7), Thread(1), 2)
			k.Cause(&stream.Actor{Thread: 1}, Call{At: 4})
			k.Serve(Thread(1), request(8, 5))
		}, th(1), 10, 8, inferred, false},
		{"event loop, the turn's request is over and several remain", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Serve(Thread(1), request(9, 7))
			k.Served(Thread(1), key(9), Thread(1), 8)
		}, th(1), 10, 8, inferred, true},
		{"event loop, the turn's request is over and one remains", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Served(Thread(1), key(8), Thread(1), 8)
		}, th(1), 10, 7, inferred, false},
		{"the same of a loop with work of its own", func(k *Tracker) {
			k.Serve(Thread(1), request(6, 1))
			k.Serve(Thread(1), request(7, 1))
			k.Served(Thread(1), key(6), Thread(1), 2)
			k.Served(Thread(1), key(7), Thread(1), 2)
			k.Cause(&stream.Actor{Thread: 1}, Call{At: 4})
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Served(Thread(1), key(8), Thread(1), 8)
		}, th(1), 10, 7, inferred, true},
		{"event loop goes on with the response to a call of a candidate", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Resumed(Thread(1), key(8), true, 9)
		}, th(1), 10, 8, inferred, true},
		{"goroutine made in the turn of a request of several on one connection", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 7})
			k.Served(Goroutine(1), key(8), Goroutine(3), 8)
		}, g(2, 1), 10, 7, inferred, false},
		{"requests of one connection that were read at once", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 5})
			k.Started(Goroutine(2), Goroutine(1), 6)
		}, g(2, 1), 10, 7, inferred, true},
		{"one of two that were read at once remains", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 5})
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Served(Goroutine(1), identity.Key{Flow: 7, Offset: 9}, Goroutine(1), 8)
		}, g(2, 1), 10, 7, inferred, true},
		{"goroutine of one connection with several requests, made nobody knows when", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 7})
			k.Saw(g(2, 1), 9)
		}, g(2, 1), 10, 7, inferred, true},
		{"goroutine whose request on the connection is over, others are not", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 3))
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 9}, Start: 5})
			k.Started(Goroutine(2), Goroutine(1), 6)
			k.Serve(Goroutine(1), Request{Key: identity.Key{Flow: 7, Offset: 20}, Start: 7})
			k.Served(Goroutine(1), identity.Key{Flow: 7, Offset: 9}, Goroutine(1), 8)
			k.Served(Goroutine(1), identity.Key{Flow: 7, Offset: 20}, Goroutine(1), 9)
		}, g(2, 1), 10, 0, none, false},
		{"thread that an event loop made in a request's turn", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 6))
			k.Resumed(Thread(1), key(7), false, 8)
			k.Started(Thread(2), Thread(1), 9)
			k.Resumed(Thread(1), key(8), false, 10)
		}, th(2), 10, 7, inferred, false},
		{"a loop by its runtime, one request", func(k *Tracker) {
			k.SetLoops(true)
			k.Serve(Thread(1), request(7, 5))
		}, th(1), 10, 7, inferred, false},
		{"a loop by its runtime, after the response to work of its own", func(k *Tracker) {
			k.SetLoops(true)
			k.Serve(Thread(1), request(7, 5))
			k.Resumed(Thread(1), identity.Key{}, false, 9)
		}, th(1), 10, 0, none, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := New(nil)
			tt.setup(k)
			for range 2 { // again after a restart
				c, answer := k.Cause(tt.actor, Call{Socket: 1, At: tt.at})
				if c.Key.Flow != tt.want || c.Kind != tt.kind || c.Candidate != tt.candidate || (answer == Found) != (tt.want != 0) {
					t.Fatalf("got %d %v %v, want %d %v %v", c.Key.Flow, c.Kind, c.Candidate, tt.want, tt.kind, tt.candidate)
				}
				k = restored(t, k)
			}
		})
	}
}

// TestCauseOfChild: what a process does that was made while a request was served.
func TestCauseOfChild(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		setup    func(*Tracker)
		maker    Task
		made, at int64
		want     uint64
		kind     millracev1.CauseKind
		answer   Answer
	}{
		{"by the thread that serves", func(k *Tracker) { k.Serve(Thread(1), request(7, 5)) }, Thread(1), 6, 10, 7, child, Found},
		{"by a goroutine of the one that serves", func(k *Tracker) {
			k.Serve(Goroutine(1), request(7, 5))
			k.Started(Goroutine(2), Goroutine(1), 6)
		}, Goroutine(2), 7, 10, 7, child, Found},
		{"before the request", func(k *Tracker) { k.Serve(Thread(1), request(7, 5)) }, Thread(1), 4, 10, 0, none, Nobody},
		{"it lives on after the request", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Served(Thread(1), key(7), Thread(1), 8)
		}, Thread(1), 6, 10, 0, none, Nobody},
		{"called before the request ended", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Served(Thread(1), key(7), Thread(1), 12)
		}, Thread(1), 6, 10, 7, child, Found},
		{"by another thread", func(k *Tracker) { k.Serve(Thread(1), request(7, 5)) }, Thread(2), 6, 10, 0, none, Nobody},
		{"by one that serves nothing", func(*Tracker) {}, Thread(2), 6, 10, 0, none, Unknown},
		{"reported when the thread has ended", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Served(Thread(1), key(7), Thread(1), 12)
			k.Ended(Thread(1))
		}, Thread(1), 6, 10, 7, child, Found},
		{"the thread's id is another's by now", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Served(Thread(1), key(7), Thread(1), 12)
			k.Ended(Thread(1))
			k.Started(Thread(1), Thread(9), 13)
		}, Thread(1), 6, 10, 0, none, Nobody},
		{"by an event loop in the turn of a request", func(k *Tracker) {
			k.Serve(Thread(1), request(7, 5))
			k.Serve(Thread(1), request(8, 7))
		}, Thread(1), 6, 10, 7, inferred, Found},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := New(nil)
			tt.setup(k)
			k = restored(t, k)
			c, answer := k.CauseOfChild(tt.maker, tt.made, Call{Socket: 1, At: tt.at})
			if c.Key.Flow != tt.want || c.Kind != tt.kind || answer != tt.answer {
				t.Fatalf("got %d %v %v, want %d %v %v", c.Key.Flow, c.Kind, answer, tt.want, tt.kind, tt.answer)
			}
		})
	}
}

// TestEndedThreadsGo: a server that makes a thread for each request leaves few of them behind.
func TestEndedThreadsGo(t *testing.T) {
	t.Parallel()
	total := 0
	k := New(&total)
	for i := range uint32(10 * maxEnded) {
		k.Started(Thread(i+2), Thread(1), int64(i))
		k.Serve(Thread(i+2), request(uint64(i+1), int64(i)))
		k.Served(Thread(i+2), key(uint64(i+1)), Thread(i+2), int64(i))
		k.Ended(Thread(i + 2))
		k.Started(Thread(i+1_000_000), Thread(1), int64(i)) // serves nothing
		k.Ended(Thread(i + 1_000_000))
	}
	if n := len(k.young) + len(k.old); n > maxEnded || len(k.ended) > maxEnded {
		t.Errorf("%d tasks are known, %d of them ended", n, len(k.ended))
	}
	if k.Forget(); k.Held() != 0 || total != 0 {
		t.Errorf("%d bytes are held, %d in all", k.Held(), total)
	}
}
