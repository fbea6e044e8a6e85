package processor

import (
	"slices"

	"millrace.dev/services/decoder/internal/protocol"
)

const (
	// closeTicks is how many ticks a closed connection is kept, because its last data may be reported after its end.
	closeTicks = 2
	// gapTicks is after how many ticks a gap counts as real even if the node is silent.
	gapTicks = 50
)

func (p *Processor) closeLater(c *connection, outcome protocol.Outcome, at int64) {
	if c.closing != 0 {
		if outcome == protocol.Reset {
			c.closing = outcome
		}
		return
	}
	c.closing, c.closedAt, c.closeTick = outcome, at, p.ticks
	p.closing = append(p.closing, c)
}

// closeNow ends the connections that were closed a little while ago.
func (p *Processor) closeNow() {
	n := 0
	for _, c := range p.closing {
		if c.key == (connectionKey{}) || c.closing == 0 {
			continue
		}
		if p.ticks-c.closeTick < closeTicks {
			p.closing[n] = c
			n++
			continue
		}
		p.remove(c, c.closing, c.closedAt)
	}
	clear(p.closing[n:])
	p.closing = p.closing[:n]
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
	p.waiting = slices.DeleteFunc(p.waiting, func(c *connection) bool {
		if c.key == (connectionKey{}) || c.opaque {
			return true
		}
		late := p.ticks-c.waitTick >= gapTicks
		changed := false
		for _, s := range []interface {
			Overdue(int64) bool
			GiveUpGap()
		}{&c.send, &c.receive} {
			if s.Overdue(c.node.watermark) {
				changed = true
			} else if late {
				s.GiveUpGap()
				changed = true
			}
		}
		if changed {
			c.waitTick = p.ticks
			w := p.seat(c)
			w.parse(c)
			p.unseat(w)
		}
		c.awaited = !c.opaque && (c.send.Waiting() || c.receive.Waiting())
		return !c.awaited
	})
}

// expire ends the exchanges that have waited too long for a response.
func (p *Processor) expire() {
	for c := p.recent.next; c != &p.recent; c = c.next {
		if c.parser == nil || c.conn.Open() == 0 {
			continue
		}
		w := p.seat(c)
		outcome := protocol.Expired
		if c.suspect {
			outcome = protocol.Lost
		}
		if x := c.conn.Newest(); !x.IsStarted() && x.Deadline != 0 && p.now > x.Deadline {
			deadline := x.Deadline
			c.parser.Parse(&c.conn, protocol.Left) // what is known of half a request goes into its exchange
			if c.conn.Newest() == x {
				x.Deadline = deadline
			}
		}
		c.conn.Each(func(x *protocol.Exchange) {
			switch {
			case x.Deadline == 0:
				x.Deadline = p.options.deadline(p.now)
			case p.now <= x.Deadline || x.Patient:
			case x.Responding() && c.lastData+int64(p.options.ExchangeTimeout) > p.now: // it is being answered
			default:
				c.conn.Expire(x, outcome, max(c.node.watermark, x.Start))
			}
		})
		w.measure(c)
		p.unseat(w)
	}
}
