package causality

import (
	"slices"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/stream"
)

// Limits of one process.
const (
	// generation is how many tasks are remembered before those not seen for that long are forgotten.
	generation = 16384
	// maxServing bounds the requests in progress on one task.
	maxServing = 1024
	// maxChain bounds the steps from a task to the one that serves.
	maxChain = 8
	// maxHandoffs bounds the hand-overs of one task that are bound to a connection.
	maxHandoffs = 64
	// maxTurns bounds the turns of an event loop that are remembered.
	maxTurns = 64
)

// Task is a goroutine id, or a thread id with the top bit set; 0 is none.
type Task uint64

const threadBit = 1 << 63

// Goroutine gives the task of a goroutine; 0 for 0.
func Goroutine(id uint64) Task { return Task(id &^ threadBit) }

// Thread gives the task of a thread; 0 for 0.
func Thread(id uint32) Task {
	if id == 0 {
		return 0
	}
	return Task(threadBit | uint64(id))
}

// TaskOf gives the task of an actor.
func TaskOf(a *stream.Actor) Task {
	if a.Goroutine != 0 {
		return Goroutine(a.Goroutine)
	}
	return Thread(a.Thread)
}

// ID is the task as published: goroutine id, else thread id.
func (t Task) ID() uint64 { return uint64(t) &^ threadBit }

// Request is a server exchange that a task serves.
type Request struct {
	Key identity.Key
	// Start is when its head was read, End when the last byte of its response was written (0: not yet). Node time, ns.
	Start, End int64
	// Trace and Span are the trace context that it carried; Span 0: none.
	Trace [16]byte
	Span  uint64
}

type handoff struct {
	from   Task
	socket uint64 // 0: all connections
	at     int64
}

type task struct {
	parent    Task
	firstSeen int64 // node time, ns
	serving   []Request
	last      Request // the one that ended last
	handoffs  []handoff
	// loop: requests of several connections were in progress at once, so the task is an event loop and its turns are
	// noted.
	loop  bool
	turns []turn // ascending by time
}

// turn is when an event loop went on with a request: it had read it, or the response to a call that it had caused. The
// zero key is for work that no known request caused.
type turn struct {
	at  int64
	key identity.Key
}

// Cause is what Tracker.Cause found.
type Cause struct {
	Request
	Kind millracev1.CauseKind
}

// Tracker knows the tasks of one process. It is not safe for concurrent use.
type Tracker struct {
	young, old map[Task]*task
	limit      int
	held       int
	total      *int // sum of held of several trackers, nil: not wanted
}

// New makes a Tracker that keeps in total, which may be nil, how many bytes it and others hold in sum.
func New(total *int) *Tracker {
	return &Tracker{young: map[Task]*task{}, limit: generation, total: total}
}

// Held is how many bytes the tracker holds, not less than they take in AppendState.
func (t *Tracker) Held() int { return t.held }

func (t *Tracker) hold(n int) {
	t.held += n
	if t.total != nil {
		*t.total += n
	}
}

// Forget forgets all tasks.
func (t *Tracker) Forget() {
	t.hold(-t.held)
	t.young, t.old = map[Task]*task{}, nil
}

// Bytes that the parts of a task take, at least as much as in a snapshot.
const taskBytes, requestBytes, handoffBytes, turnBytes = 120, 80, 30, 40

func (k *task) held() int {
	return taskBytes + requestBytes*len(k.serving) + handoffBytes*len(k.handoffs) + turnBytes*len(k.turns)
}

func heldBy(tasks map[Task]*task) (n int) {
	for _, k := range tasks {
		n += k.held()
	}
	return n
}

// Empty reports whether nothing is known.
func (t *Tracker) Empty() bool { return len(t.young) == 0 && len(t.old) == 0 }

func (t *Tracker) find(id Task) *task {
	if k := t.young[id]; k != nil {
		return k
	}
	k := t.old[id]
	if k != nil {
		delete(t.old, id)
		t.put(id, k)
	}
	return k
}

