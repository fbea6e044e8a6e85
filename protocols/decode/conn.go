package decode

import (
	"slices"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// MaxOpen bounds the requests of one connection that wait for a response. With one more, all of them count as lost;
// where ids tell which response is whose, only the oldest does.
const MaxOpen = 32768

// Sink takes what parsers find.
type Sink interface {
	// New gives an exchange, reused or new; its memory may hold an old value.
	New() *Exchange
	// Started says that the head of a request is complete. Its start, head, context and actors do not change from here
	// on.
	Started(c *Conn, x *Exchange)
	// Responded says that the last byte of the response was moved.
	Responded(c *Conn, x *Exchange)
	// Finished ends the exchange. It is called once for each; Free follows, perhaps much later.
	Finished(c *Conn, x *Exchange)
	// Free takes the exchange back.
	Free(x *Exchange)
}

// Conn is one connection end as its parser sees it.
type Conn struct {
	// Requests and Responses are the two directions.
	Requests, Responses *stream.Stream
	// Client says that this end sends the requests.
	Client bool
	// ClientPort is the port of the end that sends the requests, which translation of addresses on the way to a server
	// leaves alone; 0: not known.
	ClientPort uint16
	// Order is how responses find their requests; it does not change after Attach.
	Order protocols.Order
	Sink  Sink
	// Owner is the processor's own.
	Owner any

	open []*Exchange // in the order of the requests; open[head:] are waiting
	head int
	held int // see Held
	// pushed is how many of them began in Responses.
	pushed  int
	byID    map[uint64]*Exchange // open exchanges with an id, where Order is ByID
	pairing pairing
}

// Attach makes c ready for a parser.
func (c *Conn) Attach() {
	c.pairing = pairing{}
	if c.Requests.Joined || c.Responses.Joined {
		c.pairing.step = joined
	}
}

// Open is the number of exchanges that wait.
func (c *Conn) Open() int { return len(c.open) - c.head }

// exchangeBytes is what an open exchange takes in a snapshot without its texts, at least.
const exchangeBytes = 376

// Held is about how many bytes the waiting exchanges take in a snapshot.
func (c *Conn) Held() int { return c.held + exchangeBytes*c.Open() }

// Index gives the position of x among the waiting exchanges plus 1, 0 if x is nil or not waiting.
func (c *Conn) Index(x *Exchange) int {
	if x == nil {
		return 0
	}
	return slices.Index(c.open[c.head:], x) + 1
}

// At is the inverse of Index; nil for 0 and for what is out of range.
func (c *Conn) At(index int) *Exchange {
	if index < 1 || index > c.Open() {
		return nil
	}
	return c.open[c.head+index-1]
}

// Oldest is the exchange whose response is next, nil if none waits.
func (c *Conn) Oldest() *Exchange {
	if c.head == len(c.open) {
		return nil
	}
	return c.open[c.head]
}

// Newest is the exchange that began last, nil if none waits.
func (c *Conn) Newest() *Exchange {
	if c.head == len(c.open) {
		return nil
	}
	return c.open[len(c.open)-1]
}

// Recent gives the n exchanges that began last, or as many as wait. The slice is valid until the next call of Begin.
func (c *Conn) Recent(n int) []*Exchange { return c.open[max(c.head, len(c.open)-n):] }

// Begin opens an exchange whose first byte is at the position of Requests.
func (c *Conn) Begin() *Exchange { return c.BeginAt(c.Requests, 0) }

// BeginAt opens an exchange at the position of s, at which there must be a byte. id is its stream or correlation id, 0
// where there is none. s is [Conn.Responses] where the server begins the exchange, which needs Order to be ByID. There
// an exchange that is open with the same id ends as lost: its end was missed.
func (c *Conn) BeginAt(s *stream.Stream, id uint64) *Exchange {
	m := s.Meta()
	if c.Order == protocols.ByID {
		c.makeRoom(s, id, m)
	} else {
		if c.Open() >= MaxOpen {
			c.FinishAll(Lost, m.End)
			c.fallOut(true)
		}
		// A later send does not prove it: the response in between may be lost, which shows only later.
		if x := c.Newest(); x != nil && x.serial == m.Serial && !x.Pushed && s == c.Requests {
			c.pairing.pipelined = true
		}
		s.TakeLost() // what was lost before this request is not its own
	}
	if c.head == len(c.open) {
		c.open, c.head = c.open[:0], 0
	}
	x := c.Sink.New()
	x.reset()
	x.Offset, x.Stream = s.Offset(), id
	x.Start = m.Begin
	x.First = m.Actor
	x.serial = m.Serial
	x.Arrival.First = s.FirstArrived() // what this end sends has none
	x.doubtful = c.pairing.step != inStep
	if s == c.Responses {
		x.Pushed = true
		c.pushed++
	}
	if c.head > 64 && c.head*2 > len(c.open) {
		c.open = slices.Delete(c.open, 0, c.head)
		c.head = 0
	}
	c.open = append(c.open, x)
	if c.Order == protocols.ByID {
		x.requestCounted, x.responseCounted = true, true
		c.enter(x)
	}
	return x
}

// Started says that what the request says of itself was read, up to the last byte that was taken from its direction.
func (c *Conn) Started(x *Exchange) {
	if x.started {
		return
	}
	x.started = true
	c.hold(x)
	s := c.Asking(x)
	m := s.Last()
	x.Head, x.HeadTime = m.Actor, m.End
	x.Concurrent = x.Concurrent || s.Concurrent
	c.Sink.Started(c, x)
}

// hold counts the texts of x. What is learned later is little.
func (c *Conn) hold(x *Exchange) {
	x.held = len(x.Context.State) + x.Said.size() + len(x.Scratch) + len(x.head)
	c.held += x.held
}

// EndRequest says that the last byte that was taken from Requests ends the request.
func (c *Conn) EndRequest(x *Exchange) {
	if x.requestDone {
		return
	}
	x.requestDone = true
	s := c.Asking(x)
	if !x.requestCounted {
		x.RequestBytes += s.Offset() - x.Offset
	}
	if c.Order != protocols.ByID {
		x.RequestEnd = s.Last().End
		c.waited(s, x)
	}
	c.settleLost(s, x)
	if x.responseDone {
		c.complete(x)
	}
}

// BreakRequest says that the end of the request cannot be found. The exchange goes on with its response; its sizes are
// estimates.
func (c *Conn) BreakRequest(x *Exchange) {
	x.Estimated = true
	c.EndRequest(x)
}

// RequestDone reports whether the end of the request was seen.
func (x *Exchange) RequestDone() bool { return x.requestDone }

// ResponseDone reports whether the end of the response was seen.
func (x *Exchange) ResponseDone() bool { return x.responseDone }

// BeginResponse says that the byte at the position of Responses is the first of the response to x (or of an interim
// one).
func (c *Conn) BeginResponse(x *Exchange) {
	s := c.Answering(x)
	m := s.Meta()
	c.doubt(x, m.Begin)
	if x.ResponseStart == 0 {
		x.ResponseStart = m.Begin
		c.firstArrived(s, x)
		if c.Order != protocols.ByID {
			x.LostBytes += s.TakeLost()
		}
	}
	x.responding, x.responseAt = true, s.Offset()
	x.responseCounted = c.Order == protocols.ByID
}

// EndInterim says that the last byte that was taken from Responses ends an interim response to x.
func (c *Conn) EndInterim(x *Exchange) {
	s := c.Answering(x)
	if !x.responseCounted {
		x.ResponseBytes += s.Offset() - x.responseAt
	}
	if c.Order != protocols.ByID {
		x.ResponseTime = s.Last().End
		c.waited(s, x)
	}
	x.responding = false
}

// EndResponse says that the last byte that was taken from Responses ends the response to x. If the request is still
// being sent the exchange ends with it.
func (c *Conn) EndResponse(x *Exchange) {
	c.EndInterim(x)
	x.responseDone = true
	if c.Order != protocols.ByID {
		c.answers(x)
	}
	c.settleLost(c.Answering(x), x)
	c.Sink.Responded(c, x)
	if x.requestDone {
		c.complete(x)
	}
}

// Prolong says that the last byte that was taken from Responses ends the response to x, but that x goes on: its parser
// counts on it what follows on the connection. Its times and sizes are those of now. It ends with EndProlonged, or with
// the connection; if that takes long, it is told before, and then once more, see [Exchange.Completes].
func (c *Conn) Prolong(x *Exchange) {
	c.EndInterim(x)
	x.prolonged, x.Patient = true, true
	c.settleLost(c.Answering(x), x)
	c.Sink.Responded(c, x)
}

// EndProlonged ends an exchange that was prolonged.
func (c *Conn) EndProlonged(x *Exchange) {
	x.responseDone = true
	c.complete(x)
}

// IsProlonged reports whether [Conn.Prolong] was called.
func (x *Exchange) IsProlonged() bool { return x.prolonged }

// AppendState writes the open exchanges to w.
func (c *Conn) AppendState(w *snapshot.Writer) {
	c.pairing.appendState(w)
	w.Uint(uint64(c.Open()))
	c.Each(func(x *Exchange) { x.appendState(w) })
}

// RestoreState reads what AppendState wrote into a Conn without exchanges, in a snapshot of the given version. detail
// is given the details of exchanges, which snapshots before version 11 have.
func (c *Conn) RestoreState(r *snapshot.Reader, version uint64, detail func(x *Exchange, field uint8, message []byte)) {
	c.pairing.restoreState(r, version)
	for range r.Items() {
		x := c.Sink.New()
		x.reset()
		if field, message := x.restoreState(r, version); field != 0 {
			detail(x, field, message)
		}
		if x.started {
			c.hold(x)
		}
		if x.Pushed {
			if c.pushed++; c.Order == protocols.FIFO { // parsers go by the oldest there, and none begins one in Responses
				r.Fail()
			}
		}
		c.open = append(c.open, x)
		if c.Order == protocols.ByID {
			if c.Lookup(x.Stream) != nil {
				r.Fail()
			}
			c.enter(x)
		}
	}
}
