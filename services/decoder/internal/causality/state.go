package causality

import (
	"maps"
	"slices"

	"millrace.dev/lib/identity"
	"millrace.dev/protocols/decode/snapshot"
)

// AppendState writes the tracker to w.
func (t *Tracker) AppendState(w *snapshot.Writer) {
	w.Bool(t.serves)
	w.Bool(t.tree)
	w.Uint(uint64(len(t.ended)))
	for _, id := range t.ended {
		w.Uint(uint64(id))
	}
	for _, m := range []map[Task]*task{t.young, t.old} {
		w.Uint(uint64(len(m)))
		for _, id := range slices.Sorted(maps.Keys(m)) {
			k := m[id]
			w.Uint(uint64(id))
			w.Uint(uint64(k.parent))
			w.Int(k.firstSeen)
			w.Uint(uint64(len(k.serving)))
			for i := range k.serving {
				appendRequest(w, &k.serving[i])
			}
			w.Bool(k.last.End != 0)
			if k.last.End != 0 {
				appendRequest(w, &k.last)
			}
			w.Uint(uint64(len(k.handoffs)))
			for _, h := range k.handoffs {
				w.Uint(uint64(h.from))
				w.Uint(h.socket)
				w.Int(h.at)
			}
			for _, b := range k.bits() {
				w.Bool(*b)
			}
			w.Uint(uint64(len(k.turns)))
			for _, u := range k.turns {
				w.Int(u.at)
				appendKey(w, u.key)
			}
		}
	}
}

// bits are what is known of a task by yes or no, in the order in which they came to be kept.
func (k *task) bits() [6]*bool {
	return [6]*bool{&k.loop, &k.born, &k.moves, &k.background, &k.ended, &k.streams}
}

// Layouts of what AppendState writes.
const (
	// LayoutLoops has no more of a task's bits than whether it is an event loop: one that has a creator is taken to be
	// as old as it says, and a process with a request to serve.
	LayoutLoops Layout = iota + 1
	// LayoutBits has no tasks that have ended.
	LayoutBits
	// LayoutEnded has no tasks that serve several requests of one connection at once.
	LayoutEnded
	// LayoutStreams is the present one.
	LayoutStreams
)

// Layout is a form of a tracker's state.
type Layout uint8

// RestoreState replaces the tracker by what AppendState wrote in the given layout.
func (t *Tracker) RestoreState(r *snapshot.Reader, layout Layout) {
	t.Forget()
	t.serves, t.tree = false, false
	bits := 1
	if layout >= LayoutBits {
		t.serves, t.tree = r.Bool(), r.Bool()
		bits = 4
	}
	if layout >= LayoutEnded {
		bits = 5
		for range r.Items() {
			t.ended = append(t.ended, Task(r.Uint()))
		}
	}
	if layout >= LayoutStreams {
		bits = 6
	}
	t.hold(endedBytes * len(t.ended))
	t.old = map[Task]*task{}
	for _, m := range []map[Task]*task{t.young, t.old} {
		for range r.Items() {
			id := Task(r.Uint())
			k := &task{parent: Task(r.Uint()), firstSeen: r.Int()}
			for range r.Items() {
				k.serving = append(k.serving, readRequest(r))
			}
			if r.Bool() {
				k.last = readRequest(r)
			}
			for range r.Items() {
				k.handoffs = append(k.handoffs, handoff{Task(r.Uint()), r.Uint(), r.Int()})
			}
			for i, b := range k.bits() {
				if i < bits {
					*b = r.Bool()
				}
			}
			t.serves = t.serves || len(k.serving) > 0 || k.last.End != 0
			for range r.Items() {
				k.turns = append(k.turns, turn{r.Int(), readKey(r)})
			}
			if t.young[id] != nil || t.old[id] != nil || len(t.ended) > maxEnded || len(k.serving) > maxServing || len(k.handoffs) > maxHandoffs || len(k.turns) > maxTurns {
				r.Fail()
				return
			}
			m[id] = k
			t.hold(k.held())
		}
	}
}

func appendRequest(w *snapshot.Writer, q *Request) {
	appendKey(w, q.Key)
	w.Int(q.Start)
	w.Int(q.End)
	w.Uint(q.Span)
	if q.Span != 0 {
		w.Bytes(q.Trace[:])
	}
}

func readRequest(r *snapshot.Reader) (q Request) {
	q.Key = readKey(r)
	q.Start, q.End, q.Span = r.Int(), r.Int(), r.Uint()
	if q.Span != 0 && copy(q.Trace[:], r.Bytes()) != 16 {
		r.Fail()
	}
	return q
}

func appendKey(w *snapshot.Writer, k identity.Key) {
	w.Uint(k.Flow)
	w.Uint(k.Offset)
	w.Uint(k.Stream)
}

func readKey(r *snapshot.Reader) identity.Key {
	return identity.Key{Flow: r.Uint(), Offset: r.Uint(), Stream: r.Uint()}
}
