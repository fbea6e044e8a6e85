package stage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// simInstance is an instance of the stage: a real coordinator and real sessions, with simulated messages between them
// and the server.
type simInstance struct {
	s     *simulation
	id    string
	c     *coordinator
	rate  float64 // of its clock
	start time.Duration

	dead, leaving bool
	leasesWatched bool
	lied          bool // its clock stood still
	pausedUntil   time.Duration
	cutUntil      time.Duration
	inbox         []simArrival // what arrived while paused
	beat          uint64
	watched       [2]time.Duration // when the newest event of each watch arrives: events stay in order
	workers       [simPartitions]*simWorker
	checkpoints   int
}

// simArrival is something that an instance is to do. What comes by a watch (0, 1; -1 is anything else) stays in order.
type simArrival struct {
	watch int
	run   func()
}

type simWorker struct {
	i        *simInstance
	p        int
	epoch    uint64
	revision uint64
	session  *session // nil until restored
	out      *simSink
	next     int    // index in the stream
	lapse    uint64 // coordinator.lapses of its term
	drain    bool
	over     bool
}

func (s *simulation) join() {
	i := &simInstance{
		s: s, id: fmt.Sprint("i", len(s.instances)), rate: 1 + (s.rng.Float64()-0.5)*0.04, start: time.Duration(s.rng.IntN(1e12)),
	}
	i.c = newCoordinator("sim", i.id, simPartitions, simTTL, simTTL/5)
	s.instances = append(s.instances, i)
	// The initial state of the watches: members first, then leases.
	for _, m := range s.members {
		if s.now-m.stored < 2*simTTL {
			i.watch(0, func() { i.c.roster.heard(m.id, m.revision, nil, i.clock()) })
		}
	}
	i.watch(0, func() {
		i.c.membersKnown = true
		for p := range s.leases {
			if v := s.leases[p]; v.set {
				i.watch(1, func() { i.c.leaseSeen(p, v.value, v.revision, i.clock()) })
			}
		}
		i.leasesWatched = true
		i.watch(1, func() { i.c.leasesKnown = true })
	})
	i.heartbeat()
	i.step()
}

func (i *simInstance) clock() time.Duration {
	return i.start + time.Duration(float64(i.s.now)*i.rate)
}

func (i *simInstance) valid() bool { return i.clock() < i.c.validUntil }

func (i *simInstance) cut() bool { return i.s.now < i.cutUntil }

// local runs f in the instance after d: not when it is dead, and later when it is paused.
func (i *simInstance) local(d time.Duration, f func()) { i.arrive(d, simArrival{-1, f}) }

func (i *simInstance) arrive(d time.Duration, a simArrival) {
	i.s.after(d, func() {
		switch {
		case i.dead:
		case i.s.now < i.pausedUntil:
			i.inbox = append(i.inbox, a)
		default:
			a.run()
		}
	})
}

// pause stops the instance, perhaps in the middle of what it does.
func (i *simInstance) pause(d time.Duration) {
	i.pausedUntil = i.s.now + d
	i.s.after(d, func() {
		inbox := i.inbox
		i.inbox = nil
		// What was ready runs in some order: timers, answers and watches are different goroutines. Watches stay in
		// order.
		for len(inbox) > 0 && !i.dead {
			k := i.s.rng.IntN(len(inbox))
			if which := inbox[k].watch; which >= 0 {
				k = slices.IndexFunc(inbox, func(a simArrival) bool { return a.watch == which })
			}
			a := inbox[k]
			inbox = slices.Delete(inbox, k, k+1)
			if i.s.now < i.pausedUntil {
				i.inbox = append(i.inbox, a) // Paused again by what ran before.
				continue
			}
			a.run()
		}
	})
}

// watch delivers an event of a watch, in order.
func (i *simInstance) watch(which int, f func()) {
	at := max(i.watched[which], i.s.now+i.s.delay(), i.cutUntil)
	i.watched[which] = at
	i.arrive(at-i.s.now, simArrival{which, f})
}

