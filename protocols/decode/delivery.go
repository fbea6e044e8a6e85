package decode

import "millrace.dev/protocols/decode/stream"

// Deliver publishes a message that the server sent unasked, and that has no response: all of it was taken from
// Responses. It began at an offset, with an event of which begin tells. It is never among the exchanges that wait, so
// it does not count where responses find their requests. say writes what is known of it.
func (c *Conn) Deliver(offset uint64, begin *stream.Meta, say func(x *Exchange)) {
	s := c.Responses
	last := s.Last()
	x := c.Sink.New()
	x.reset()
	x.Offset, x.Pushed = offset, true
	x.Start, x.First, x.serial = begin.Begin, begin.Actor, begin.Serial
	x.RequestBytes, x.RequestEnd = s.Offset()-offset, last.End
	x.Head, x.HeadTime = last.Actor, last.End
	x.LostBytes = s.TakeLost()
	x.Concurrent = c.Requests.Concurrent || s.Concurrent
	say(x)
	x.started, x.requestDone, x.requestCounted = true, true, true
	c.Sink.Started(c, x)
	x.Outcome, x.End, x.reported = OneWay, max(last.End, x.Start), true
	c.Sink.Finished(c, x)
	c.Sink.Free(x)
}
