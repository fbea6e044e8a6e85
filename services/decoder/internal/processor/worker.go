package processor

import (
	"cmp"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/services/decoder/internal/causality"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// maxFree bounds the exchanges that a worker keeps for reuse, maxFreeBytes the texts of each.
const maxFree, maxFreeBytes = 4096, 4096

// worker parses connections, one after the other, and takes notes. It is what their parsers see as the sink. It
// touches nothing that connections share, so that several work at once.
type worker struct {
	options *Options
	now     int64 // Processor.now
	clock   int64 // offset of the node's clock for what is being parsed

	direct *Processor // acts on notes at once; nil: notes are kept
	notes  []note
	arena  []byte // encoded parts of notes
	free   []*decode.Exchange
	done   []*decode.Exchange // free when the notes were acted on

	detail []byte // of the exchange that is being described
	event  rawbatch.Event
	move   stream.Event
	held   int // by how much connection.held has grown in sum
	tally  tally
}

// follow handles the items of one connection.
func (w *worker) follow(r *round, number int32, c *connection) {
	c.conn.Sink = w
	for i := c.first; i >= 0; {
		it := &r.items[i]
		i = it.next
		it.worker, it.from = number, uint32(len(w.notes))
		w.clock = it.clock
		w.item(it)
		it.to = uint32(len(w.notes))
	}
	c.items = 0
}

func (w *worker) item(it *item) {
	e := &w.event
	if !e.Read(it.message) || e.Connection != it.reference || e.Time > maxTime || !isData(e.Kind) {
		count(&w.tally.malformed, "event", 1)
		return
	}
	w.data(it.c, e)
}

// data handles a send or a receive.
func (w *worker) data(c *connection, e *rawbatch.Event) {
	if e.Duration > maxTime {
		count(&w.tally.malformed, "event", 1)
		return
	}
	w.tally.events++
	m := &w.move
	m.Offset, m.Length, m.Payload, m.Segments = e.Offset, e.Length, e.Payload, e.Segments
	m.Restated, m.Restatements = e.Restated, e.Restatements
	m.Unreadable, m.Part = e.Flags&flagUnreadable != 0, e.Flags&flagPart != 0
	m.Meta.End, m.Meta.Begin = int64(e.Time), int64(e.Time)
	m.Arrival = arrivalOf(e)
	m.Meta.Actor = stream.Actor{Process: c.owner.id, Goroutine: e.Goroutine, Parent: e.ParentGoroutine, Thread: e.Thread}
	if e.Process != 0 {
		m.Meta.Actor.Process = e.Process
	}
	if e.SRTT != 0 {
		c.srtt = e.SRTT
	}
	c.retransmits = max(c.retransmits, e.Retransmits)
	c.lastData = w.now
	if c.acted(&m.Meta.Actor) {
		w.say(&note{kind: noteSaw, c: c, actor: c.lastActor, at: m.Meta.End})
	}
	if c.opaque {
		return
	}
	s := &c.receive
	if e.Kind == millracev1.EventKind_EVENT_KIND_SEND {
		s = &c.send
		m.Meta.Begin = max(0, int64(e.Time)-int64(e.Duration))
	} else if e.Length == 0 {
		c.ended, c.endOffset, c.endTime = true, e.Offset, int64(e.Time)
	}
	if e.Flags&flagConcurrent != 0 {
		s.Concurrent = true
	}
	if c.hasDatagrams() {
		w.datagram(c, s, m)
		return
	}
	if s.Push(m) || c.ended {
		if c.doubtful && s == c.conn.Responses && !s.Waiting() && !s.HasLost() {
			c.believe() // every response until now was seen
		}
		w.parse(c)
	} else {
		w.measure(c)
	}
	if s.Waiting() {
		w.say(&note{kind: noteAwait, c: c})
	}
}

// parse lets the parser of c see what is new.
func (w *worker) parse(c *connection) {
	if c.parser == nil {
		w.infer(c)
	}
	if c.parser != nil {
		if c.send.HasLost() || c.receive.HasLost() {
			c.doubt(w.now)
			if !c.conn.Client {
				w.say(&note{kind: noteLost, c: c})
			}
		}
		ending := decode.Open
		if c.noMoreResponses() {
			ending = decode.Ended
		}
		switch c.parser.Parse(&c.conn, ending) {
		case decode.GiveUp:
			w.giveUp(c)
		case decode.Opaque:
			if w.succeed(c) {
				w.parse(c)
				return
			}
			c.conn.FinishAll(decode.Closed, c.conn.Responses.Last().End)
			count(&w.tally.givenUp, given{"upgraded", c.protocol}, 1)
			c.turnOpaque()
		default:
			if ending == decode.Ended && c.conn.Open() > 0 {
				c.conn.FinishAll(decode.Closed, c.endTime)
			}
		}
	}
	for _, s := range [2]*stream.Stream{&c.send, &c.receive} {
		if s.Buffered() > w.options.MaxStreamBytes {
			s.Forget()
			count(&w.tally.givenUp, given{"buffer", c.protocol}, 1)
		}
		s.Settle()
		w.tally.duplicateBytes += s.Duplicates
		w.tally.lostBytes += s.Missing
		w.tally.hiddenBytes += s.Hidden
		if s.Malformed > 0 {
			count(&w.tally.malformed, "data", s.Malformed)
		}
		s.Duplicates, s.Missing, s.Hidden, s.Malformed = 0, 0, 0, 0
	}
	w.measure(c)
}

// New implements [decode.Sink].
func (w *worker) New() *decode.Exchange {
	if n := len(w.free); n > 0 {
		x := w.free[n-1]
		w.free = w.free[:n-1]
		return x
	}
	return &decode.Exchange{}
}

// Free implements [decode.Sink].
func (w *worker) Free(x *decode.Exchange) {
	if w.direct == nil {
		w.done = append(w.done, x)
		return
	}
	w.recycle(x)
}

func (w *worker) recycle(x *decode.Exchange) {
	if len(w.free) < maxFree && x.Memory() <= maxFreeBytes {
		w.free = append(w.free, x)
	}
}

// say takes a note, or acts on it.
func (w *worker) say(n *note) {
	if w.direct == nil {
		w.notes = append(w.notes, *n)
		return
	}
	w.direct.act(w, n)
	w.arena = w.arena[:0]
}

// reuse ends the use of the notes.
func (w *worker) reuse() {
	for _, x := range w.done {
		w.recycle(x)
	}
	clear(w.done)
	clear(w.notes)
	w.done, w.notes, w.arena = trim(w.done[:0], maxKept), trim(w.notes[:0], maxKept), trim(w.arena[:0], 64*maxKept)
}

// maxKept is how many notes a worker keeps room for, with 64 encoded bytes each.
const maxKept = 32 << 10

// trim gives up the memory that a rare large round took.
func trim[T any](s []T, limit int) []T {
	if cap(s) > limit {
		return nil
	}
	return s
}

// Started implements [decode.Sink]: it notes that a call has begun, or which task serves a request, and the links
// that say so to those who resolve traces.
func (w *worker) Started(pc *decode.Conn, x *decode.Exchange) {
	c := pc.Owner.(*connection)
	x.ClockOffset = w.clock
	x.Retransmits = c.retransmits
	x.Since = w.now // 0: set by the first tick
	if x.Ignore {
		return
	}
	n := note{c: c, x: x, kind: noteCalled, from: uint32(len(w.arena))}
	key := c.requestKey(x)
	if pc.Asks(x) {
		x.Task = causality.TaskOf(&x.First).ID()
		w.arena = appendKey(w.arena, 2, key)
	} else {
		x.Task = uint64(c.serving(&x.Head))
		if pc.Oldest() == x || pc.Order == protocols.ByID || pc.Due(x.Pushed) == x {
			w.serve(c, x)
		}
		n.kind = noteLink
		w.arena = appendKey(append(w.arena, linkServer...), 2, key)
	}
	n.split = uint32(len(w.arena))
	w.arena = appendStart(w.arena, x)
	n.to = uint32(len(w.arena))
	w.say(&n)
	w.tally.links++
}

// serving is the task that serves the request whose head a read to its end. A goroutine that only reads for the one
// that made it, and that uses the connection itself, does not count (net/http reads the first byte of the next request
// in the background).
func (c *connection) serving(a *stream.Actor) causality.Task {
	if a.Goroutine != 0 && a.Parent != 0 && (a.Parent == c.actors[0] || a.Parent == c.actors[1]) {
		return causality.Goroutine(a.Parent)
	}
	return causality.TaskOf(a)
}

// serve notes that x is being served. Where responses come in the order of requests, it is the oldest of them.
func (w *worker) serve(c *connection, x *decode.Exchange) {
	if x.Serving || x.Ignore {
		return
	}
	x.Serving = true
	w.say(&note{kind: noteServe, c: c, x: x})
}

// Responded implements [decode.Sink].
func (w *worker) Responded(pc *decode.Conn, x *decode.Exchange) {
	c := pc.Owner.(*connection)
	if x.Serving {
		w.served(c, x, x.ResponseTime, &pc.Answering(x).Last().Actor)
	}
	if x.ResponseTime != 0 && pc.Asks(x) {
		w.say(&note{kind: noteResumed, c: c, x: x, actor: c.lastActor, at: x.ResponseTime})
	}
}

func (w *worker) served(c *connection, x *decode.Exchange, at int64, writer *stream.Actor) {
	x.Serving = false
	w.say(&note{kind: noteServed, c: c, x: x, actor: *writer, at: at})
}

// Finished implements [decode.Sink].
func (w *worker) Finished(pc *decode.Conn, x *decode.Exchange) {
	c := pc.Owner.(*connection)
	if x.Serving {
		w.served(c, x, x.End, &stream.Actor{})
	}
	if !x.Ignore {
		if !x.Completes { // it was counted when it was given up
			w.tally.ended(cmp.Or(x.Said.Protocol, c.protocol), x.Outcome)
		}
		n := note{kind: noteExchange, c: c, x: x, from: uint32(len(w.arena))}
		w.arena = appendExchange(w.arena, c, x)
		n.attributes = w.describe(c, x)
		n.split = uint32(len(w.arena))
		if n.attributes && x.GoesOn() { // it may say more before the note is acted on
			w.arena = append(w.arena, x.Said.Attributes.Encoded()...)
			n.attributes = false
		}
		n.to = uint32(len(w.arena))
		w.say(&n)
	}
	next := pc.Oldest()
	if next == nil {
		c.doubtful = false
		return
	}
	if next.Pushed != pc.Client {
		next = pc.Due(pc.Client)
	}
	if next != nil && next != x && next.IsStarted() && pc.Order == protocols.FIFO {
		w.serve(c, next)
	}
}
