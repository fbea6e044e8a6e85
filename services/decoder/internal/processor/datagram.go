package processor

import (
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
)

// datagramIdle is after how long (the stream's time, ns) without a datagram or an open exchange a pair of a socket and
// a remote address is forgotten. Nothing is lost with it: the next datagram begins it anew.
const datagramIdle = int64(5 * time.Second)

// hasDatagrams reports whether the connection is a pair of a socket and a remote address that exchange datagrams.
func (c *connection) hasDatagrams() bool {
	return c.facts.Transport == millracev1.Transport_TRANSPORT_UDP
}

// datagram handles a datagram in the direction of s.
func (w *worker) datagram(c *connection, s *stream.Stream, m *stream.Event) {
	if c.role == millracev1.Role_ROLE_UNSPECIFIED || m.Length == 0 {
		return
	}
	from := protocols.Server
	if (c.role == millracev1.Role_ROLE_CLIENT) == (s == &c.send) {
		from = protocols.Client
	}
	if c.parser == nil {
		w.inferDatagram(c, m, from)
	}
	if d, ok := c.parser.(decode.Datagrams); ok {
		switch d.Push(&c.conn, from, m) {
		case decode.GiveUp:
			w.giveUp(c)
		case decode.Opaque:
			c.conn.FinishAll(decode.Closed, m.Meta.End)
			count(&w.tally.givenUp, given{"upgraded", c.protocol}, 1)
			c.turnOpaque()
		default:
		}
		w.tally.lostBytes += s.Missing
		if s.Malformed > 0 {
			count(&w.tally.malformed, "data", s.Malformed)
		}
		s.Missing, s.Malformed = 0, 0
	}
	w.measure(c)
}

// inferDatagram looks for what a datagram speaks.
func (w *worker) inferDatagram(c *connection, m *stream.Event, from protocols.End) {
	b := m.Payload
	if len(m.Segments) > 0 {
		b = nil
		if m.Segments[0] == 0 && m.Segments[1] <= uint32(len(m.Payload)) {
			b = m.Payload[:m.Segments[1]]
		}
	}
	if len(b) == 0 {
		return
	}
	for _, p := range w.options.speaking {
		if p.Datagram == nil || p.Datagram(b, from) != protocols.Sure {
			continue
		}
		if found := w.options.protocol(p.Number); found != nil && found.NewDatagram != nil {
			w.attach(c, found, c.role == millracev1.Role_ROLE_CLIENT)
			return
		}
	}
	if c.guesses[0]++; c.guesses[0] >= maxGuesses {
		w.giveUpUnknown(c, nil)
	}
}

// expireDatagrams ends the exchanges of c that were not answered in time.
func (p *Processor) expireDatagrams(c *connection) {
	d, of := c.parser.(decode.Datagrams), p.options.protocol(c.protocol)
	w := p.seat(c)
	var due []*decode.Exchange
	c.conn.Each(func(x *decode.Exchange) {
		if x.Since == 0 {
			x.Since = p.now
		} else if p.now-x.Since > int64(of.Timeout) {
			due = append(due, x)
		}
	})
	for _, x := range due {
		d.Unanswered(&c.conn, x)
		c.conn.Abandon(x, decode.Expired, p.untilNow(x))
	}
	w.measure(c)
	p.unseat(w)
}
