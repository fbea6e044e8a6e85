package processor

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/services/decoder/internal/causality"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// Versions of snapshots: the first value in them. Raise snapshotVersion with every change of the state's layout, and
// let Restore read what is older or set oldestVersion; a golden file of each is in testdata. Parsers have versions of
// their own.
const (
	snapshotVersion = 14
	oldestVersion   = 1
)

// ErrSnapshotVersion says that a snapshot was written by another version of the decoder.
var ErrSnapshotVersion = errors.New("snapshot version is not known")

// Snapshot implements [stage.Processor].
func (p *Processor) Snapshot(dst []byte) ([]byte, error) {
	w := &snapshot.Writer{B: dst}
	w.Uint(snapshotVersion)
	w.Uint(uint64(p.options.Partitions))
	w.Uint(p.ticks)
	w.Int(p.now)
	w.Uint(p.batches)
	w.Uint(uint64(len(p.nodes)))
	for _, name := range slices.Sorted(maps.Keys(p.nodes)) {
		p.nodes[name].appendState(w)
	}
	w.Uint(uint64(len(p.processes)))
	for _, id := range slices.Sorted(maps.Keys(p.processes)) {
		q := p.processes[id]
		w.Uint(id)
		w.Bytes(q.encoded)
		w.Uint(q.lastTick)
		w.Int(q.lostAt)
		w.Bool(q.exited)
		w.Uint(uint64(len(q.makers)))
		for _, m := range q.makers {
			w.Uint(m.process)
			w.Uint(uint64(m.task))
			w.Int(m.at)
		}
		w.Uint(uint64(len(q.hosts)))
		for _, host := range q.hosts {
			w.Uint(uint64(host))
		}
		q.tasks.AppendState(w)
	}
	w.Uint(uint64(len(p.connections)))
	for c := p.recent.previous; c != &p.recent; c = c.previous { // least recently used first
		p.appendConnection(c, w)
	}
	p.progress.appendState(w)
	return w.B, nil
}

// Restore implements [stage.Processor].
func (p *Processor) Restore(b []byte) error {
	defer p.enter(nil)()
	r := snapshot.NewReader(b)
	version := r.Uint()
	if r.Err() == nil && (version < oldestVersion || version > snapshotVersion) {
		return fmt.Errorf("restore decoder: %w: %d, this decoder reads %d to %d", ErrSnapshotVersion, version, oldestVersion, snapshotVersion)
	}
	if n := r.Uint(); r.Err() == nil && n != uint64(p.options.Partitions) {
		return fmt.Errorf("restore decoder: snapshot is of %d partitions, the streams have %d", n, p.options.Partitions)
	}
	p.tally.connections -= len(p.connections)
	p.clear()
	p.ticks, p.now = r.Uint(), r.Int()
	if p.now < 0 || p.now > maxTime {
		r.Fail()
	}
	if version < 4 { // the time went by calls of Tick, about one in a step
		p.now -= p.now % step
	}
	if version > 1 {
		p.batches = r.Uint()
	}
	for range r.Items() {
		n := restoreNode(r, version)
		if p.nodes[n.name] != nil || len(n.name) > maxNodeName {
			r.Fail()
			break
		}
		p.nodes[n.name] = n
		p.nodesHeld += n.held()
	}
	for range r.Items() {
		q := p.processOf(r.Uint())
		if encoded := r.Bytes(); encoded != nil {
			if (&millracev1.Process{}).UnmarshalVT(encoded) != nil {
				r.Fail()
			}
			p.factsHeld += len(encoded) - len(q.encoded)
			q.encoded = encoded
		}
		q.lastTick = r.Uint()
		if version > 6 {
			q.lostAt = r.Int()
		}
		q.exited = r.Bool()
		q.tasks.SetLoops(rawbatch.HasLoops(q.encoded))
		if version > 5 {
			for range r.Items() {
				p.made(q, maker{r.Uint(), causality.Task(r.Uint()), r.Int()})
			}
		}
		if version > 8 {
			for range r.Items() {
				p.asked(q, uint32(r.Uint()))
			}
		}
		q.tasks.RestoreState(r, layoutOf(version))
	}
	for range r.Items() {
		p.restoreConnection(r, version)
	}
	if version > 2 {
		p.progress.restoreState(r, p.options.Partitions)
	}
	p.tellWorkers()
	if err := r.Err(); errors.Is(err, ErrSnapshotVersion) {
		p.clear()
		return fmt.Errorf("restore decoder: %w", err)
	}
	if !r.Done() {
		p.clear()
		return fmt.Errorf("restore decoder: %w", snapshot.ErrDamaged)
	}
	return nil
}

func layoutOf(version uint64) causality.Layout {
	switch {
	case version <= 5:
		return causality.LayoutLoops
	case version <= 7:
		return causality.LayoutBits
	case version <= 9:
		return causality.LayoutEnded
	}
	return causality.LayoutStreams
}

