package decode

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/snapshot"
)

// Where responses have no ids, the nth response answers the nth request: as long as nothing of either direction is
// missing. The bytes of a gap may have held any number of requests, or of responses, and so may what was said before a
// connection was joined. Then nothing but the client's habits tells which response is whose:
//
//   - Requests that were read before bytes of requests were missing are answered before those in the gap: they find
//     their responses. All that began later, or waited while bytes of responses were missing, is doubtful.
//   - A doubtful exchange behind a gap, on a connection that was seen to pipeline, ends as lost, without a response. On
//     others its response is most likely its own: the exchange is complete, but says that it is an estimate.
//   - Both directions are empty when a client that waits for all responses before it asks again does ask again. That
//     this client does so is known from the rounds that it made before the gap, or from a silence that is long beside
//     its response times. Then a round is watched: if each of its requests was answered, and nothing else was, what
//     begins with the next round is in step.
//   - A response that came before its request, or with none, answers one that was not seen.

// step says how requests and responses correspond.
type step uint8

const (
	inStep    step   = iota // one to one
	joined                  // the beginning of the connection was not seen, and no bytes were missing since
	outOfStep               // requests, or responses, may be missing
	lastStep  = iota        // not a step: what a snapshot holds is below it
)

const (
	// enoughRounds is how often a client must have waited for all responses before it counts as one that always does.
	enoughRounds = 4
	// A silence is long from leastSilence (ns) on, and from silenceFactor times the longest response time.
	leastSilence  = int64(10e6)
	silenceFactor = 4
	// maxLook bounds how many requests are looked at for one that began before a response.
	maxLook = 64
)

// pairing is what is known of a connection whose responses have no ids.
type pairing struct {
	step step
	// pipelined: the client was seen to send a request before the response to the one before it. refills: it was seen
	// to send one behind a response while it waited for others.
	pipelined, refills bool
	rounds             uint8  // how often it waited for all responses, up to enoughRounds
	trial              uint64 // 1 + the offset of the first request of the round that is watched, 0: none is
	longest            int64  // response time since then, ns
	answered           int64  // when the response before the next ended; node time, ns
}

// Pipelined reports whether the client was seen to send a request before the response to the one before it.
func (c *Conn) Pipelined() bool { return c.pairing.pipelined }

// Synced reports whether requests and responses are known to correspond.
func (c *Conn) Synced() bool { return c.pairing.step == inStep }

// Match says to which exchange the response at the position of Responses belongs. With orphan it belongs to none: it
// answers a request that was not seen, and is to be read and dropped. With neither, wait for a request.
func (c *Conn) Match() (x *Exchange, orphan bool) {
	m := c.Responses.Meta()
	for {
		if x = c.Oldest(); x != nil && x.Pushed {
			x = c.due(false, 0)
		}
		if x == nil || x.responseDone {
			return nil, false
		}
		// A response cannot begin before its request.
		if m.Begin < x.Start && m.End < x.Start {
			if c.pairing.step != joined {
				c.fallOut(true)
			}
			return nil, true
		}
		if !c.passed(x, m.Begin) {
			break
		}
		c.Abandon(x, Lost, m.Begin)
	}
	c.watch(x)
	return x, false
}

// passed reports whether the client has gone on behind the response to x, so that the one that began at a time is not
// it.
func (c *Conn) passed(x *Exchange, at int64) bool {
	p := &c.pairing
	if !x.doubtful {
		return false
	}
	if !p.pipelined {
		next := c.due(false, 1)
		return next != nil && next.Start <= at
	}
	last := c.Responses.Last().End
	if x.Start >= last {
		return false
	}
	waiting := c.open[c.head:]
	for i := len(waiting) - 1; i >= max(0, len(waiting)-maxLook); i-- {
		if y := waiting[i]; y.Start <= at {
			return !y.Pushed && y.Start >= last && (!p.refills || y.Start-last >= leastSilence)
		}
	}
	return false
}

