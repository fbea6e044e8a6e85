package decode

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/kafka/message"
)

// Protocol is Kafka.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_KAFKA,
	StateVersion: 2,
	New:          func(decode.Options) decode.Parser { return newParser() },
}

// direction is one of the two, and the message that is being read in it.
type direction struct {
	reader message.Reader
	facts  message.Facts
	// id is that of the first exchange of the message, part how many more there are: a Produce request has one for each
	// topic. found says that the message has an exchange.
	id    uint64
	part  int
	found bool
	lost  bool
	// x is the exchange for which bytes are taken, nil if there is none. It is found anew with each call of Parse.
	x *decode.Exchange
}

type parser struct {
	requests, responses direction
	conn                *decode.Conn // while it is being parsed
	group               []byte       // the consumer group that requests of the connection name
	mixed               bool         // they name several: which one a fetch is of is not known
	understood          bool
}

func newParser() *parser {
	p := &parser{}
	p.requests.reader.Request = true
	p.requests.reader.Facts, p.responses.reader.Facts = &p.requests.facts, &p.responses.facts
	p.responses.reader.Asked = p.asked
	return p
}

// exchangeID is what the exchange of the topic with an index is found by. Correlation ids begin at 0, which is no id of
// an exchange.
func exchangeID(correlation uint32, topic int) uint64 {
	return (uint64(topic)<<32 | uint64(correlation)) + 1
}

// Exchange.Number is the API and the version of the request; Exchange.Flags of the first exchange of a request how many
// more there are.
func numberOf(h *message.Header) uint32 { return uint32(uint16(h.API))<<16 | uint32(uint16(h.Version)) }

func apiOf(x *decode.Exchange) int16 { return int16(x.Number >> 16) }

// polls reports whether the request asks for records.
func polls(x *decode.Exchange) bool {
	return apiOf(x) == message.Fetch || apiOf(x) == message.ShareFetch
}

// asked gives the API and the version of the request with a correlation id.
func (p *parser) asked(correlation uint32) (api, version int16, ok bool) {
	if x := p.conn.Lookup(exchangeID(correlation, 0)); x != nil {
		return apiOf(x), int16(x.Number), true
	}
	return 0, 0, false
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	p.conn = c
	ok := p.read(c, c.Requests, &p.requests, ending) && p.read(c, c.Responses, &p.responses, ending)
	if d := &p.requests; ok && ending != decode.Open && d.found && !d.reader.AtStart() {
		p.cut(c, d)
	}
	p.conn = nil
	if !ok {
		return decode.GiveUp
	}
	return decode.Continue
}

