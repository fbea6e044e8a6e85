package processor

import (
	"bytes"
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/causality"
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// idleTicks is after how many ticks without a word of it a process without connections is forgotten.
const idleTicks = 6000

// process is what is known of one process.
type process struct {
	id          uint64
	encoded     []byte // Process message
	tasks       *causality.Tracker
	connections int
	lastTick    uint64
	exited      bool
}

func (p *Processor) processOf(id uint64) *process {
	q := p.processes[id]
	if q == nil {
		q = &process{id: id, tasks: causality.New()}
		q.encoded = binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, id)
		p.processes[id] = q
	}
	q.lastTick = p.ticks
	return q
}

func (q *process) learn(encoded []byte) {
	if !bytes.Equal(q.encoded, encoded) {
		q.encoded = append(q.encoded[:0], encoded...)
	}
}

// task handles events about tasks and processes.
func (p *Processor) task(c *connection, e *rawbatch.Event) {
	id := e.Process
	if id == 0 && c != nil {
		id = c.owner.id
	}
	if id == 0 {
		count(&p.tally.malformed, "event", 1)
		return
	}
	q := p.processOf(id)
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
			socket = c.key.socket
		}
		q.tasks.Handoff(task, parent, socket, int64(e.Time))
	case millracev1.EventKind_EVENT_KIND_PROCESS_EXIT:
		q.exited = true
		for o := p.recent.next; o != &p.recent; o = o.next {
			if o.owner == q {
				p.closeLater(o, protocol.Closed, int64(e.Time))
			}
		}
	default: // Of a connection, not of a process.
	}
}

func (p *Processor) forgetProcesses() {
	for id, q := range p.processes {
		if q.connections == 0 && (q.exited && p.ticks-q.lastTick > 20 || p.ticks-q.lastTick > idleTicks) {
			delete(p.processes, id)
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
}

// sequence is which batches of one (node, epoch, partition) have come.
type sequence struct {
	highest uint64
	seen    uint64 // bit i: highest-i has come
}

// maxNodes bounds the nodes that are known at once; beyond it one that was silent for longest is forgotten.
const maxNodes = 100_000

func (p *Processor) nodeOf(b *rawbatch.Batch) *node {
	n := p.nodes[string(b.Node)]
	if n == nil {
		if len(p.nodes) >= maxNodes {
			var oldest *node
			for _, o := range p.nodes {
				if oldest == nil || o.lastTick < oldest.lastTick {
					oldest = o
				}
			}
			delete(p.nodes, oldest.name)
		}
		n = &node{name: string(b.Node), epoch: b.Epoch, partitions: map[uint32]*sequence{}}
		p.nodes[n.name] = n
	}
	if n.epoch < b.Epoch { // capture was started anew
		n.epoch = b.Epoch
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
		p.node.partitions[b.Partition] = &sequence{highest: b.Sequence, seen: 1}
		return true
	}
	switch {
	case b.Sequence > s.highest:
		ahead := b.Sequence - s.highest
		if ahead > 1 {
			p.tally.batchesLost += ahead - 1
			p.suspect()
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

// suspect marks the open exchanges of the node: their ends may have been in what was lost.
func (p *Processor) suspect() {
	for c := p.recent.next; c != &p.recent; c = c.next {
		if c.node == p.node && c.conn.Open() > 0 {
			c.suspect = true
		}
	}
}
