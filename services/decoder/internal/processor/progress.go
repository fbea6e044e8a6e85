package processor

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/services/decoder/internal/rawbatch"
)

const (
	// silence is after how much of the stream's time without a word of it a node is waited for no longer.
	silence = 10 * time.Second
	// heardAtMost is how much of a step of the stream's time counts as time in which nodes could be heard: while the
	// stream itself stands still, nobody is.
	heardAtMost = time.Second
	// clockWindow is for how long the difference of a node's clock and the stream's counts, once or twice.
	clockWindow = time.Minute
	// maxProgress bounds the nodes whose progress is known; beyond it the one that was silent for longest is waited for
	// no longer.
	maxProgress = 4096
)

// progress is how far the nodes are, by what their captures said. Each node tells one partition. What the partitions
// were told by then, their owners tell all of them, through the stream again: a partition that has read that has read
// all that was stored before it, so all that the nodes spoke for.
type progress struct {
	nodes map[string]*nodeProgress // that tell this partition, by the token of their subject, which NATS gives to one node only
	told  map[uint32]witness       // what partitions were told, this one among them
	heard int64                    // time in which something could be heard, ns
}

// witness is what a partition was told: every event of its nodes before at is stored.
type witness struct {
	at    int64 // the stream's time, Unix ns
	heard int64 // progress.heard when it was said
}

func newProgress() progress {
	return progress{nodes: map[string]*nodeProgress{}, told: map[uint32]witness{}}
}

// nodeProgress is how far one node is: every event before stored is stored.
type nodeProgress struct {
	name   string
	epoch  uint64
	stored int64 // node time, ns
	heard  int64 // progress.heard when it spoke last
	// difference of the stream's clock to the node's, with the time that a message takes in between, in ns: the
	// smallest of this window, and of the one before, so that a message which is late does not make the node seem
	// further than it is.
	difference, before int64
	window             int64 // number of the window
}

// watermark is stored in the stream's time.
func (n *nodeProgress) watermark() int64 { return n.stored + min(n.difference, n.before) }

// hear takes what a node said.
func (g *progress) hear(b *rawbatch.Batch, record *stage.Record, t *tally) {
	said, at := &b.Progress, record.Time.UnixNano()
	name := record.Subject[strings.LastIndexByte(record.Subject, '.')+1:]
	if b.Sequence != 0 || len(b.Events) > 0 || name == "" || len(name) > maxNodeName || at <= 0 || at > maxTime ||
		said.Stored == 0 || said.Stored > said.Sent || said.Sent > maxTime {
		count(&t.malformed, "progress", 1)
		return
	}
	g.take(name, b, at, t)
}

// agree takes what partitions were told.
func (g *progress) agree(record *stage.Record, partitions int, t *tally) {
	var batch millracev1.ProgressBatch
	if err := batch.UnmarshalVT(record.Data); err != nil || batch.Version != Version {
		count(&t.malformed, "watermarks", 1)
		return
	}
	for _, p := range batch.Partitions {
		switch {
		case p.Partition >= uint32(partitions) || p.TimeUnixNs > maxTime:
			count(&t.malformed, "watermarks", 1)
		case p.TimeUnixNs == 0:
			delete(g.told, p.Partition)
		default:
			g.told[p.Partition] = witness{at: int64(p.TimeUnixNs), heard: g.heard}
		}
	}
}

// take notes what an instance of capture said of its node.
func (g *progress) take(name string, b *rawbatch.Batch, at int64, t *tally) {
	difference, window := at-int64(b.Progress.Sent), at/int64(clockWindow)
	n := g.nodes[name]
	switch {
	case n != nil && b.Epoch < n.epoch:
		return // Late words of an instance that is gone.
	case b.Progress.Last:
		delete(g.nodes, name)
		return
	case n == nil && len(g.nodes) >= maxProgress:
		g.forgetOne()
		count(&t.forgotten, "node progress", 1)
		fallthrough
	case n == nil || b.Epoch > n.epoch: // Capture was started anew, maybe with the node, whose clock then begins anew as well.
		n = &nodeProgress{name: strings.Clone(name), epoch: b.Epoch, difference: difference, before: difference, window: window}
		g.nodes[n.name] = n
	case window > n.window:
		n.before, n.difference, n.window = n.difference, difference, window
	}
	n.difference = min(n.difference, difference)
	n.stored = max(n.stored, int64(b.Progress.Stored))
	n.heard = g.heard
}

