package decode

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/message"
)

// Protocol is MongoDB.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_MONGODB,
	StateVersion: 2,
	New:          func(decode.Options) decode.Parser { return newParser() },
}

// direction is one of the two, and the message that is being read in it.
type direction struct {
	reader message.Reader
	facts  message.Facts
	// x is the exchange of the message, nil where it has none; id is what Lookup finds it by.
	x    *decode.Exchange
	id   uint64
	lost bool
	// packedEnd is the offset behind a compressed message, 0 while none is read: see packed.go.
	packedEnd uint64
}

type parser struct {
	requests, replies direction
	commands          message.Recent
	// Replies of an exhaust cursor answer each the one before: chain is the id of the last, and of what exchange it is;
	// 0 for one that is not published.
	chain      uint32
	chained    uint64
	inChain    bool
	understood bool // a whole message was read
}

func newParser() *parser {
	p := &parser{}
	p.requests.reader.Request = true
	for _, d := range []*direction{&p.requests, &p.replies} {
		d.reader.Facts = &d.facts
	}
	p.replies.reader.Command = p.commands.Has
	return p
}

// exchangeID is what an exchange is found by: 0 is a requestID, but no id of an exchange.
func exchangeID(id uint32) uint64 { return uint64(id) + 1 }

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	if !p.read(c, c.Requests, &p.requests, ending) || !p.read(c, c.Responses, &p.replies, ending) {
		return decode.GiveUp
	}
	if d := &p.requests; ending != decode.Open && d.x != nil && (!d.reader.AtStart() || d.packedEnd != 0) {
		if c.Lookup(d.id) == d.x {
			if !d.reader.AtStart() {
				d.reader.Cut()
			}
			p.describe(d.x)
		}
		d.x = nil
	}
	return decode.Continue
}

// read takes what has come of a direction. It reports whether that can be MongoDB.
func (p *parser) read(c *decode.Conn, s *stream.Stream, d *direction, ending decode.Ending) bool {
	for s.Next() != stream.None {
		if d.lost {
			if !d.find(s) {
				return true
			}
			continue
		}
		if d.reader.AtStart() && d.packedEnd == 0 {
			b := s.Bytes()
			if len(b) < message.HeaderSize && !s.Cut() {
				return true
			}
			if len(b) < message.HeaderSize {
				d.lose(c, s)
				continue
			}
			h := message.ReadHeader(b)
			if !h.Valid(d.reader.Request) {
				if !p.understood {
					return false
				}
				d.lose(c, s)
				continue
			}
			if !p.begin(c, s, d, &h, ending) {
				return true
			}
		}
		if d.x != nil && c.Lookup(d.id) != d.x {
			d.x = nil // it was ended in the middle of its message
		}
		d.read(c, s)
		if d.reader.AtStart() && d.packedEnd == 0 {
			p.understood = true
			p.end(c, s, d)
			d.x = nil
		}
	}
	return true
}

// begin finds the exchange of the message at the position. False: wait for its request.
func (p *parser) begin(c *decode.Conn, s *stream.Stream, d *direction, h *message.Header, ending decode.Ending) bool {
	if d.reader.Request {
		d.id = exchangeID(h.ID)
		d.x = c.BeginAt(s, d.id)
		return true
	}
	d.id = exchangeID(h.ResponseTo)
	if p.inChain && h.ResponseTo == p.chain {
		d.id = p.chained
	}
	d.x = c.Lookup(d.id)
	if d.x != nil || d.id == 0 || !c.Synced() || ending != decode.Open {
		return true
	}
	// The request may come later than what answers it, but not later than a request that was sent after that.
	return c.Requests.Last().Begin > s.Meta().Begin || c.Requests.Next() != stream.None
}

// read reads what has come of a message.
func (d *direction) read(c *decode.Conn, s *stream.Stream) {
	if d.packedEnd != 0 {
		d.unpack(c, s)
		return
	}
	start := s.Offset() - uint64(d.reader.Read())
	d.take(c, s)
	if _, _, ok := d.reader.Packed(); ok {
		h := d.reader.Header()
		d.packedEnd = start + uint64(h.Length)
	}
}

// take reads on in a message, up to what is compressed.
func (d *direction) take(c *decode.Conn, s *stream.Stream) {
	b, n := s.Bytes(), 0
	for n < len(b) {
		m, _ := d.reader.Next(b[n:])
		if n += m; d.reader.AtStart() {
			break
		}
		if _, _, ok := d.reader.Packed(); ok {
			break
		}
	}
	if len(b) == 0 {
		run := min(s.Run(), uint64(d.reader.Left()))
		if s.Next() == stream.Hole {
			d.reader.Pass(uint32(run))
		} else {
			d.reader.Lose(uint32(run))
		}
		n = int(run)
	}
	c.Take(s, d.x, uint64(n))
}

// lose gives up the position: where the next message begins is not known.
func (d *direction) lose(c *decode.Conn, s *stream.Stream) {
	if d.lost = true; s == c.Requests {
		c.RequestGap()
	} else {
		c.ResponseGap()
	}
	s.PassToEvent()
}

// find looks for a message at the start of an event. False: wait for more.
func (d *direction) find(s *stream.Stream) bool {
	if b := s.Bytes(); len(b) > 0 && s.AtEventStart() {
		from := protocols.Server
		if d.reader.Request {
			from = protocols.Client
		}
		switch mongodb.Protocol.Recognise(b, from, protocols.Boundary) {
		case protocols.Sure:
			d.lost = false
			return true
		case protocols.More:
			if !s.Cut() {
				return false
			}
			if len(b) >= message.HeaderSize { // the node left out what follows: it was sure
				d.lost = false
				return true
			}
		default:
		}
	}
	return s.PassToEvent()
}

// end takes what a whole message said.
func (p *parser) end(c *decode.Conn, s *stream.Stream, d *direction) {
	x := d.x
	if d.reader.Request {
		if d.reader.IsCommand() {
			p.commands.Add(d.reader.Header().ID)
		}
		if x == nil {
			return
		}
		p.describe(x)
		c.Started(x)
		c.End(s, x)
		if p.oneWay() && c.Lookup(d.id) == x { // not answered all the same
			c.FinishOneWay(x)
		}
		return
	}
	p.inChain = d.facts.MoreToCome
	if p.inChain {
		p.chain, p.chained = d.reader.Header().ID, d.id
		if x == nil || x.Ignore {
			p.chained = 0
		}
	}
	if x == nil {
		return
	}
	if n := d.facts.Returned; n >= 0 && x.Flags&flagUncounted == 0 {
		x.Flags |= flagReturned
		x.Number += uint32(n)
	} else if p.inChain || x.Flags&flagReturned != 0 {
		x.Flags |= flagUncounted
	}
	if p.inChain && !x.Ignore {
		return // more of it follows
	}
	p.answer(x)
	c.End(s, x)
}

// Bits of Exchange.Flags; Number counts the documents that were returned.
const (
	flagReturned  = 1 << iota // documents were
	flagUncounted             // not of all replies it is known how many
)

// oneWay reports whether the request that was read has no reply.
func (p *parser) oneWay() bool {
	switch p.requests.reader.Header().Op {
	case message.OpInsert, message.OpUpdate, message.OpDelete, message.OpKillCursors:
		return true
	}
	return p.requests.facts.MoreToCome
}
