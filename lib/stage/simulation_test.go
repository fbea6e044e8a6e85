package stage

import (
	"container/heap"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	simulations = flag.Int("simulations", 300, "seeds that TestSimulation tries")
	simSeed     = flag.Uint64("simulation-seed", 0, "the only seed that TestSimulation tries, if not 0")
)

// TestSimulation runs coordinators and sessions of several instances over a simulated NATS, one event after the other,
// from a seed: instances are killed, paused past their leases and cut off, clocks run at different speeds, messages and
// answers are delayed, lost and repeated, reads are stale. What must hold is checked in [simulation.check] and its
// callers.
func TestSimulation(t *testing.T) {
	t.Parallel()
	if *simSeed != 0 {
		simulate(t, *simSeed)
		return
	}
	var total simulated
	for seed := range uint64(*simulations) {
		total.add(simulate(t, seed+1))
		if t.Failed() {
			t.Fatalf("seed %d: repeat with -simulation-seed=%d", seed+1, seed+1)
		}
	}
	t.Logf("%+v", total)
	if total.Kills == 0 || total.Lapses == 0 || total.Fenced == 0 || total.Takeovers == 0 || total.HandOvers == 0 || total.Repeated == 0 || total.Resumes == 0 ||
		total.Marks == 0 || total.SentAgain == 0 {
		t.Errorf("the simulation does not reach what it should: %+v", total)
	}
}

// simulated counts what happened.
type simulated struct {
	Events, Kills, Pauses, Cuts, Lapses, Fenced, Takeovers, HandOvers, Repeated, Resumes, Marks, Sent, SentAgain int
}

func (s *simulated) add(o simulated) {
	s.Events += o.Events
	s.Kills += o.Kills
	s.Pauses += o.Pauses
	s.Cuts += o.Cuts
	s.Lapses += o.Lapses
	s.Fenced += o.Fenced
	s.Takeovers += o.Takeovers
	s.HandOvers += o.HandOvers
	s.Repeated += o.Repeated
	s.Resumes += o.Resumes
	s.Marks += o.Marks
	s.Sent += o.Sent
	s.SentAgain += o.SentAgain
}

const (
	simPartitions = 4
	simTTL        = 5 * time.Second
	simFaults     = 60 * time.Second // faults end here
	simEnd        = 100 * time.Second
)

type simEvent struct {
	at    time.Duration
	order int
	run   func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

type simulation struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	now   time.Duration
	queue simQueue
	order int

	revision  uint64
	members   []simMember // the bucket's entries
	leases    [simPartitions]simValue[Lease]
	robbed    [simPartitions]uint64 // the newest lease that was acquired by an instance whose clock stood still
	manifests [simPartitions]simValue[simManifest]
	stream    []Record // of all partitions, in order
	owner     []int    // partition of each
	truth     [simPartitions][]simState
	stored    map[string]simState       // outputs by id
	sent      map[string]simSent        // what left the stage when time passed, by partition and second
	broken    [simPartitions]int        // takeovers that were no hand-over
	last      [simPartitions]*simWorker // the newest owner, nil after a hand-over
	marked    time.Duration             // when the newest mark was put
	instances []*simInstance
	simulated
}

type simMember struct {
	id       string
	revision uint64
	stored   time.Duration
}

type simValue[T any] struct {
	value, before    T
	revision, older  uint64
	beforeKnown, set bool
}

type simManifest struct {
	sequence uint64
	told     time.Time
	snapshot []byte
	writer   string
	epoch    uint64
}

// simSent is what was sent at a boundary of time, after how many takeovers that were no hand-over, and whether by an
// instance whose clock stood still.
type simSent struct {
	state  simState
	broken int
	lied   bool
}

// simState is what the processor makes of the records so far. Any difference in order or number of records makes
// another.
type simState struct{ count, hash uint64 }

func (s simState) next(r Record) simState {
	return simState{s.count + 1, (s.hash ^ r.Sequence) * 0x9e3779b97f4a7c15}
}