// call is a request to the server: f runs there and may fail to, its answer comes back and may fail to.
func (i *simInstance) call(f func() func(), failed func()) {
	s := i.s
	timeout := func() { i.local(2*time.Second, failed) }
	send := func() {
		if i.cut() || s.chance(40) {
			timeout()
			return
		}
		s.after(s.delay(), func() {
			answer := f()
			if i.cut() || s.chance(40) {
				timeout()
				return
			}
			i.local(s.delay(), answer)
		})
	}
	if s.chance(30) {
		// The process is stopped between its last look at the clock and sending.
		i.pause(time.Duration(s.rng.IntN(9000)) * time.Millisecond)
		s.after(i.pausedUntil-s.now, func() {
			if !i.dead {
				send()
			}
		})
		return
	}
	send()
}

func (i *simInstance) heartbeat() {
	i.local(time.Second, i.heartbeat)
	if i.leaving && i.c.gone() {
		i.dead = true
		i.s.members = slices.DeleteFunc(i.s.members, func(m simMember) bool { return m.id == i.id })
		for _, other := range i.s.instances {
			other.watch(0, func() { other.c.roster.left(i.id) })
		}
		return
	}
	i.beat++
	n, sent := i.beat, i.clock()
	i.c.roster.sending(n, sent)
	i.call(func() func() {
		i.s.revision++
		revision := i.s.revision
		i.s.members = slices.DeleteFunc(i.s.members, func(m simMember) bool { return m.id == i.id })
		i.s.members = append(i.s.members, simMember{i.id, revision, i.s.now})
		for _, other := range i.s.instances {
			if other == i {
				other.watch(0, func() { other.c.roster.heardSelf(n, revision) })
			} else {
				other.watch(0, func() { other.c.roster.heard(i.id, revision, nil, other.clock()) })
			}
		}
		return func() { i.c.heartbeatStored(sent, revision, i.clock()) }
	}, func() {})
}

// step is the loop of the instance and of its workers.
func (i *simInstance) step() {
	i.local(time.Duration(10+i.s.rng.IntN(100))*time.Millisecond, i.step)
	lapses := i.c.lapses
	for _, a := range i.c.decide(i.clock()) {
		i.act(a)
	}
	i.s.Lapses += int(i.c.lapses - lapses)
	for _, w := range i.workers {
		if w != nil {
			w.step()
		}
	}
}

func (i *simInstance) act(a action) {
	s := i.s
	write := func(then func(revision uint64, ok bool)) {
		i.call(func() func() {
			revision, ok := simSwap(s, &s.leases[a.partition], a.revision, a.lease)
			if ok {
				if a.kind == doAcquire && i.lied {
					s.robbed[a.partition] = revision
				}
				for _, other := range s.instances {
					if !other.leasesWatched {
						continue
					}
					other.watch(1, func() { other.c.leaseSeen(a.partition, a.lease, revision, other.clock()) })
				}
			}
			return func() { then(revision, ok) }
		}, func() { then(0, false) })
	}
	switch a.kind {
	case doAcquire:
		write(func(revision uint64, ok bool) {
			if i.c.acquired(a.partition, a.lease, revision, ok, i.clock()) {
				w := &simWorker{i: i, p: a.partition, epoch: a.lease.Epoch, lapse: i.c.lapses}
				i.workers[a.partition] = w
				w.load()
			}
		})
	case doRelease:
		write(func(revision uint64, ok bool) { i.c.released(a.partition, a.lease, revision, ok, i.clock()) })
	case doResume:
		write(func(revision uint64, ok bool) {
			if i.c.resumed(a.partition, revision, ok, i.clock()) {
				i.workers[a.partition].confirm(i.c.lapses)
			}
		})
	case doDrain:
		i.workers[a.partition].drain = true
	case doAbort:
		i.workers[a.partition].over = true
		i.workers[a.partition] = nil
	}
}

