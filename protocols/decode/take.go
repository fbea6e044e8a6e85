package decode

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/stream"
)

// Lookup gives the open exchange with an id. It is nil for 0, if there is none (its request was not seen, or it was
// ended), and where Order is not ByID.
func (c *Conn) Lookup(id uint64) *Exchange { return c.byID[id] }

// Take moves the position of s by at most n bytes; it stops where bytes have not come. It counts them, their times and
// what of them was lost for x: for its request if s is the direction in which x began, else for its response. With nil
// they count for nobody. It gives how many were taken. The bytes of a message are taken, or skipped, all of them; in a
// FIFO protocol what was skipped before the first Take counts as well.
func (c *Conn) Take(s *stream.Stream, x *Exchange, n uint64) uint64 {
	if c.Order == protocols.ByID {
		c.passLost(s)
	}
	if s.Next() == stream.None || n == 0 {
		return 0
	}
	if x == nil {
		taken, _ := s.Take(n)
		return taken
	}
	if s != c.Asking(x) {
		return c.takeResponse(s, x, n)
	}
	if !x.requestCounted {
		x.requestCounted = true
		x.RequestBytes += s.Offset() - x.Offset
	}
	taken, lost := s.Take(n)
	x.RequestBytes += taken
	x.LostBytes += lost
	x.RequestEnd = s.Last().End
	c.waited(s, x)
	return taken
}

func (c *Conn) takeResponse(s *stream.Stream, x *Exchange, n uint64) uint64 {
	if x.ResponseStart == 0 {
		x.ResponseStart = s.Meta().Begin
		c.firstArrived(s, x)
	}
	if x.responding && !x.responseCounted {
		x.ResponseBytes += s.Offset() - x.responseAt
	}
	x.responding, x.responseCounted = true, true
	x.Missed = false // there is more of it
	taken, lost := s.Take(n)
	x.ResponseBytes += taken
	x.LostBytes += lost
	x.ResponseTime = s.Last().End
	c.waited(s, x)
	return taken
}

// firstArrived notes when the byte at the position of s, the first of the response to x, arrived.
func (c *Conn) firstArrived(s *stream.Stream, x *Exchange) {
	if c.Asks(x) {
		x.Arrival.First = s.FirstArrived()
	}
}

// waited notes how long the last byte that was taken of s for x waited: until then it may be the last of its message.
func (c *Conn) waited(s *stream.Stream, x *Exchange) {
	if c.Asks(x) == (s == c.Asking(x)) {
		x.Arrival.Unsent = s.Unsent()
	} else {
		x.Arrival.Last = s.LastArrived()
	}
}

// End says that the last byte taken of s ends x's message in s: its request or its response, by which direction began
// it. It does nothing if that message has ended. When both have, the exchange is complete, and x is not to be used any
// more.
func (c *Conn) End(s *stream.Stream, x *Exchange) {
	switch {
	case s == c.Asking(x):
		c.EndRequest(x)
	case !x.responseDone:
		c.EndResponse(x)
	}
}

// Asks reports whether this end began x.
func (c *Conn) Asks(x *Exchange) bool { return c.Client != x.Pushed }

// Asking is the direction in which x began.
func (c *Conn) Asking(x *Exchange) *stream.Stream {
	if x.Pushed {
		return c.Responses
	}
	return c.Requests
}

// Answering is the direction of the response to x.
func (c *Conn) Answering(x *Exchange) *stream.Stream {
	if x.Pushed {
		return c.Requests
	}
	return c.Responses
}

// Due gives the oldest exchange that waits of those that began in Requests, or with pushed of those that began in
// Responses; nil if none does.
func (c *Conn) Due(pushed bool) *Exchange { return c.due(pushed, 0) }

// due gives the nth, from 0, of those.
func (c *Conn) due(pushed bool, n int) *Exchange {
	if pushed && c.pushed == 0 {
		return nil
	}
	for _, x := range c.open[c.head:] {
		if x.Pushed != pushed {
			continue
		}
		if n == 0 {
			return x
		}
		n--
	}
	return nil
}

// makeRoom prepares for an exchange that begins at m in s with an id.
func (c *Conn) makeRoom(s *stream.Stream, id uint64, m *stream.Meta) {
	c.passLost(s)
	if x := c.Lookup(id); x != nil {
		c.Abandon(x, Lost, m.Begin)
	}
	if c.Open() >= MaxOpen {
		c.Abandon(c.Oldest(), Lost, m.Begin)
	}
}

// enter makes x known by its id.
func (c *Conn) enter(x *Exchange) {
	if x.Stream == 0 {
		return
	}
	if c.byID == nil {
		c.byID = map[uint64]*Exchange{}
	}
	c.byID[x.Stream] = x
}

// Inherit turns c, whose Order was FIFO, to ids: the oldest open exchange gets an id, and what it has taken so far
// counts. Others end as closed.
func (c *Conn) Inherit(id uint64, at int64) {
	for c.Open() > 1 {
		c.Abandon(c.Newest(), Closed, at)
	}
	c.Order = protocols.ByID
	if x := c.Oldest(); x != nil {
		x.Stream, x.requestCounted, x.responseCounted, x.responding = id, true, true, false
		c.enter(x)
	}
}

// reads reports whether the message of x in s has not ended.
func (c *Conn) reads(s *stream.Stream, x *Exchange) bool {
	if s == c.Asking(x) {
		return !x.requestDone
	}
	return !x.responseDone
}

// settleLost takes what was lost of s before its position. Where bytes are taken for exchanges it is not known whose
// that was.
func (c *Conn) settleLost(s *stream.Stream, x *Exchange) {
	if c.Order == protocols.ByID {
		c.passLost(s)
		return
	}
	x.LostBytes += s.TakeLost()
}

// passLost takes what was lost of s and was passed over without being taken. Nobody knows whose it was: it counts
// once, for the oldest exchange whose it may be, and all whose it may be have estimated sizes.
func (c *Conn) passLost(s *stream.Stream) {
	n := s.TakeLost()
	if n == 0 {
		return
	}
	for _, x := range c.open[c.head:] {
		if c.reads(s, x) {
			x.Estimated = true
			x.LostBytes += n
			n = 0
		}
	}
}

// doubtSizes says that bytes of s were passed over without being taken.
func (c *Conn) doubtSizes(s *stream.Stream) {
	c.passLost(s)
	for _, x := range c.open[c.head:] {
		if c.reads(s, x) {
			x.Estimated = true
		}
	}
}