func (t *Tracker) put(id Task, k *task) {
	if len(t.young) >= t.limit {
		old := t.old
		t.old = t.young
		t.young = make(map[Task]*task, 64)
		var serving []Task // in progress: not forgotten
		for i, o := range old {
			if len(o.serving) > 0 {
				serving = append(serving, i)
			}
		}
		if most := t.limit / 2; len(serving) > most { // always the same ones, whoever decodes this
			slices.Sort(serving)
			serving = serving[:most]
		}
		for _, i := range serving {
			t.young[i] = old[i]
		}
		t.hold(heldBy(t.young) - heldBy(old))
	}
	t.young[id] = k
}

func (t *Tracker) obtain(id Task, now int64) *task {
	k := t.find(id)
	if k == nil {
		k = &task{firstSeen: now}
		t.put(id, k)
		t.hold(k.held())
	}
	return k
}

// Saw takes note of a task at work.
func (t *Tracker) Saw(a *stream.Actor, now int64) {
	id := TaskOf(a)
	if id == 0 {
		return
	}
	k := t.obtain(id, now)
	if k.parent == 0 && a.Goroutine != 0 {
		k.parent = Goroutine(a.Parent)
	}
}

// Started takes note of a new task and the one that made it. Thread and goroutine ids are used again, so what was known
// of the id before is forgotten.
func (t *Tracker) Started(id, parent Task, now int64) {
	if id == 0 {
		return
	}
	k := t.obtain(id, now)
	before := k.held()
	*k = task{parent: parent, firstSeen: now}
	t.hold(k.held() - before)
}

// Ended forgets a task.
func (t *Tracker) Ended(id Task) {
	for _, m := range []map[Task]*task{t.young, t.old} {
		if k := m[id]; k != nil {
			t.hold(-k.held())
			delete(m, id)
		}
	}
}

// Handoff takes note that id acts for from, on socket or, if that is 0, on all.
func (t *Tracker) Handoff(id, from Task, socket uint64, now int64) {
	if id == 0 || id == from {
		return
	}
	k := t.obtain(id, now)
	for i := range k.handoffs {
		if k.handoffs[i].socket == socket {
			k.handoffs[i] = handoff{from, socket, now}
			return
		}
	}
	if len(k.handoffs) >= maxHandoffs {
		k.handoffs = slices.Delete(k.handoffs, 0, 1)
		t.hold(-handoffBytes)
	}
	t.hold(handoffBytes)
	k.handoffs = append(k.handoffs, handoff{from, socket, now})
}

// Serve says that id serves r from r.Start on.
func (t *Tracker) Serve(id Task, r Request) {
	if id == 0 {
		return
	}
	k := t.obtain(id, r.Start)
	before := k.held()
	if len(k.serving) >= maxServing {
		k.serving = slices.Delete(k.serving, 0, 1)
	}
	k.serving = append(k.serving, r)
	if k.loop {
		k.turned(r.Start, r.Key)
		t.hold(k.held() - before)
		return
	}
	k.loop = slices.ContainsFunc(k.serving, func(o Request) bool { return o.Key.Flow != r.Key.Flow })
	if k.loop {
		for i := range k.serving {
			k.turned(k.serving[i].Start, k.serving[i].Key)
		}
	}
	t.hold(k.held() - before)
}

// Resumed says that id read the response to a call that the request cause (zero: none) had caused.
func (t *Tracker) Resumed(id Task, cause identity.Key, at int64) {
	if k := t.find(id); k != nil && k.loop {
		before := k.held()
		k.turned(at, cause)
		t.hold(k.held() - before)
	}
}

func (k *task) turned(at int64, key identity.Key) {
	if !k.loop {
		return
	}
	if len(k.turns) >= maxTurns {
		k.turns = slices.Delete(k.turns, 0, maxTurns/4)
	}
	i := len(k.turns)
	for i > 0 && k.turns[i-1].at > at {
		i--
	}
	k.turns = slices.Insert(k.turns, i, turn{at, key})
}

