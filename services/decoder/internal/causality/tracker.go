package causality

import (
	"slices"

	"millrace.dev/lib/identity"
	"millrace.dev/protocols/decode/stream"
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
	// maxEnded bounds the tasks that have ended and are still known.
	maxEnded = 256
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
	born      bool  // firstSeen is when it began
	serving   []Request
	last      Request // the one that ended last
	handoffs  []handoff
	// loop: the task is an event loop, and its turns are noted.
	loop bool
	// streams: requests of one connection were in progress on the task at once, and its turns are noted. Their answers
	// may be written for it, as those of a connection that has one request after the other.
	streams bool
	turns   []turn // ascending by time
	// moves: a request that the task read was answered by another task, so what it does while a request is open need
	// not be that request's work.
	moves bool
	// background: the thread, which serves requests, made a call while it served none, so not all that it does is for
	// requests.
	background bool
	// ended: the task is in Tracker.ended.
	ended bool
}

// turn is when an event loop went on with a request: it had read it, or the response to a call that it had caused. The
// zero key is for work that no known request caused, unknownTurn for work about which nothing is known.
type turn struct {
	at  int64
	key identity.Key
}

// unknownTurn and sharedTurn are keys of no request: offsets of requests belong to a flow, which is never 0.
// sharedTurn is for several requests that the task went on with at once.
var unknownTurn, sharedTurn = identity.Key{Offset: 1}, identity.Key{Offset: 2}

// Tracker knows the tasks of one process. It is not safe for concurrent use.
type Tracker struct {
	young, old map[Task]*task
	// ended are the tasks that served requests and have ended, the latest last: what a process did that one of them
	// made may be reported later than their end.
	ended []Task
	limit int
	held  int
	total *int // sum of held of several trackers, nil: not wanted
	// loops: the process's threads are event loops, because its runtime makes them so.
	loops bool
	// serves: the process has served a request of its own.
	serves bool
	// tree: goroutines are reported as they are made, so those that were not are older.
	tree bool
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

// SetLoops says whether the threads of the process are event loops from the start, as those of Node.js are. Others are
// known for event loops once requests of several connections are in progress on them at once.
func (t *Tracker) SetLoops(loops bool) { t.loops = loops }

// Forget forgets all tasks.
func (t *Tracker) Forget() {
	t.hold(-t.held)
	t.young, t.old, t.ended = map[Task]*task{}, nil, nil
}

// Bytes that the parts of a task take, at least as much as in a snapshot.
const taskBytes, requestBytes, handoffBytes, turnBytes, endedBytes = 120, 80, 30, 40, 10

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

// Started takes note of a new task and the one that made it. Thread and goroutine ids are used again, so what was
// known of the id before is forgotten.
func (t *Tracker) Started(id, parent Task, now int64) {
	if id == 0 {
		return
	}
	k := t.obtain(id, now)
	before := k.held()
	*k = task{parent: parent, firstSeen: now, born: true}
	t.tree = t.tree || id&threadBit == 0
	t.hold(k.held() - before)
}

// Ended says that a task has ended. One that has served requests is known for a while longer.
func (t *Tracker) Ended(id Task) {
	k := t.find(id)
	if k == nil {
		return
	}
	if k.last.End == 0 && len(k.serving) == 0 {
		t.remove(id)
		return
	}
	k.ended = true
	t.hold(endedBytes)
	if t.ended = append(t.ended, id); len(t.ended) > maxEnded {
		t.hold(-endedBytes)
		first := t.ended[0]
		t.ended = slices.Delete(t.ended, 0, 1)
		if k := t.find(first); k != nil && k.ended { // its id may be another's by now
			t.remove(first)
		}
	}
}

func (t *Tracker) remove(id Task) {
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
	t.serves = true
	k.loop = k.loop || t.loops && id&threadBit != 0
	if k.loop {
		k.turned(r.Start, r.Key)
		t.hold(k.held() - before)
		return
	}
	if k.streams {
		k.turned(r.Start, r.Key)
	}
	k.loop = slices.ContainsFunc(k.serving, func(o Request) bool { return o.Key.Flow != r.Key.Flow })
	if streams := len(k.serving) > 1; !k.streams && (k.loop || streams) {
		k.streams = !k.loop
		for i := range k.serving {
			k.turned(k.serving[i].Start, k.serving[i].Key)
		}
	}
	t.hold(k.held() - before)
}

// Resumed says that id read the response to a call that the request cause (zero: none) had caused. With candidate the
// cause is not known for certain, and so not whose turn it is.
func (t *Tracker) Resumed(id Task, cause identity.Key, candidate bool, at int64) {
	if k := t.find(id); k != nil && (k.loop || k.streams) {
		before := k.held()
		if candidate {
			cause = unknownTurn
		}
		k.turned(at, cause)
		t.hold(k.held() - before)
	}
}

func (k *task) turned(at int64, key identity.Key) {
	if !k.loop && !k.streams {
		return
	}
	if len(k.turns) >= maxTurns {
		k.turns = slices.Delete(k.turns, 0, maxTurns/4)
	}
	i := len(k.turns)
	for i > 0 && k.turns[i-1].at > at {
		i--
	}
	if i > 0 && k.turns[i-1].at == at {
		if k.turns[i-1].key != key {
			k.turns[i-1].key = sharedTurn
		}
		return
	}
	k.turns = slices.Insert(k.turns, i, turn{at, key})
}

// Served says that the response to key, which id read, was written by writer (0: not known, or nobody). A task that
// reads requests of several connections and leaves their answers to others hands requests on, unless it made the other
// one for the request. The goroutine or thread of a single connection may have its answers written for it.
func (t *Tracker) Served(id Task, key identity.Key, writer Task, end int64) {
	k := t.find(id)
	if k == nil {
		return
	}
	for i := range k.serving {
		if k.serving[i].Key == key {
			several := k.loop || k.last.End != 0 && k.last.Key.Flow != key.Flow
			k.last = k.serving[i]
			k.last.End = end
			k.serving = slices.Delete(k.serving, i, i+1)
			t.hold(-requestBytes)
			k.moves = k.moves || several && writer != 0 && writer != id && !t.worksFor(writer, id, k.last.Start)
			return
		}
	}
}

// worksFor reports whether the task of made id, or a maker of it, since the given time, or handed it work.
func (t *Tracker) worksFor(id, of Task, since int64) bool {
	for range maxChain {
		k := t.find(id)
		if k == nil {
			return false
		}
		if slices.ContainsFunc(k.handoffs, func(h handoff) bool { return h.from == of && h.at >= since }) {
			return true
		}
		if k.firstSeen < since {
			return false
		}
		if id = k.parent; id == of {
			return true
		}
	}
	return false
}
