package processor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
)

const (
	// step is the grain of the processor's time. What is due is done at whole steps of the stream's time, before the
	// first record that was stored after them: that is the same record in every replay, whenever and how often Tick is
	// called.
	step = int64(100 * time.Millisecond)
	// closeTicks is how many steps a closed connection is kept, because its last data may be reported after its end.
	closeTicks = 2
	// gapTicks is after how many steps a gap counts as real even if the node is silent.
	gapTicks = 50
	// expireTicks is every how many steps exchanges are looked through, forgetTicks processes.
	expireTicks, forgetTicks = 10, 100
	// silentTicks is after how many steps without a batch a node may be gone: capture sends one at least every 30
	// seconds to each partition for which it follows connections.
	silentTicks = 1200
	// prolongedTicks is after how many steps an exchange whose connection goes on behind its response is told, as far as
	// it goes. Most connections end before; of the others not to know that they are there would be worse than to be told
	// of them twice.
	prolongedTicks = 100
	// maxSteps bounds the steps that are gone through one by one where the stream tells no time in between.
	maxSteps = int64(time.Hour) / step
)

// Tick implements [stage.Processor].
func (p *Processor) Tick(_ context.Context, now time.Time, out stage.Output) error {
	defer p.enter(out)()
	p.advance(now.UnixNano())
	p.finish()
	return nil
}

// advance lets the stream's time pass up to at, Unix ns, and does what is due on the way, each thing at its own step.
// A time that is not after the present one, or none, changes nothing.
func (p *Processor) advance(at int64) {
	at -= at % step
	if at <= p.now || at > maxTime {
		return
	}
	p.run() // what came before goes by the time at which it came
	left := (at - p.now) / step
	if p.now == 0 { // the first time that is known
		left = 1
	}
	p.hearUntil(at)
	for leapAt := left - maxSteps; left > 0; left-- {
		p.ticks++
		p.now = at - (left-1)*step
		p.fillGaps()
		p.closeNow()
		if p.ticks%expireTicks == 0 {
			p.expire()
		}
		if p.ticks%forgetTicks == 0 {
			p.forgetProcesses()
			if left > 2*forgetTicks && (left < leapAt || p.idle()) {
				left -= p.leap(left - 1)
			}
		}
	}
	p.now = at
}

// leap lets up to so many steps pass at once in which nothing happens but that processes are forgotten. It gives the
// number.
func (p *Processor) leap(steps int64) int64 {
	steps -= steps % forgetTicks
	p.ticks += uint64(steps)
	p.forgetProcesses()
	return steps
}

// idle reports whether time alone changes nothing in connections. Where the stream was silent for hours, not every
// step of it is gone through.
func (p *Processor) idle() bool {
	if len(p.closing) > 0 || len(p.waiting) > 0 {
		return false
	}
	waits := false
	for c := p.recent.next; c != &p.recent && !waits; c = c.next {
		if c.parser != nil && c.conn.Open() > 0 {
			c.conn.Each(func(x *decode.Exchange) { waits = waits || (!x.Patient || x.IsProlonged()) && !x.Reported() })
		}
	}
	return !waits
}

func (p *Processor) closeLater(c *connection, outcome decode.Outcome, at int64) {
	if c.closing != 0 {
		if outcome == decode.Reset {
			c.closing = outcome
		}
		return
	}
	c.closing, c.closedAt, c.closeTick = outcome, at, p.ticks
	p.closing = append(p.closing, c)
}

// closeNow ends the connections that were closed a little while ago.
func (p *Processor) closeNow() {
	var due []*connection
	p.closing = slices.DeleteFunc(p.closing, func(c *connection) bool {
		if c.key == (connectionKey{}) || c.closing == 0 {
			return true
		}
		if p.ticks-c.closeTick < closeTicks {
			return false
		}
		due = append(due, c)
		return true
	})
	inOrder(due, func(c *connection) int64 { return c.closedAt })
	for _, c := range due {
		p.remove(c, c.closing, c.closedAt)
	}
}

// inOrder sorts connections in a way that does not depend on how they were listed, which a snapshot does not keep.
func inOrder(connections []*connection, at func(*connection) int64) {
	slices.SortFunc(connections, func(a, b *connection) int {
		return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a.key.process, b.key.process), cmp.Compare(a.key.socket, b.key.socket))
	})
}

// await notes that the connection has a gap that may be filled.
func (p *Processor) await(c *connection) {
	if !c.awaited {
		c.awaited, c.waitTick = true, p.ticks
		p.waiting = append(p.waiting, c)
	}
}

// fillGaps gives up the gaps that will not be filled any more.
func (p *Processor) fillGaps() {
	var due []*connection
	p.waiting = slices.DeleteFunc(p.waiting, func(c *connection) bool {
		if c.key == (connectionKey{}) || c.opaque || !c.send.Waiting() && !c.receive.Waiting() {
			c.awaited = false
			return true
		}
		if p.ticks-c.waitTick < gapTicks && !c.send.IsOverdue(c.node.watermark) && !c.receive.IsOverdue(c.node.watermark) {
			return false
		}
		due = append(due, c)
		return true
	})
	inOrder(due, func(c *connection) int64 { return 0 })
	for _, c := range due {
		p.fillGap(c)
	}
}