// end ends a worker by itself.
func (w *simWorker) end(err error) {
	if w.over {
		return
	}
	w.over = true
	w.i.workers[w.p] = nil
	if errors.Is(err, errFenced) {
		w.i.s.Fenced++
	}
	if err == nil {
		w.i.s.HandOvers++
		if s := w.i.s; s.last[w.p] == w {
			s.last[w.p] = nil
		}
	}
	w.i.c.stopped(w.p, err != nil, false, w.i.clock())
}

func (w *simWorker) valid() bool { return !w.over && w.i.valid() && w.lapse == w.i.c.lapses }

// enter is asked in the middle of a step, when the lease was valid at its beginning.
func (w *simWorker) enter() context.Context {
	if !w.valid() {
		return nil
	}
	return context.Background()
}

// confirm does what [instance.confirm] does.
func (w *simWorker) confirm(lapse uint64) {
	i, s := w.i, w.i.s
	again := func() {
		if !w.over && i.c.lapses == lapse {
			i.local(200*time.Millisecond, func() { w.confirm(lapse) })
		}
	}
	i.call(func() func() {
		v := s.manifests[w.p]
		if v.beforeKnown && s.chance(5) {
			v.value, v.revision = v.before, v.older
		}
		return func() {
			switch {
			case w.over || i.c.lapses != lapse:
			case w.session == nil, v.revision == w.revision, strings.HasPrefix(v.value.writer, i.id+"-") && v.value.epoch == w.epoch:
				w.lapse = lapse
				if w.session != nil {
					s.Resumes++
				}
			case v.revision == 0, v.revision > w.revision:
				w.end(errFenced)
			default:
				again()
			}
		}
	}, again)
}

// load reads the checkpoint, maybe an old one, and seals it.
func (w *simWorker) load() {
	i, s := w.i, w.i.s
	again := func() { i.local(50*time.Millisecond, w.load) }
	if w.over {
		return
	}
	i.call(func() func() {
		v := s.manifests[w.p]
		if v.beforeKnown && s.chance(5) {
			v.value, v.revision = v.before, v.older // A follower that is behind.
		}
		return func() {
			if !w.valid() {
				w.end(errLapsed)
				return
			}
			i.call(func() func() {
				sealed := v.value
				sealed.epoch = max(w.epoch, sealed.epoch+1)
				revision, ok := simSwap(s, &s.manifests[w.p], v.revision, sealed)
				return func() {
					if !ok {
						again()
						return
					}
					w.restore(v.value, revision)
				}
			}, again)
		}
	}, again)
}

func (w *simWorker) restore(m simManifest, revision uint64) {
	i := w.i
	if w.over {
		return
	}
	i.s.Takeovers++
	if i.s.last[w.p] != nil {
		i.s.broken[w.p]++
	}
	i.s.last[w.p] = w
	processor := &simProcessor{
		partition: w.p, check: func() { i.s.check(i, w.p) },
		send: func(second int64, state simState) { i.s.leave(i, w.p, second, state) },
	}
	if m.snapshot != nil {
		_ = processor.Restore(m.snapshot)
	}
	w.revision = revision
	w.out = &simSink{w: w}
	w.session = &session{
		processor: processor, out: w.out, enter: w.enter, tickEvery: 100 * time.Millisecond, interval: 3 * time.Second, marks: "mark",
		position: m.sequence, changed: m.sequence, saved: m.sequence, told: m.told, savedTold: m.told, due: i.clock() + 3*time.Second,
	}
	w.next = int(m.sequence)
}

