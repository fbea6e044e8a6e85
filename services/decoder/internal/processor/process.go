package processor

import (
	"bytes"
	"encoding/binary"
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/services/decoder/internal/causality"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// idleTicks is after how many steps of time without a word of it a process without connections is forgotten.
const idleTicks = 6000

// process is what is known of one process.
type process struct {
	id          uint64
	encoded     []byte // Process message
	tasks       *causality.Tracker
	makers      []maker  // who made it for a request it may be, the nearest first
	hosts       []uint32 // hashes of the Hosts that it was asked for lately, each once, the newest last
	connections int
	lastTick    uint64
	lostAt      int64 // the stream's time when requests were lost last, Unix ns; 0: never
	exited      bool
}

// maker is a process that made another: itself, or through those before it in process.makers.
type maker struct {
	process uint64
	task    causality.Task // that made it
	at      int64          // node time, ns
}

// maxMakers bounds the makers of a process, makerBytes is what one takes in a snapshot at most.
const maxMakers, makerBytes = 8, 32

// maxHosts bounds the Hosts of a process, hostBytes is what one takes in a snapshot at most.
const maxHosts, hostBytes = 128, 5

// asked notes that q was asked for a Host.
func (p *Processor) asked(q *process, host uint32) {
	if host == 0 || q.wasAsked(host) {
		return
	}
	if len(q.hosts) == maxHosts {
		copy(q.hosts, q.hosts[1:])
		q.hosts[maxHosts-1] = host
		return
	}
	q.hosts = append(q.hosts, host)
	p.factsHeld += hostBytes
}

// wasAsked reports whether q was asked for a Host lately. A call with the same one passes it on, as proxies do: then it
// names what the proxy's client wanted, not whom the proxy calls.
func (q *process) wasAsked(host uint32) bool {
	for i := len(q.hosts) - 1; i >= 0; i-- {
		if q.hosts[i] == host {
			return true
		}
	}
	return false
}

func (p *Processor) processOf(id uint64) *process {
	q := p.processes[id]
	if q == nil {
		q = &process{id: id, tasks: causality.New(&p.tasksHeld)}
		q.encoded = binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, id)
		p.processes[id] = q
		p.factsHeld += len(q.encoded)
	}
	q.lastTick = p.ticks
	return q
}

// learn takes note of the facts of a process.
func (p *Processor) learn(facts *rawbatch.Process) {
	q := p.processes[facts.ID]
	if q != nil && bytes.Equal(q.encoded, facts.Encoded) {
		q.lastTick = p.ticks
		return
	}
	if q != nil {
		p.run() // what came before goes out with the facts of its time
	}
	q = p.processOf(facts.ID)
	p.factsHeld += len(facts.Encoded) - len(q.encoded)
	q.encoded = append(q.encoded[:0], facts.Encoded...)
	q.tasks.SetLoops(rawbatch.HasLoops(q.encoded))
}

// made notes who made q.
func (p *Processor) made(q *process, m maker) {
	known := slices.ContainsFunc(q.makers, func(o maker) bool { return o.process == m.process })
	if m.process == 0 || m.process == q.id || known || len(q.makers) >= maxMakers {
		return
	}
	q.makers = append(q.makers, m)
	p.factsHeld += makerBytes
}

// owner is the process that an event is about, nil if it does not say.
func (p *Processor) ownerOf(c *connection, e *rawbatch.Event) *process {
	id := e.Process
	if id == 0 && c != nil {
		id = c.owner.id
	}
	if id == 0 {
		count(&p.tally.malformed, "event", 1)
		return nil
	}
	return p.processOf(id)
}

// exit handles the end of a process.
func (p *Processor) exit(q *process, at int64) {
	q.exited = true
	for o := p.recent.next; o != &p.recent; o = o.next {
		if o.owner == q {
			p.closeLater(o, decode.Closed, at)
		}
	}
}