// fillGap gives up the first gap of each direction of c that waited for too long, and waits for the others from now
// on.
func (p *Processor) fillGap(c *connection) {
	late := p.ticks-c.waitTick >= gapTicks
	for _, s := range [2]*stream.Stream{&c.send, &c.receive} {
		if late || s.IsOverdue(c.node.watermark) {
			s.GiveUpGap()
		}
	}
	w := p.seat(c)
	w.parse(c)
	p.unseat(w)
	c.awaited = false
	if !c.opaque && (c.send.Waiting() || c.receive.Waiting()) {
		p.await(c)
	}
}

// expire gives up the exchanges whose response may have been missed, because something was lost or because nothing is
// heard of their node, and that have waited for the timeout since. An exchange is not given up while its connection is
// open and all that moves on it is seen, however long that takes.
func (p *Processor) expire() {
	var idle []*connection
	defer func() {
		for _, c := range idle {
			p.remove(c, decode.Lost, untilNow)
		}
	}()
	for c := p.recent.next; c != &p.recent; c = c.next {
		if c.parser == nil || c.conn.Open() == 0 {
			if c.hasDatagrams() && p.now-c.lastData > datagramIdle {
				idle = append(idle, c)
			}
			continue
		}
		if c.hasDatagrams() {
			p.expireDatagrams(c)
			continue
		}
		if x := c.conn.Newest(); x.IsProlonged() {
			p.tellProlonged(c, x)
			continue
		}
		silentSince := p.silentSince(c.node)
		if !c.doubtful && silentSince == 0 && c.conn.Newest().Since != 0 {
			continue
		}
		w := p.seat(c)
		p.describeHalf(c, silentSince)
		c.conn.Each(func(x *decode.Exchange) {
			switch {
			case x.Since == 0:
				x.Since = p.now
			case x.Patient || !p.hasWaited(x, silentSince):
			case p.isAnswered(c, x):
			default:
				outcome := decode.Expired
				if x.DoubtAt != 0 {
					outcome = decode.Lost
				}
				c.conn.Expire(x, outcome, p.untilNow(x))
			}
		})
		w.measure(c)
		p.unseat(w)
	}
}

// tellProlonged tells of an exchange that goes on for long behind its response. Nothing else is open on its connection.
func (p *Processor) tellProlonged(c *connection, x *decode.Exchange) {
	switch {
	case x.Since == 0:
		x.Since = p.now
	case !x.Reported() && p.now-x.Since >= prolongedTicks*step:
		w := p.seat(c)
		c.parser.Parse(&c.conn, decode.Left)
		c.conn.Expire(x, decode.Complete, x.ResponseTime)
		w.measure(c)
		p.unseat(w)
	}
}

// describeHalf lets the parser write into exchanges what it knows of half a request that has waited for too long.
func (p *Processor) describeHalf(c *connection, silentSince int64) {
	x := c.conn.Newest()
	if c.conn.Order == protocols.ByID {
		x = nil
		c.conn.Each(func(y *decode.Exchange) {
			if !y.IsStarted() && p.hasWaited(y, silentSince) {
				x = y
			}
		})
	}
	if x == nil || x.IsStarted() || !p.hasWaited(x, silentSince) {
		return
	}
	since, doubtAt := x.Since, x.DoubtAt
	c.parser.Parse(&c.conn, decode.Left)
	if c.conn.Index(x) != 0 {
		x.Since, x.DoubtAt = since, doubtAt
	}
}

// isAnswered reports whether the response to x is on its way. Where several are at once, each has its own last byte.
func (p *Processor) isAnswered(c *connection, x *decode.Exchange) bool {
	switch {
	case !x.Responding():
		return false
	case c.conn.Order == protocols.ByID:
		return x.ResponseTime+int64(p.options.ExchangeTimeout) > p.untilNow(x)
	}
	return c.lastData+int64(p.options.ExchangeTimeout) > p.now
}

// untilNow is the node time now, as x shows it: by the time that the stream has told since x began.
func (p *Processor) untilNow(x *decode.Exchange) int64 {
	if x.Since == 0 {
		return x.Start
	}
	return x.Start + max(p.now-x.Since, 0)
}

// hasWaited reports whether x has waited for the timeout since its response may have been missed.
func (p *Processor) hasWaited(x *decode.Exchange, silentSince int64) bool {
	doubtful := cmp.Or(x.DoubtAt, silentSince)
	return x.Since != 0 && doubtful != 0 && p.now-max(x.Since, doubtful) > int64(p.options.ExchangeTimeout)
}

// silentSince is the stream's time, Unix ns, when the node was heard of last, if that is so long ago that it or its
// capture may be gone; else 0.
func (p *Processor) silentSince(n *node) int64 {
	if p.ticks-n.lastTick <= silentTicks {
		return 0
	}
	return max(p.now-int64(p.ticks-n.lastTick)*step, 1)
}