func simulate(t *testing.T, seed uint64) simulated {
	s := &simulation{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), stored: map[string]simState{}, sent: map[string]simSent{}}
	for range 3 {
		s.join()
	}
	s.load()
	s.after(time.Duration(s.rng.IntN(2000))*time.Millisecond, s.fault)
	for s.queue.Len() > 0 && !t.Failed() {
		e := heap.Pop(&s.queue).(simEvent)
		if e.at > simEnd {
			break
		}
		s.now = e.at
		s.Events++
		e.run()
	}
	s.finish()
	return s.simulated
}

func (s *simulation) errorf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("seed %d at %v: %s", s.seed, s.now, fmt.Sprintf(format, args...))
}

func (s *simulation) after(d time.Duration, run func()) {
	s.order++
	heap.Push(&s.queue, simEvent{s.now + d, s.order, run})
}

// delay of a message: mostly a few milliseconds, sometimes long.
func (s *simulation) delay() time.Duration {
	d := time.Duration(1+s.rng.IntN(5)) * time.Millisecond
	if s.now < simFaults && s.rng.IntN(50) == 0 {
		d += time.Duration(s.rng.IntN(3000)) * time.Millisecond
	}
	return d
}

func (s *simulation) chance(oneIn int) bool { return s.now < simFaults && s.rng.IntN(oneIn) == 0 }

// simMark is the owner of a mark: every partition reads it.
const simMark = -1

// store puts a record or a mark at the end of the stream, stamped now, or long before: by the clock of another server,
// or by a leader that died before its successor had stored it.
func (s *simulation) store(owner int) Record {
	at := time.Unix(1000, 0).Add(s.now)
	if s.chance(20) {
		at = at.Add(-time.Duration(s.rng.IntN(3000)) * time.Millisecond)
	}
	r := Record{Sequence: uint64(len(s.stream) + 1), Time: at, Subject: "record"}
	if owner == simMark {
		r.Subject, s.marked = "mark", s.now
	}
	s.stream, s.owner = append(s.stream, r), append(s.owner, owner)
	return r
}

// load stores records.
func (s *simulation) load() {
	p := s.rng.IntN(simPartitions)
	r := s.store(p)
	var last simState
	if n := len(s.truth[p]); n > 0 {
		last = s.truth[p][n-1]
	}
	s.truth[p] = append(s.truth[p], last.next(r))
	if s.now < simEnd-20*time.Second {
		pause := time.Duration(5+s.rng.IntN(60)) * time.Millisecond
		if s.chance(100) {
			pause += time.Duration(s.rng.IntN(4000)) * time.Millisecond // Nothing comes: only marks tell the time.
		}
		s.after(pause, s.load)
	}
}

// fault does something to an instance.
func (s *simulation) fault() {
	if s.now >= simFaults {
		return
	}
	s.after(time.Duration(200+s.rng.IntN(4000))*time.Millisecond, s.fault)
	var live []*simInstance
	for _, i := range s.instances {
		if !i.dead && !i.leaving {
			live = append(live, i)
		}
	}
	i := live[s.rng.IntN(len(live))]
	kind := s.rng.IntN(6)
	if s.now < i.pausedUntil && (kind == 1 || kind == 5) {
		return // Another pause would end this one early: a clock that stood still would have gone back.
	}
	switch kind {
	case 5:
		// A virtual machine that is stopped together with its clocks: it cannot know that its leases have ended, and
		// only the fence is left.
		d := time.Duration(s.rng.IntN(15000)) * time.Millisecond
		i.pause(d)
		i.start -= time.Duration(float64(d) * i.rate)
		i.lied = true
	case 0:
		s.Kills++
		i.dead = true
		if len(live) < 3 {
			s.join()
		}
	case 1:
		s.Pauses++
		i.pause(time.Duration(s.rng.IntN(15000)) * time.Millisecond)
	case 2:
		s.Cuts++
		i.cutUntil = s.now + time.Duration(s.rng.IntN(12000))*time.Millisecond
	case 3:
		if len(live) < 6 {
			s.join()
		}
	case 4:
		if len(live) > 1 {
			i.leaving = true
			i.c.leave()
		}
	}
}

