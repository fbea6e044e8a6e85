package processor

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
)

// restoreParser reads the open exchanges of c and the state of its parser. A parser that cannot read its state loses
// its connection, and no more.
func (p *Processor) restoreParser(w *worker, c *connection, client bool, r *snapshot.Reader, version uint64) {
	found := p.options.protocol(c.protocol)
	if found == nil && version < 10 {
		r.Fail()
		return
	}
	c.orient(client)
	c.conn.Order = p.options.orderOf(c.protocol)
	c.conn.RestoreState(r, version, func(x *decode.Exchange, field uint8, message []byte) {
		p.options.readDetail(c, x, field, message)
	})
	p.restoreWaits(c, version)
	of := uint64(0)
	if version > 1 {
		of = r.Uint()
	}
	if version < 10 {
		c.parser = p.options.parserOf(c, found)
		c.parser.RestoreState(&c.conn, of, r)
		return
	}
	state := snapshot.NewReader(r.Bytes())
	if r.Err() != nil {
		return
	}
	if found != nil {
		c.parser = p.options.parserOf(c, found)
	}
	if c.parser != nil {
		if c.parser.RestoreState(&c.conn, of, state); state.Done() {
			return
		}
	}
	p.loseState(w, c)
}

// readDetail takes what a version before 11 knew of x, an exchange of c. The protocol may be another than that of c, if
// the connection changed it.
func (o *Options) readDetail(c *connection, x *decode.Exchange, field uint8, message []byte) {
	for i := range o.Protocols {
		if d := o.Protocols[i].Detail; d != nil && d.Field == field {
			d.Read(x, message, decode.Place{Client: c.conn.Client, RemoteAddress: c.facts.RemoteAddress, RemotePort: c.facts.RemotePort})
		}
	}
}

// restoreWaits reads the times of snapshots before version 7, which had that at which an exchange had waited for too
// long.
func (p *Processor) restoreWaits(c *connection, version uint64) {
	if version >= 7 {
		return
	}
	c.conn.Each(func(x *decode.Exchange) {
		if x.Since != 0 {
			x.Since = max(x.Since-step-int64(p.options.ExchangeTimeout), 1)
		}
		if c.doubtful {
			x.DoubtAt = max(p.now, 1)
		}
	})
}

// loseState ends what is open on c, of which nobody can read the parser's state. It goes on as a connection that was
// joined.
func (p *Processor) loseState(w *worker, c *connection) {
	count(&w.tally.givenUp, given{"state version", c.protocol}, 1)
	for x := c.conn.Oldest(); x != nil; x = c.conn.Oldest() {
		c.conn.Abandon(x, decode.Lost, p.untilNow(x))
	}
	c.parser, c.protocol = nil, 0
	c.send.Discard()
	c.receive.Discard()
	c.send.Settle()
	c.receive.Settle()
}

// parserOf makes the parser of c, nil if the protocol is not spoken on such connections.
func (o *Options) parserOf(c *connection, found *decode.Protocol) decode.Parser {
	options := decode.Options{KeepStatements: o.KeepStatements, Layers: o.Layers, PreparedStatements: o.PreparedStatements}
	switch {
	case c.hasDatagrams() && found.NewDatagram != nil:
		return decode.Datagrams{DatagramParser: found.NewDatagram(options)}
	case !c.hasDatagrams() && found.New != nil:
		return found.New(options)
	}
	return nil
}

// protocol gives the decoder's half of a protocol, nil if there is none.
func (o *Options) protocol(number millracev1.Protocol) *decode.Protocol {
	if number < 0 || int(number) >= len(o.byNumber) {
		return nil
	}
	return o.byNumber[number]
}

// indexProtocols prepares protocol.
func (o *Options) indexProtocols() {
	for i := range o.Protocols {
		n := int(o.Protocols[i].Number)
		if n >= len(o.byNumber) {
			o.byNumber = append(o.byNumber, make([]*decode.Protocol, n+1-len(o.byNumber))...)
		}
		o.byNumber[n] = &o.Protocols[i]
	}
}

// orderOf is how responses find requests in a protocol.
func (o *Options) orderOf(number millracev1.Protocol) protocols.Order {
	if p := o.known(int32(number)); p != nil {
		return p.Order
	}
	return protocols.FIFO
}
