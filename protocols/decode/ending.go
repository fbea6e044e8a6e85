package decode

import (
	"slices"

	"millrace.dev/protocols"
)

func (c *Conn) complete(x *Exchange) {
	x.Outcome = Complete
	x.End = max(x.RequestEnd, x.ResponseTime)
	c.finish(x)
}

// FinishOneWay ends an exchange that has no response. Its request must have ended.
func (c *Conn) FinishOneWay(x *Exchange) {
	x.Outcome = OneWay
	x.End = x.RequestEnd
	c.finish(x)
}

// EndOneWay says that the last byte that was taken ends the request of x, which has no response. If one was taken for
// its response all the same, that answered another.
func (c *Conn) EndOneWay(x *Exchange) {
	if x.responseDone {
		x.Estimated = true
		c.Doubt()
		c.EndRequest(x)
		return
	}
	c.EndRequest(x)
	c.FinishOneWay(x)
}

// Abandon ends x with what was seen of it. Where Order is FIFO, x must be the oldest.
func (c *Conn) Abandon(x *Exchange, outcome Outcome, at int64) {
	c.settleSizes(x)
	if x.prolonged {
		x.responseDone, x.Outcome, x.End = true, Complete, max(x.RequestEnd, x.ResponseTime)
		c.finish(x)
		return
	}
	if x.responseDone {
		outcome, at = Complete, max(x.ResponseTime, c.Asking(x).Last().End)
	}
	x.Outcome = outcome
	x.End = max(at, x.Start)
	if outcome == Lost {
		c.pairing.trial = 0
	}
	c.finish(x)
}

// settleSizes takes what has arrived of half-read messages into the sizes of x.
func (c *Conn) settleSizes(x *Exchange) {
	requests, responses := c.arrived(x)
	x.RequestBytes += requests
	x.ResponseBytes += responses
	if c.Order == protocols.ByID {
		c.passLost(c.Requests)
		c.passLost(c.Responses)
	} else {
		if !x.requestDone && x == c.Newest() {
			x.LostBytes += c.Asking(x).TakeLost()
		}
		if x.responding {
			x.LostBytes += c.Answering(x).TakeLost()
		}
	}
	x.responding = false
}

// arrived gives the bytes of half-read messages of x that have arrived and are not in its sizes. What Take counts is
// in them.
func (c *Conn) arrived(x *Exchange) (request, response uint64) {
	if !x.requestDone && !x.requestCounted && x == c.Newest() {
		request = c.Asking(x).Received() - x.Offset
	}
	if x.responding && !x.responseCounted {
		response = c.Answering(x).Received() - x.responseAt
	}
	return request, response
}

// Expire ends x for the sink, but keeps its place: a late response is not taken for another's, and completes x, see
// [Exchange.Completes].
func (c *Conn) Expire(x *Exchange, outcome Outcome, at int64) {
	if x.reported {
		return
	}
	if x.responseDone || x.prolonged { // of what is prolonged there is no end to miss, of others that of the request was
		outcome, at = Complete, x.ResponseTime
	}
	x.GivenUp = true
	c.report(x, outcome, at)
	x.GivenUp = false
}

// GoesOn reports whether more is read of x behind its end for the sink, so that what it says may change.
func (x *Exchange) GoesOn() bool { return x.GivenUp || x.withheld }

// report ends x for the sink with what was seen so far, to which what follows is added.
func (c *Conn) report(x *Exchange, outcome Outcome, at int64) {
	if !x.started && !x.Ignore {
		c.Started(x)
	}
	request, response := c.arrived(x)
	x.RequestBytes += request
	x.ResponseBytes += response
	x.Outcome = outcome
	x.End = max(at, x.Start)
	x.Concurrent = x.Concurrent || c.Requests.Concurrent || c.Responses.Concurrent
	x.reported = true
	c.Sink.Finished(c, x)
	x.RequestBytes -= request
	x.ResponseBytes -= response
}

// Each calls f for every waiting exchange, oldest first. f may call Expire.
func (c *Conn) Each(f func(x *Exchange)) {
	for _, x := range c.open[c.head:] {
		f(x)
	}
}

// FinishAll ends every waiting exchange.
func (c *Conn) FinishAll(outcome Outcome, at int64) {
	for c.head < len(c.open) {
		c.Abandon(c.open[c.head], outcome, at)
	}
}

// Drop ends every waiting exchange without a word: they were never messages of this protocol.
func (c *Conn) Drop() {
	for _, x := range c.open[c.head:] {
		x.Ignore = true
	}
	c.FinishAll(Lost, 0)
}

func (c *Conn) finish(x *Exchange) {
	if !x.started && !x.Ignore {
		c.Started(x)
	}
	c.held -= x.held
	if x.Pushed {
		c.pushed--
	}
	if c.byID != nil && c.byID[x.Stream] == x {
		delete(c.byID, x.Stream)
	}
	x.Concurrent = x.Concurrent || c.Requests.Concurrent || c.Responses.Concurrent
	if c.open[c.head] == x {
		c.open[c.head] = nil
		c.head++
		if c.head == len(c.open) {
			c.open, c.head = c.open[:0], 0
		}
	} else {
		i := len(c.open) - 1 // those that end out of turn are mostly young
		for c.open[i] != x {
			i--
		}
		c.open = slices.Delete(c.open, i, i+1)
	}
	x.Ignore = x.Ignore || x.withheld // whatever the response said
	// What ends without a response was reported as that already.
	if x.Completes = x.reported && x.responseDone; !x.reported || x.Completes {
		x.reported = true
		c.Sink.Finished(c, x)
	}
	c.Sink.Free(x)
}
