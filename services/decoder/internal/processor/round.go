package processor

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// Sizes of a round. They do not show in what comes out.
const (
	// smallRound is after how many items it is asked again whether there are others to share them with.
	smallRound = 128
	// largeShare is how many items are collected for each core, largeRound at most for all: enough that waiting for the
	// last worker is little of it, and few enough that what was parsed is still in a cache when its notes are acted on.
	largeShare, largeRound = 512, 8192
	// maxRoundBytes bounds the bytes of the items of a round.
	maxRoundBytes = 1 << 20
	// minShare is how many items of a round make it worth while to wake another core: about 50 µs of work.
	minShare = 96
)

// round is a run of events on their way through the processor: events are collected in order and put into the chains of
// their connections; chains are parsed, each by one of several workers, in any order; what they note is acted on in the
// order of events. So the state that connections share changes as if each event was handled to its end before the next,
// however many cores take part.
type round struct {
	items   []item
	chains  []*connection
	bytes   int
	workers []*worker
	used    int // workers that took part since the beginning of the call

	turn     atomic.Int64 // of chains
	helpers  sync.WaitGroup
	panicked atomic.Pointer[any]
}

// item is an event that waits for its turn.
type item struct {
	c         *connection
	message   []byte // encoded event
	clock     int64  // offset of its node's clock
	next      int32  // item of the same connection, -1: none
	worker    int32
	from, to  uint32 // its notes
	reference uint32 // Event.connection
	task      bool   // is about tasks, and not of a connection's bytes
}

func newRound(cores int) *round {
	r := &round{}
	for range cores {
		r.workers = append(r.workers, &worker{})
	}
	return r
}

// queue puts an event at the end of the round.
func (p *Processor) queue(it item) {
	r := p.round
	n := int32(len(r.items))
	it.next = -1
	if c := it.c; !it.task {
		if c.items == 0 {
			c.first = n
			r.chains = append(r.chains, c)
		} else {
			r.items[c.last].next = n
		}
		c.last = n
		c.items++
	}
	r.items = append(r.items, it)
	r.bytes += len(it.message)
	switch n++; {
	case int(n) >= min(largeShare*len(r.workers), largeRound) || r.bytes >= maxRoundBytes:
		p.run()
	case n%smallRound == 0 && (len(r.chains) < 2 || p.options.Pool.busy()):
		p.run()
	}
}

// run parses what is queued and acts on what was noted.
func (p *Processor) run() {
	r := p.round
	if len(r.items) == 0 {
		return
	}
	helpers := p.options.Pool.hire(min(len(r.chains), len(r.items)/minShare) - 1)
	r.used = max(r.used, helpers+1)
	for _, w := range r.workers[:helpers+1] {
		w.options, w.now, w.direct = &p.options, p.now, nil
	}
	r.parse(p.options.Pool, helpers)
	for i := range r.items {
		it := &r.items[i]
		if it.task {
			p.task(it)
			continue
		}
		w := r.workers[it.worker]
		for n := it.from; n < it.to; n++ {
			p.act(w, &w.notes[n])
		}
	}
	for _, w := range r.workers[:helpers+1] {
		p.unseat(w)
		w.reuse()
	}
	r.reset()
}

func (r *round) reset() {
	clear(r.items)
	clear(r.chains)
	r.items, r.chains, r.bytes = r.items[:0], r.chains[:0], 0
}

// parse works off the chains.
func (r *round) parse(pool *Pool, helpers int) {
	r.turn.Store(0)
	if helpers == 0 {
		r.work(0)
		return
	}
	// The longest first, so that none is begun when the others are done.
	slices.SortFunc(r.chains, func(a, b *connection) int {
		return cmp.Or(cmp.Compare(b.items, a.items), cmp.Compare(a.first, b.first))
	})
	for i := range helpers {
		r.helpers.Go(func() {
			defer pool.release()
			defer func() {
				if v := recover(); v != nil { // the stage deals with panics of the goroutine that called
					r.panicked.CompareAndSwap(nil, &v)
				}
			}()
			r.work(i + 1)
		})
	}
	func() {
		defer r.helpers.Wait()
		r.work(0)
	}()
	if v := r.panicked.Load(); v != nil {
		panic(*v)
	}
}

// work takes one chain after the other until there is none left.
func (r *round) work(number int) {
	w := r.workers[number]
	for {
		i := int(r.turn.Add(1)) - 1
		if i >= len(r.chains) {
			return
		}
		w.follow(r, int32(number), r.chains[i])
	}
}

// seat makes the first worker the sink of c, for what happens outside of rounds: notes are acted on at once. The round
// must be empty.
func (p *Processor) seat(c *connection) *worker {
	w := p.round.workers[0]
	w.options, w.now, w.clock, w.direct = &p.options, p.now, c.node.clockOffset, p
	p.round.used = max(p.round.used, 1)
	c.conn.Sink = w
	return w
}

// unseat takes over what w has counted.
func (p *Processor) unseat(w *worker) {
	p.held += w.held
	w.held = 0
}