// forgetOne makes room.
func (g *progress) forgetOne() {
	var oldest *nodeProgress
	for _, n := range g.nodes {
		if oldest == nil || cmp.Or(cmp.Compare(n.heard, oldest.heard), cmp.Compare(n.name, oldest.name)) < 0 {
			oldest = n
		}
	}
	delete(g.nodes, oldest.name)
}

// hearUntil takes note that time passes, and does not wait any longer for nodes that have been silent for too long, nor
// for what owners of partitions said.
func (p *Processor) hearUntil(now int64) {
	g := &p.progress
	before := g.heard
	g.heard += min(now-p.now, int64(heardAtMost))
	if second := int64(time.Second); before/second == g.heard/second {
		return
	}
	for name, n := range g.nodes {
		if g.heard-n.heard > int64(silence) {
			delete(g.nodes, name)
			p.tally.silent++
		}
	}
	for partition, w := range g.told {
		if g.heard-w.heard > int64(silence) {
			delete(g.told, partition)
		}
	}
}

// Watermark implements [stage.Watermarker]: what some node has not been able to publish is still to come.
func (p *Processor) Watermark(read time.Time) time.Time {
	for _, w := range p.progress.told {
		if w.at < read.UnixNano() {
			read = time.Unix(0, w.at)
		}
	}
	return read
}

// Witness implements [stage.Watermarker].
func (p *Processor) Witness() time.Time {
	first := int64(math.MaxInt64)
	for _, n := range p.progress.nodes {
		first = min(first, n.watermark())
	}
	p.options.Metrics.show(p, nodesShown{number: len(p.progress.nodes), lag: max(p.now-first, 0)})
	if len(p.progress.nodes) == 0 {
		return time.Time{}
	}
	return time.Unix(0, first)
}

// Close implements [io.Closer].
func (p *Processor) Close() error {
	p.options.Metrics.hide(p)
	return nil
}

func (g *progress) appendState(w *snapshot.Writer) {
	w.Int(g.heard)
	w.Uint(uint64(len(g.nodes)))
	for _, name := range slices.Sorted(maps.Keys(g.nodes)) {
		n := g.nodes[name]
		w.Text(n.name)
		w.Uint(n.epoch)
		w.Int(n.stored)
		w.Int(n.heard)
		w.Int(n.difference)
		w.Int(n.before)
		w.Int(n.window)
	}
	w.Uint(uint64(len(g.told)))
	for _, partition := range slices.Sorted(maps.Keys(g.told)) {
		w.Uint(uint64(partition))
		w.Int(g.told[partition].at)
		w.Int(g.told[partition].heard)
	}
}

func (g *progress) restoreState(r *snapshot.Reader, partitions int) {
	g.heard = r.Int()
	for range r.Items() {
		n := &nodeProgress{name: r.Text(), epoch: r.Uint(), stored: r.Int(), heard: r.Int(), difference: r.Int(), before: r.Int(), window: r.Int()}
		for _, v := range []int64{n.stored, n.difference, n.before} {
			if v > maxTime || v < -maxTime {
				r.Fail()
			}
		}
		if len(n.name) > maxNodeName || g.nodes[n.name] != nil || len(g.nodes) == maxProgress {
			r.Fail()
			return
		}
		g.nodes[n.name] = n
	}
	for range r.Items() {
		partition, w := r.Uint(), witness{at: r.Int(), heard: r.Int()}
		if partition >= uint64(partitions) || w.at <= 0 || w.at > maxTime {
			r.Fail()
			return
		}
		g.told[uint32(partition)] = w
	}
}
