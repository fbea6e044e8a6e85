package decode

import (
	"slices"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/stream"
)

func (c *Conn) complete(x *Exchange) {
	x.Outcome = Complete
	x.End = max(x.RequestEnd, x.ResponseTime)
	c.finish(x)
	// With nothing left that could be out of step, the directions are in step from here on.
	if c.Order != protocols.ByID && !c.synced && c.head == len(c.open) && !c.Requests.Waiting() && !c.Responses.Waiting() {
		c.synced = c.Responses.Next() == stream.None
	}
}

// FinishOneWay ends an exchange that has no response. Its request must have ended.
func (c *Conn) FinishOneWay(x *Exchange) {
	x.Outcome = OneWay
	x.End = x.RequestEnd
	c.finish(x)
}

// Abandon ends x with what was seen of it. Where Order is FIFO, x must be the oldest.
func (c *Conn) Abandon(x *Exchange, outcome Outcome, at int64) {
	c.settleSizes(x)
	if x.responseDone {
		outcome, at = Complete, max(x.ResponseTime, c.Asking(x).Last().End)
	}
	x.Outcome = outcome
	x.End = max(at, x.Start)
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
	if x.responseDone { // only the end of the request was missed
		outcome, at = Complete, x.ResponseTime
	}
	if !x.started && !x.Ignore {
		c.Started(x)
	}
	// With what was seen so far, to which what follows is added.
	request, response := c.arrived(x)
	x.RequestBytes += request
	x.ResponseBytes += response
	x.Outcome = outcome
	x.End = max(at, x.Start)
	x.Concurrent = x.Concurrent || c.Requests.Concurrent || c.Responses.Concurrent
	x.reported, x.GivenUp = true, true
	c.Sink.Finished(c, x)
	x.GivenUp = false
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

// RequestGap says that requests, or a part of one, may have been missed.
func (c *Conn) RequestGap() {
	c.synced = false
	if c.Order == protocols.ByID {
		c.doubtSizes(c.Requests)
	}
}

// ResponseGap says that responses, or a part of one, may have been missed. What cannot be matched any more is ended.
// Where Order is ByID that is nothing: what comes later names its exchange.
func (c *Conn) ResponseGap() {
	c.synced = false
	if c.Order == protocols.ByID {
		c.doubtSizes(c.Responses)
		return
	}
	at := c.Responses.Last().End
	if c.pipelined {
		c.FinishAll(Lost, at)
		c.pipelined = false
		return
	}
	if x := c.due(false, 0); x != nil && x.Responding() && !x.responseDone {
		c.Abandon(x, Lost, at)
	}
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
	// What ends without a response was reported as that already.
	if x.Completes = x.reported && x.responseDone; !x.reported || x.Completes {
		x.reported = true
		c.Sink.Finished(c, x)
	}
	c.Sink.Free(x)
}
