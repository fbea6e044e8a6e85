package processor

import (
	"cmp"
	"maps"
	"slices"

	"millrace.dev/protocols/decode"
)

// Bounds of the state of a partition, in bytes as they are counted here: not less than they take in a snapshot, so that
// a checkpoint can always be written (the stage's limit is 64 MiB). In memory, state takes up to about four times as
// much.
const (
	// maxConnectionsBytes is for all connections of a partition, maxConnectionBytes for one.
	maxConnectionsBytes = 36 << 20
	maxConnectionBytes  = 16 << 20
	// maxTasksBytes is for what is known of processes and their tasks.
	maxTasksBytes = 14 << 20
	// maxNodesBytes is for the nodes that are known at once; beyond it the one that was silent for longest is
	// forgotten.
	maxNodesBytes = 8 << 20
	// connectionBytes is what a connection takes without anything open or buffered, processBytes a process, nodeBytes a
	// node.
	connectionBytes, processBytes, nodeBytes, sequenceBytes = 456, 74, 82, 28
	// maxNodeName bounds the name of a node, as that of a host is (RFC 1035, with room to spare).
	maxNodeName = 512
	// maxSequences bounds the partitions that one node reports.
	maxSequences = 1024
	// boundEvery is after how many batches the state is measured. It counts batches and not calls, because what is
	// given up must not depend on how batches are cut into calls.
	boundEvery = 8
)

// measure takes note of how much c holds, and ends what is open on it if that is too much.
func (w *worker) measure(c *connection) {
	held := 0
	if !c.opaque {
		held = c.send.Buffered() + c.receive.Buffered()
		if c.parser != nil {
			held += c.conn.Held() + c.parser.Held()
		}
	}
	held += len(c.node.name) + len(c.facts.LocalAddress) + len(c.facts.RemoteAddress) + len(c.facts.UnixPath)
	if held > maxConnectionBytes {
		count(&w.tally.givenUp, given{"connection too large", c.protocol}, 1)
		if c.parser != nil {
			c.conn.FinishAll(decode.Lost, max(c.send.Last().End, c.receive.Last().End))
		}
		c.turnOpaque()
		held = 0
	}
	w.held += held - c.held
	c.held = held
}

// bound gives up state until a snapshot has room for it. Of connections those that were used least recently go first,
// of processes those that have ended or were silent; if these do not suffice, the tasks of those that have the most are
// forgotten, which may cost causes.
func (p *Processor) bound() {
	p.boundNodes()
	for p.recent.previous != &p.recent && p.held+connectionBytes*len(p.connections) > maxConnectionsBytes {
		p.evictOne("state full")
	}
	if p.taskBytes() <= maxTasksBytes {
		return
	}
	order := slices.SortedFunc(maps.Values(p.processes), func(a, b *process) int {
		return cmp.Or(cmp.Compare(a.lastTick, b.lastTick), cmp.Compare(a.id, b.id))
	})
	for _, q := range order {
		if p.taskBytes() <= maxTasksBytes*3/4 { // not at once again
			return
		}
		if q.connections == 0 {
			p.forget(q)
			count(&p.tally.forgotten, "process", 1)
		}
	}
	slices.SortStableFunc(order, func(a, b *process) int { return cmp.Compare(b.tasks.Held(), a.tasks.Held()) })
	for _, q := range order {
		if p.taskBytes() <= maxTasksBytes*3/4 {
			return
		}
		q.tasks.Forget()
		count(&p.tally.forgotten, "tasks", 1)
	}
}

// taskBytes is how much is held of processes and tasks.
func (p *Processor) taskBytes() int {
	return p.tasksHeld + p.factsHeld + processBytes*len(p.processes)
}

func (p *Processor) forget(q *process) {
	q.tasks.Forget()
	p.factsHeld -= len(q.encoded) + makerBytes*len(q.makers) + hostBytes*len(q.hosts)
	delete(p.processes, q.id)
}

func (p *Processor) boundNodes() {
	if p.nodesHeld <= maxNodesBytes {
		return
	}
	order := slices.SortedFunc(maps.Values(p.nodes), func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.lastTick, b.lastTick), cmp.Compare(a.name, b.name))
	})
	for _, n := range order {
		if p.nodesHeld <= maxNodesBytes*3/4 {
			return
		}
		if n.connections == 0 {
			p.nodesHeld -= n.held()
			delete(p.nodes, n.name)
			count(&p.tally.forgotten, "node", 1)
		}
	}
}

func (n *node) held() int { return nodeBytes + len(n.name) + sequenceBytes*len(n.partitions) }
