package decode

// Fork opens an exchange for one more of the things that x asked for at once, where a message answers each of them. It
// has the place of x, its actors, its times and what was said of it so far, and none of its bytes: these count once.
// id is not that of an open exchange. Both requests must have ended, and responses with ids alone can be told apart, so
// Order is ByID. The parser ends it before Parse returns.
func (c *Conn) Fork(x *Exchange, id uint64) *Exchange {
	y := c.Sink.New()
	y.reset()
	y.Offset, y.Stream, y.serial, y.First, y.Pushed = x.Offset, id, x.serial, x.First, x.Pushed
	y.Start, y.RequestEnd, y.ResponseStart, y.ResponseTime = x.Start, x.RequestEnd, x.ResponseStart, x.ResponseTime
	y.Patient, y.Estimated, y.Flags, y.Number = x.Patient, x.Estimated, x.Flags, x.Number
	y.requestDone, y.requestCounted, y.responseCounted = x.requestDone, true, true
	y.Said.Set(&x.Said)
	if y.Pushed {
		c.pushed++
	}
	c.open = append(c.open, y)
	c.enter(y)
	return y
}
