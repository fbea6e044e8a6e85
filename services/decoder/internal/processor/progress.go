package processor

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder/internal/rawbatch"
	"millrace.dev/services/decoder/internal/snapshot"
)

const (
	// silence is after how much of the stream's time without a word of it a node is waited for no longer.
	silence = 10 * time.Second
	// heardAtMost is how much of a step of the stream's time counts as time in which nodes could be heard: while the stream itself stands
	// still, nobody is.
	heardAtMost = time.Second
	// clockWindow is for how long the difference of a node's clock and the stream's counts, once or twice.
	clockWindow = time.Minute
	// maxProgress bounds the nodes whose progress is known; beyond it the one that was silent for longest is waited for no longer.
	maxProgress = 4096
)

// progress is how far the nodes are, by what their captures said. Every partition hears it of every node, each message behind the batches
// that it speaks for.
type progress struct {
	nodes map[string]*nodeProgress // by the token of their subject, which NATS gives to one node only
	heard int64                    // time in which nodes could be heard, ns
}

// nodeProgress is how far one node is: every event before stored has come.
type nodeProgress struct {
	name   string
	epoch  uint64
	stored int64 // node time, ns
	heard  int64 // progress.heard when it spoke last
	// difference of the stream's clock to the node's, with the time that a message takes in between, in ns: the smallest of this window, and of
	// the one before, so that a message which is late does not make the node seem further than it is.
	difference, before int64
	window             int64 // number of the window
}

// watermark is stored in the stream's time.
func (n *nodeProgress) watermark() int64 { return n.stored + min(n.difference, n.before) }

// hear takes what a node said.
func (p *Processor) hear(name string, record *stage.Record) {
	b := &p.batch
	said, at := &b.Progress, record.Time.UnixNano()
	switch err := b.Read(record.Data); {
	case err == nil && b.Version != Version:
		count(&p.tally.malformed, "version", 1)
	case err != nil || !b.HasProgress || len(name) > maxNodeName || at <= 0 || at > maxTime ||
		said.Stored == 0 || said.Stored > said.Sent || said.Sent > maxTime:
		count(&p.tally.malformed, "progress", 1)
	default:
		p.progress.take(name, b, at, &p.tally)
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

// pass takes note of the time, and does not wait any longer for nodes that have been silent for too long.
func (p *Processor) pass(now int64) {
	g := &p.progress
	before := g.heard
	g.heard += min(max(now-p.now, 0), int64(heardAtMost))
	p.now = now
	if second := int64(time.Second); before/second == g.heard/second {
		return
	}
	for name, n := range g.nodes {
		if g.heard-n.heard > int64(silence) {
			delete(g.nodes, name)
			p.tally.silent++
		}
	}
}

// Watermark implements [stage.Watermarker]: what some node has not been able to publish is still to come.
func (p *Processor) Watermark(read time.Time) time.Time {
	first := int64(math.MaxInt64)
	for _, n := range p.progress.nodes {
		first = min(first, n.watermark())
	}
	at := read.UnixNano()
	p.options.Metrics.show(p, nodesShown{number: len(p.progress.nodes), lag: max(at-first, 0)})
	if first >= at {
		return read
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
}

func (g *progress) restoreState(r *snapshot.Reader) {
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
}