// task handles an event about tasks.
func (p *Processor) task(it *item) {
	c, e := it.c, &p.event
	e.Read(it.message) // it was read before
	q := p.ownerOf(c, e)
	if q == nil {
		return
	}
	task, parent := causality.Thread(e.Thread), causality.Thread(e.ParentThread)
	if e.Goroutine != 0 {
		task = causality.Goroutine(e.Goroutine)
	}
	if e.ParentGoroutine != 0 {
		parent = causality.Goroutine(e.ParentGoroutine)
	}
	switch e.Kind {
	case millracev1.EventKind_EVENT_KIND_TASK_START:
		q.tasks.Started(task, parent, int64(e.Time))
	case millracev1.EventKind_EVENT_KIND_TASK_END:
		q.tasks.Ended(task)
	case millracev1.EventKind_EVENT_KIND_HANDOFF:
		var socket uint64
		if c != nil {
			socket = c.facts.Socket
		}
		q.tasks.Handoff(task, parent, socket, int64(e.Time))
	case millracev1.EventKind_EVENT_KIND_PROCESS_START:
		p.made(q, maker{e.ParentProcess, parent, int64(e.Time)})
	default: // Of no interest.
	}
}

func (p *Processor) forgetProcesses() {
	for _, q := range p.processes {
		if q.connections == 0 && (q.exited && p.ticks-q.lastTick > 20 || p.ticks-q.lastTick > idleTicks) {
			p.forget(q)
		}
	}
}

// node is one node's capture.
type node struct {
	name        string
	epoch       uint64
	partitions  map[uint32]*sequence
	watermark   int64 // latest event, node time, ns
	clockOffset int64
	lastTick    uint64
	lostAt      int64 // the stream's time when events were lost last, Unix ns; 0: never
	connections int
}

// sequence is which batches of one (node, epoch, partition) have come.
type sequence struct {
	highest uint64
	seen    uint64 // bit i: highest-i has come
}

func (p *Processor) nodeOf(b *rawbatch.Batch) *node {
	n := p.nodes[string(b.Node)]
	if n == nil {
		n = &node{name: string(b.Node), epoch: b.Epoch, partitions: map[uint32]*sequence{}}
		p.nodes[n.name] = n
		p.nodesHeld += n.held()
	}
	if n.epoch < b.Epoch { // capture was started anew
		n.epoch = b.Epoch
		p.lose(n) // nobody looked for a while
		p.nodesHeld -= sequenceBytes * len(n.partitions)
		n.partitions = map[uint32]*sequence{}
	}
	n.lastTick = p.ticks
	if b.ClockOffset != 0 {
		n.clockOffset = b.ClockOffset
	}
	return n
}

// admit reports whether the batch is new. What lies between it and the one before it is lost until it comes.
func (p *Processor) admit(b *rawbatch.Batch) bool {
	if b.Epoch < p.node.epoch || b.Sequence == 0 {
		// Late words of an instance of capture that is gone, or of a writer that does not count.
		return true
	}
	s := p.node.partitions[b.Partition]
	if s == nil {
		if len(p.node.partitions) >= maxSequences { // a node tells a partition of itself alone
			p.nodesHeld -= sequenceBytes * len(p.node.partitions)
			clear(p.node.partitions)
		}
		p.nodesHeld += sequenceBytes
		p.node.partitions[b.Partition] = &sequence{highest: b.Sequence, seen: 1}
		return true
	}
	switch {
	case b.Sequence > s.highest:
		ahead := b.Sequence - s.highest
		if ahead > 1 {
			p.tally.batchesLost += ahead - 1
			p.lose(p.node)
		}
		s.seen = s.seen<<min(ahead, 64) | 1
		s.highest = b.Sequence
		return true
	case s.highest-b.Sequence >= 64:
		return false
	}
	bit := uint64(1) << (s.highest - b.Sequence)
	if s.seen&bit != 0 {
		return false
	}
	s.seen |= bit // it was counted as lost; the streams see what is new in it
	return true
}

// lose notes that events of a node were lost. The ends of its open exchanges may have been among them, and requests
// that make calls now.
func (p *Processor) lose(n *node) {
	p.run()
	n.lostAt = p.now
	for c := p.recent.next; c != &p.recent; c = c.next {
		if c.node == n {
			c.doubt(p.now)
		}
	}
}