func (n *node) appendState(w *snapshot.Writer) {
	w.Text(n.name)
	w.Uint(n.epoch)
	w.Int(n.watermark)
	w.Int(n.clockOffset)
	w.Uint(n.lastTick)
	w.Int(n.lostAt)
	w.Uint(uint64(len(n.partitions)))
	for _, i := range slices.Sorted(maps.Keys(n.partitions)) {
		w.Uint(uint64(i))
		w.Uint(n.partitions[i].highest)
		w.Uint(n.partitions[i].seen)
	}
}

func restoreNode(r *snapshot.Reader, version uint64) *node {
	n := &node{name: r.Text(), epoch: r.Uint(), watermark: r.Int(), clockOffset: r.Int(), lastTick: r.Uint()}
	if version > 6 {
		n.lostAt = r.Int()
	}
	n.partitions = map[uint32]*sequence{}
	for range r.Items() {
		n.partitions[uint32(r.Uint())] = &sequence{highest: r.Uint(), seen: r.Uint()}
	}
	return n
}

func (p *Processor) appendConnection(c *connection, w *snapshot.Writer) {
	f := &c.facts
	w.Uint(c.key.process)
	w.Uint(c.key.socket)
	w.Uint(c.sendFlow)
	w.Text(c.node.name)
	w.Uint(uint64(f.Transport))
	w.Uint(uint64(c.role))
	w.Bytes(f.LocalAddress)
	w.Uint(uint64(f.LocalPort))
	w.Bytes(f.RemoteAddress)
	w.Uint(uint64(f.RemotePort))
	w.Bytes(f.UnixPath)
	w.Uint(uint64(c.protocol))
	w.Bool(c.parser != nil)
	w.Bool(c.conn.Client)
	w.Uint(c.actors[0])
	w.Uint(c.actors[1])
	stream.AppendActor(w, &c.lastActor)
	w.Int(c.lastData)
	w.Uint(uint64(c.srtt))
	w.Uint(uint64(c.retransmits))
	w.Uint(uint64(c.guesses[0]))
	w.Uint(uint64(c.guesses[1]))
	w.Uint(uint64(c.attempts))
	w.Bool(c.opaque)
	w.Bool(c.doubtful)
	w.Bool(c.ended)
	w.Uint(c.endOffset)
	w.Int(c.endTime)
	w.Uint(uint64(c.closing))
	w.Int(c.closedAt)
	w.Uint(c.closeTick)
	w.Bool(c.awaited)
	w.Uint(c.waitTick)
	c.preface.appendState(w)
	w.Bool(c.called)
	w.Uint(c.callers[0])
	w.Uint(c.callers[1])
	c.send.AppendState(w)
	c.receive.AppendState(w)
	if c.parser != nil {
		c.conn.AppendState(w)
		w.Uint(p.options.protocol(c.protocol).StateVersion)
		state := &snapshot.Writer{B: p.parserState[:0]}
		c.parser.AppendState(&c.conn, state)
		w.Bytes(state.B)
		p.parserState = trim(state.B, 64*maxKept)
	}
}

func (p *Processor) restoreConnection(r *snapshot.Reader, version uint64) {
	key := connectionKey{r.Uint(), r.Uint()}
	facts := rawbatch.Connection{Process: key.process, Socket: key.socket, SendFlow: r.Uint()}
	p.node = p.nodes[r.Text()]
	facts.Transport, facts.Role = millracev1.Transport(r.Uint()), millracev1.Role(r.Uint())
	facts.LocalAddress, facts.LocalPort = r.Bytes(), uint32(r.Uint())
	facts.RemoteAddress, facts.RemotePort = r.Bytes(), uint32(r.Uint())
	facts.UnixPath = r.Bytes()
	if r.Err() != nil || p.node == nil || p.connections[key] != nil || key == (connectionKey{}) {
		r.Fail()
		return
	}
	c := p.newConnection(key, &facts)
	c.linkAfter(&p.recent)
	c.protocol = millracev1.Protocol(r.Uint())
	parsing, client := r.Bool(), r.Bool()
	c.actors[0], c.actors[1] = r.Uint(), r.Uint()
	c.lastActor = stream.ReadActor(r)
	c.lastData = r.Int()
	c.srtt, c.retransmits = uint32(r.Uint()), uint32(r.Uint())
	c.guesses = [2]int{int(r.Uint()), int(r.Uint())}
	c.attempts = int(r.Uint())
	c.opaque, c.doubtful, c.ended = r.Bool(), r.Bool(), r.Bool()
	c.endOffset, c.endTime = r.Uint(), r.Int()
	c.closing, c.closedAt, c.closeTick = decode.Outcome(r.Uint()), r.Int(), r.Uint()
	c.awaited, c.waitTick = r.Bool(), r.Uint()
	if version > 4 {
		c.preface = restorePreface(r)
	}
	if version > 9 {
		c.called = r.Bool()
		c.callers = [2]uint64{r.Uint(), r.Uint()}
	}
	if c.closing != 0 {
		p.closing = append(p.closing, c)
	}
	if c.awaited {
		p.waiting = append(p.waiting, c)
	}
	c.send.RestoreState(r, version)
	c.receive.RestoreState(r, version)
	w := p.seat(c)
	if parsing {
		p.restoreParser(w, c, client, r, version)
	}
	w.measure(c)
	p.unseat(w)
}