// Served says that id has written the response to key.
func (t *Tracker) Served(id Task, key identity.Key, end int64) {
	k := t.find(id)
	if k == nil {
		return
	}
	for i := range k.serving {
		if k.serving[i].Key == key {
			k.last = k.serving[i]
			k.last.End = end
			k.serving = slices.Delete(k.serving, i, i+1)
			t.hold(-requestBytes)
			return
		}
	}
}

// Cause finds the request that caused what actor a began on socket at the given time (node time, ns). opened is when
// the connection was opened if this is the first call on it, else 0: an event loop writes to a new connection when it
// is told that it is there, turns later than the one that wanted it.
func (t *Tracker) Cause(a *stream.Actor, socket uint64, at, opened int64) (Cause, bool) {
	id := TaskOf(a)
	kind := millracev1.CauseKind_CAUSE_KIND_SAME_TASK
	created := int64(-1) // when the task nearest to the one under consideration was created for it; -1: not by creation
	for range maxChain {
		if id == 0 {
			break
		}
		k := t.find(id)
		if k == nil {
			break
		}
		if k.loop && created < 0 {
			if r, ok := k.turnOf(at, opened); ok {
				if r.Key.IsZero() {
					return Cause{}, false
				}
				return Cause{r, millracev1.CauseKind_CAUSE_KIND_INFERRED}, true
			}
		}
		if r, several, ok := k.inProgress(at, created); ok {
			if several || k.loop {
				kind = millracev1.CauseKind_CAUSE_KIND_INFERRED
			}
			return Cause{r, kind}, true
		}
		if h, ok := k.handedOver(socket, at); ok {
			// From here on only the giver's work counts: a worker's creator has nothing to do with it.
			id, created = h.from, -1
			kind = millracev1.CauseKind_CAUSE_KIND_HANDOFF
			continue
		}
		if kind == millracev1.CauseKind_CAUSE_KIND_SAME_TASK {
			kind = millracev1.CauseKind_CAUSE_KIND_CHILD_TASK
		}
		created = k.firstSeen
		id = k.parent
	}
	return Cause{}, false
}

// turnOf gives the request whose turn of an event loop it was: when the connection was opened, or else at the given
// time. The zero Request stands for none. ok is false if nothing is known about that time.
func (k *task) turnOf(at, opened int64) (r Request, ok bool) {
	if opened != 0 && opened < at {
		at = opened
	}
	i := len(k.turns)
	for i > 0 && k.turns[i-1].at > at {
		i--
	}
	if i == 0 {
		return Request{}, false
	}
	key := k.turns[i-1].key
	for j := range k.serving {
		if k.serving[j].Key == key {
			return k.serving[j], true
		}
	}
	return Request{}, key.IsZero()
}

// inProgress gives the request that the task was serving at the given time. With created >= 0 only requests that began
// before that time count: the task is asked for what it was doing when it created another.
func (k *task) inProgress(at, created int64) (r Request, several, ok bool) {
	if created >= 0 && created < at {
		at = created
	}
	n := 0
	for i := range k.serving {
		if s := &k.serving[i]; s.Start <= at {
			n++
			if !ok || s.Start >= r.Start {
				r, ok = *s, true
			}
		}
	}
	if !ok && k.last.End != 0 && k.last.Start <= at && at <= k.last.End {
		return k.last, false, true
	}
	return r, n > 1, ok
}

// handedOver finds the hand-over that applies on socket at the given time.
func (k *task) handedOver(socket uint64, at int64) (found handoff, ok bool) {
	for _, h := range k.handoffs {
		if h.socket == socket || h.socket == 0 {
			if h.at <= at && (!ok || h.socket != 0 && found.socket == 0 || h.at > found.at && (h.socket != 0) == (found.socket != 0)) {
				found, ok = h, true
			}
		}
	}
	return found, ok
}