// watch looks at the request of x, whose response begins: whether the client had waited for all before it.
func (c *Conn) watch(x *Exchange) {
	p := &c.pairing
	last := c.Responses.Last().End
	if x.Responding() || last == 0 || x.Start < last || c.Order == protocols.ByID {
		return
	}
	if p.step == inStep {
		p.rounds = min(p.rounds+1, enoughRounds)
		return
	}
	switch at := x.Offset + 1; {
	case !x.doubtful || p.trial == at:
	case p.trial == 0:
		p.trial, p.longest = at, 0
	case !p.refills && p.rounds == enoughRounds || x.Start-last >= max(leastSilence, silenceFactor*p.longest):
		p.step, p.trial = inStep, 0
		c.Each(func(x *Exchange) { x.doubtful = false })
	default:
		p.trial = at
	}
}

// answers notes that the response to x has ended.
func (c *Conn) answers(x *Exchange) {
	p := &c.pairing
	if p.step == inStep && c.Open() > 1 {
		if next := c.due(false, 1); next != nil && next.Start < x.ResponseStart {
			p.pipelined = true
		}
		if y := c.Newest(); x.Start < p.answered && p.answered <= y.Start && y.Start < x.ResponseStart {
			p.refills = true
		}
	}
	p.answered = x.ResponseTime
	p.longest = max(p.longest, x.ResponseTime-x.Start)
}

// doubt acts on the beginning of the response to x: whose it is may not be known.
func (c *Conn) doubt(x *Exchange, at int64) {
	switch {
	case !x.doubtful || c.Order == protocols.ByID || x.Responding():
	case c.pairing.step == joined || !c.pairing.pipelined:
		x.Estimated = true
	default:
		c.withhold(x, at)
	}
}

// withhold ends x for the sink as lost, and follows its response for nobody.
func (c *Conn) withhold(x *Exchange, at int64) {
	x.withheld = true
	if !x.reported {
		c.report(x, Lost, at)
	}
	x.Ignore = true
}

// Doubt says that where the message of an exchange ends in Responses is a guess: what follows may answer another.
func (c *Conn) Doubt() { c.fallOut(true) }

// RequestGap says that requests, or a part of one, may have been missed.
func (c *Conn) RequestGap() {
	c.fallOut(c.pairing.step == joined)
	if c.Order == protocols.ByID {
		c.doubtSizes(c.Requests)
	}
}

// ResponseGap says that responses, or a part of one, may have been missed. What cannot be matched any more is ended.
// Where Order is ByID that is nothing: what comes later names its exchange.
func (c *Conn) ResponseGap() {
	c.fallOut(true)
	if c.Order == protocols.ByID {
		c.doubtSizes(c.Responses)
		return
	}
	at := c.Responses.Last().End
	if c.pairing.pipelined {
		c.FinishAll(Lost, at)
		return
	}
	if x := c.due(false, 0); x != nil && x.Responding() && !x.responseDone {
		c.Abandon(x, Lost, at)
	}
}

// fallOut says that requests and responses do not correspond any more; with all, also of the requests that wait.
func (c *Conn) fallOut(all bool) {
	p := &c.pairing
	p.trial = 0
	if p.step == joined && p.answered == 0 && c.Open() == 0 {
		return // nothing of it was understood yet
	}
	p.step = outOfStep
	if all {
		c.Each(func(x *Exchange) { x.doubtful = true })
	}
}

func (p *pairing) appendState(w *snapshot.Writer) {
	w.Uint(uint64(p.step))
	w.Bool(p.pipelined)
	w.Bool(p.refills)
	w.Uint(uint64(p.rounds))
	w.Uint(p.trial)
	w.Int(p.longest)
	w.Int(p.answered)
}

// restoreState reads what a version wrote; before 12 that was whether the directions are in step, and pipelined.
func (p *pairing) restoreState(r *snapshot.Reader, version uint64) {
	if version < 12 {
		if !r.Bool() {
			p.step = joined
		}
		p.pipelined = r.Bool()
		return
	}
	n := r.Uint()
	p.pipelined, p.refills = r.Bool(), r.Bool()
	rounds := r.Uint()
	if n >= lastStep || rounds > enoughRounds {
		r.Fail()
		return
	}
	p.step, p.rounds = step(n), uint8(rounds)
	p.trial, p.longest, p.answered = r.Uint(), r.Int(), r.Int()
}