// check is the exclusion that leases give: when an instance calls a processor, no other instance has a worker whose
// lease is valid by that instance's own clock. It holds as long as clocks do not stand still: whoever trusts one that
// did may take a lease too early, and who lost it so is no better off.
func (s *simulation) check(i *simInstance, p int) {
	if i.c.holdings[p].revision < s.robbed[p] {
		return
	}
	for _, other := range s.instances {
		if other != i && other.c.holdings[p].revision >= s.robbed[p] && !other.lied && !i.lied && !other.dead && other.workers[p] != nil && other.workers[p].valid() {
			s.errorf("instances %s and %s both own partition %d", i.id, other.id, p)
		}
	}
}

// finish checks that everything was processed, once, in order.
func (s *simulation) finish() {
	for p := range simPartitions {
		var state simState
		processor := &simProcessor{partition: p}
		if m := s.manifests[p].value; m.snapshot != nil {
			_ = processor.Restore(m.snapshot)
			state = processor.state
		}
		if want := s.truth[p][len(s.truth[p])-1]; state != want {
			s.errorf("partition %d ends in state %v, want %v", p, state, want)
		}
		for n := range s.truth[p] {
			if _, found := s.stored[fmt.Sprint(p, ".", n+1)]; !found {
				s.errorf("output %d of partition %d is missing", n+1, p)
				return
			}
		}
	}
}

// swap is the compare-and-set of the server.
func simSwap[T any](s *simulation, v *simValue[T], revision uint64, value T) (uint64, bool) {
	if v.revision != revision {
		return 0, false
	}
	s.revision++
	*v = simValue[T]{value: value, revision: s.revision, before: v.value, older: v.revision, beforeKnown: true, set: true}
	return s.revision, true
}

// simProcessor counts and hashes, and emits one output per record. Whenever a second is over by the time it is told, it
// sends what it has counted, as exporters do.
type simProcessor struct {
	partition int
	state     simState
	second    int64 // that is over
	sent      bool
	check     func()
	send      func(second int64, state simState)
}

var _ Sender = (*simProcessor)(nil)

func (c *simProcessor) Process(_ context.Context, records []Record, out Output) error {
	c.check()
	for _, r := range records {
		c.state = c.state.next(r)
		data := binary.BigEndian.AppendUint64(nil, c.state.hash)
		out.Publish("", fmt.Sprint(c.partition, ".", c.state.count), data)
	}
	return nil
}

func (c *simProcessor) Tick(_ context.Context, now time.Time, _ Output) error {
	c.check()
	if second := now.Unix(); second > c.second {
		c.second, c.sent = second, true
		c.send(second, c.state)
	}
	return nil
}

func (c *simProcessor) Sent() bool { return c.sent }

func (c *simProcessor) Snapshot(dst []byte) ([]byte, error) {
	c.sent = false
	for _, v := range []uint64{c.state.count, c.state.hash, uint64(c.second)} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	return dst, nil
}

func (c *simProcessor) Restore(b []byte) error {
	c.state, c.second = simState{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, int64(binary.BigEndian.Uint64(b[16:]))
	return nil
}

// leave notes what a partition has sent. Who sends it again, after a crash, sends the same; after a hand-over nobody
// does.
func (s *simulation) leave(i *simInstance, p int, second int64, state simState) {
	key := fmt.Sprint(p, " at ", second)
	first, again := s.sent[key]
	switch {
	case !again:
		s.sent[key] = simSent{state, s.broken[p], i.lied}
		s.Sent++
		return
	case first.state != state:
		s.errorf("partition %s was sent as %v, and then as %v", key, first.state, state)
	case first.broken == s.broken[p] && !first.lied && !i.lied:
		s.errorf("partition %s was sent again without a crash in between", key)
	}
	s.SentAgain++
}