// read takes what has come of a direction. It reports whether that can be Kafka.
func (p *parser) read(c *decode.Conn, s *stream.Stream, d *direction, ending decode.Ending) bool {
	d.x = d.exchange(c, d.taking())
	for s.Next() != stream.None {
		if d.lost {
			if !d.find(c, s) {
				return true
			}
			continue
		}
		if d.reader.AtStart() {
			least := message.ResponseHeader
			if d.reader.Request {
				least = message.RequestHeader
			}
			b := s.Bytes()
			if len(b) < least && !s.Cut() {
				return true
			}
			if len(b) < least {
				d.lose(c, s)
				continue
			}
			h := message.ReadResponse(b)
			if d.reader.Request {
				h = message.ReadRequest(b)
			}
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
		if s.Next() == stream.Lost && d.reader.Request { // another group may be in it
			p.mixed, p.group = true, p.group[:0]
		}
		d.take(c, s)
		if d.reader.AtStart() {
			p.understood = true
			p.end(c, s, d)
			d.found, d.x = false, nil
			h := d.reader.Header()
			d.lost = h.Raw() // tokens without headers follow
		}
	}
	return true
}

// begin finds the exchange of the message at the position. False: wait for its request.
func (p *parser) begin(c *decode.Conn, s *stream.Stream, d *direction, h *message.Header, ending decode.Ending) bool {
	d.id, d.part = exchangeID(h.Correlation, 0), 0
	if d.reader.Request {
		x := c.BeginAt(s, d.id)
		x.Number = numberOf(h)
		x.Ignore = h.API != message.Produce // of a Fetch until its response has something
		x.Patient = x.Ignore                // the broker waits for records, and for members of groups
		d.found, d.x = true, x
		return true
	}
	d.x = c.Lookup(d.id)
	d.found = d.x != nil
	if d.found || !c.Synced() || ending != decode.Open {
		return true
	}
	// The request may come later than what answers it, but not later than a request that was sent after that.
	return c.Requests.Last().Begin > s.Meta().Begin || c.Requests.Next() != stream.None
}

// exchange gives the exchange of the topic with an index, nil if there is none.
func (d *direction) exchange(c *decode.Conn, topic int) *decode.Exchange {
	if !d.found {
		return nil
	}
	return c.Lookup(d.id + uint64(topic)<<32)
}

// take reads what has come of a message. Where the topics of a Produce request begin, so do exchanges.
func (d *direction) take(c *decode.Conn, s *stream.Stream) {
	if d.reader.Request && d.x != nil && d.part+1 < d.topics() && apiOf(d.x) == message.Produce {
		number := d.x.Number
		d.part = d.topics() - 1
		d.x = c.BeginAt(s, d.id+uint64(d.part)<<32)
		d.x.Number = number
	}
	b, n := s.Bytes(), 0
	for n < len(b) {
		topics := d.topics()
		m, _ := d.reader.Next(b[n:])
		if n += m; d.reader.AtStart() || d.reader.Request && d.topics() != topics {
			break
		}
	}
	if len(b) == 0 {
		n = int(min(s.Run(), uint64(d.reader.Left())))
		if s.Next() == stream.Hole {
			d.reader.Pass(uint32(n))
		} else {
			d.reader.Lose(uint32(n))
		}
	}
	c.Take(s, d.x, uint64(n))
}

// taking is the topic of the exchange for which bytes are taken.
func (d *direction) taking() int {
	if d.reader.Request {
		return d.part
	}
	return 0
}

// topics is how many topics of the message have begun, of those that are told apart.
func (d *direction) topics() int {
	if d.reader.AtStart() {
		return 0
	}
	return min(d.reader.Topics(), message.MaxTopics)
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
func (d *direction) find(c *decode.Conn, s *stream.Stream) bool {
	b := s.Bytes()
	if len(b) == 0 || !s.AtEventStart() {
		return s.PassToEvent()
	}
	guess := protocols.More
	if d.reader.Request {
		guess = kafka.Protocol.Recognise(b, protocols.Client, protocols.Boundary)
	} else if len(b) >= message.ResponseHeader {
		h := message.ReadResponse(b)
		if x := c.Lookup(exchangeID(h.Correlation, 0)); x == nil || !h.Valid(false) {
			guess = protocols.No
		} else {
			guess = protocols.Sure
		}
	}
	switch {
	case guess == protocols.More && !s.Cut():
		return false
	case guess == protocols.No || len(b) < message.RequestHeader && guess == protocols.More:
		return s.PassToEvent()
	}
	d.lost = false // with More, the node left out what follows the header: it was sure
	return true
}

// end takes what a whole message said.
func (p *parser) end(c *decode.Conn, s *stream.Stream, d *direction) {
	if d.reader.Request {
		p.endRequest(c, s, d)
		return
	}
	h := d.reader.Header()
	if h.API == message.Metadata {
		names.learn(d.facts.Topics)
	}
	first := d.exchange(c, 0)
	switch {
	case first == nil:
	case polls(first):
		p.fetched(c, s, first)
	case first.Ignore:
		c.End(s, first)
	default:
		p.produced(c, s, d, first)
	}
}

// endRequest takes what a whole request said.
func (p *parser) endRequest(c *decode.Conn, s *stream.Stream, d *direction) {
	p.join(d.facts.Group)
	first := d.exchange(c, 0)
	switch {
	case first == nil:
		return
	case polls(first):
		p.fetches(first)
		c.End(s, first) // it is started when its response shows that it is published
		return
	case first.Ignore:
		c.End(s, first)
		return
	}
	first.Flags = uint8(d.part)
	for i := range d.part + 1 {
		x := d.exchange(c, i)
		if x == nil {
			continue
		}
		p.sends(c, x, i)
		if !x.Ignore {
			c.Started(x)
		}
		c.End(s, x)
		if d.facts.Acks == 0 && d.reader.Understood() && d.exchange(c, i) == x { // not answered all the same
			c.FinishOneWay(x)
		}
	}
}

// join takes the name of a group from a request of it; empty: it has none.
func (p *parser) join(group []byte) {
	if len(group) == 0 {
		return
	}
	if p.mixed = p.mixed || len(p.group) > 0 && !bytes.Equal(p.group, group); p.mixed {
		group = nil
	}
	p.group = append(p.group[:0], group...)
}

// cut takes what half a request said, of which no more will come.
func (p *parser) cut(c *decode.Conn, d *direction) {
	d.reader.Cut()
	for i := range d.part + 1 {
		if x := d.exchange(c, i); x != nil && !x.Ignore {
			if x.Ignore = true; apiOf(x) == message.Produce && i < len(d.facts.Topics) && len(d.facts.Topics[i].Name) > 0 {
				x.Ignore = false
				p.sends(c, x, i)
			}
		}
	}
	d.found = false
}

// produced ends the exchanges of a Produce request: each with what the response says of its topic.
func (p *parser) produced(c *decode.Conn, s *stream.Stream, d *direction, first *decode.Exchange) {
	start, end := first.ResponseStart, first.ResponseTime
	missed := d.facts.Over || len(d.facts.Topics) > int(first.Flags)+1 // topics that were not read in the request
	for i := int(first.Flags); i >= 0; i-- {                           // the first last: it is what the others are found by
		x := d.exchange(c, i)
		if x == nil {
			continue
		}
		x.ResponseStart, x.ResponseTime = start, end
		n := p.answered(x)
		if x != first {
			d.give(first, x, n)
		}
		missed = missed || n == 0 // what is said of it counts for the first
		x.Estimated = x.Estimated || missed
		c.End(s, x)
	}
}