func (w *simWorker) step() {
	s := w.i.s
	if w.session == nil || !w.valid() {
		return // Stands still.
	}
	if !w.drain && !w.i.cut() {
		var batch []Record
		from := w.next
		if s.chance(20) {
			from = max(0, from-s.rng.IntN(40)) // A consumer that was made again, too early.
			s.Repeated++
		}
		for w.next = from; w.next < len(s.stream) && len(batch) < 24; w.next++ {
			if s.owner[w.next] == w.p || s.owner[w.next] == simMark {
				batch = append(batch, s.stream[w.next])
			}
		}
		if err := w.session.deliver(batch); err != nil {
			w.end(err)
			return
		}
		if w.next == len(s.stream) && len(batch) == 0 {
			w.mark()
		}
		// What a tick of the worker does, which tells nothing new.
		if err := w.session.tick(w.session.told); err != nil {
			w.end(err)
			return
		}
	}
	if err := w.session.prepare(w.i.clock(), w.drain); err != nil {
		w.end(err)
		return
	}
	pending, err := w.session.ready()
	switch {
	case err != nil:
		w.end(err)
	case pending != nil:
		w.i.checkpoints++
		w.write(simManifest{
			sequence: pending.position, told: pending.told, snapshot: slices.Clone(pending.snapshot),
			writer: fmt.Sprint(w.i.id, "-", w.i.checkpoints), epoch: w.epoch,
		})
	case w.drain && w.session.pending == nil && !w.session.unsaved(true):
		w.end(nil)
	}
}

// mark puts a mark of time where there was none for a while. It may get lost, or come late.
func (w *simWorker) mark() {
	i, s := w.i, w.i.s
	if s.now-s.marked < markAfter {
		return
	}
	s.Marks++
	i.call(func() func() {
		s.store(simMark)
		return func() {}
	}, func() {})
}

// write does what [worker.write] does.
func (w *simWorker) write(m simManifest) {
	i, s, before := w.i, w.i.s, w.revision
	if w.over {
		return
	}
	if !w.valid() {
		i.local(enterPoll, func() { w.write(m) })
		return
	}
	stored := func(revision uint64) {
		if !w.over {
			w.revision = revision
			w.session.stored()
		}
	}
	unknown := func() {
		if w.over {
			return
		}
		i.call(func() func() {
			v := s.manifests[w.p]
			return func() {
				switch {
				case v.value.writer == m.writer:
					stored(v.revision)
				case v.revision > before:
					w.end(errFenced)
				default:
					w.write(m)
				}
			}
		}, func() { w.write(m) })
	}
	i.call(func() func() {
		revision, ok := simSwap(s, &s.manifests[w.p], before, m)
		if ok {
			s.checkpointed(w.p, m)
		}
		return func() {
			if ok {
				stored(revision)
			} else {
				unknown()
			}
		}
	}, unknown)
}

// checkpointed checks a checkpoint that was just stored: its state is the sequential one, and what it covers is stored.
func (s *simulation) checkpointed(p int, m simManifest) {
	processor := &simProcessor{}
	_ = processor.Restore(m.snapshot)
	n := int(processor.state.count)
	if n > len(s.truth[p]) || n > 0 && s.truth[p][n-1] != processor.state {
		s.errorf("checkpoint of partition %d at %d has state %v", p, m.sequence, processor.state)
		return
	}
	for k := n; k > max(0, n-100); k-- {
		if _, found := s.stored[fmt.Sprint(p, ".", k)]; !found {
			s.errorf("checkpoint of partition %d covers output %d, which is not stored", p, k)
			return
		}
	}
}

// simSink publishes into the simulated stream of outputs, which stores each id once.
type simSink struct {
	w    *simWorker
	n    uint64
	acks []bool
	done uint64
}

func (o *simSink) Publish(_, id string, data []byte) {
	i, s, index, data := o.w.i, o.w.i.s, o.n, bytes.Clone(data)
	o.n++
	o.acks = append(o.acks, false)
	var send func()
	send = func() {
		i.call(func() func() {
			var p, n int
			if _, err := fmt.Sscanf(strings.ReplaceAll(id, ".", " "), "%d %d", &p, &n); err != nil {
				s.errorf("output %q", id)
			}
			state := simState{uint64(n), binary.BigEndian.Uint64(data)}
			if n > len(s.truth[p]) || s.truth[p][n-1] != state {
				s.errorf("output %s is %v", id, state)
			}
			s.stored[id] = state
			return func() { o.acks[index] = true }
		}, func() {
			if !o.w.over {
				send()
			}
		})
	}
	send()
}

func (o *simSink) issued() uint64 { return o.n }

func (o *simSink) settled() (uint64, error) {
	for o.done < o.n && o.acks[o.done] {
		o.done++
	}
	return o.done, nil
}
