// Package decode decodes DNS over TCP and UDP; see [millrace.dev/protocols/dns].
package decode

import (
	"time"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/dns"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Protocol is DNS.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_DNS,
	StateVersion: 1,
	New:          func(decode.Options) decode.Parser { return &parser{} },
	NewDatagram:  func(decode.Options) decode.DatagramParser { return datagrams{} },
	Timeout:      5 * time.Second, // as resolvers wait by default: RES_TIMEOUT of resolv.h
}

// lengthBytes stand before each message.
const lengthBytes = 2

// parser holds both directions of a connection: requests, responses.
type parser struct{ ways [2]way }

// way is one direction.
type way struct {
	left uint64 // bytes of the message still to come
	id   uint64 // see idOf; of the exchange that the message belongs to, 0: none
	ends bool   // the message is the last of its exchange in this direction
	lost bool   // where messages begin is not known
}

// idOf is the id of the exchange of a message: not 0, which stands for none.
func idOf(h *dns.Header) uint64 { return uint64(h.ID) + 1 }

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, _ decode.Ending) decode.Status {
	if !p.read(c, 0, c.Requests) || !p.read(c, 1, c.Responses) {
		return decode.GiveUp
	}
	return decode.Continue
}

// read takes the messages of a direction; false: they are none.
func (p *parser) read(c *decode.Conn, i int, s *stream.Stream) bool {
	w := &p.ways[i]
	for s.Next() != stream.None {
		if w.left > 0 {
			x := c.Lookup(w.id)
			if w.left -= c.Take(s, x, w.left); w.left == 0 && x != nil && w.ends {
				c.End(s, x)
			}
			continue
		}
		b := s.Bytes()
		if w.lost {
			if s.AtEventStart() && len(b) > 0 && dns.Protocol.Recognise(b, p.end(i), protocols.Anywhere) == protocols.Sure {
				w.lost = false
			} else if !s.PassToEvent() {
				return true
			}
			continue
		}
		size := lengthBytes
		if len(b) >= lengthBytes {
			size += int(b[0])<<8 | int(b[1])
		}
		want := max(size, lengthBytes+dns.HeaderBytes)
		switch {
		case size != lengthBytes && size < lengthBytes+dns.HeaderBytes:
			return false
		case len(b) < want && !s.Cut():
			return true
		case len(b) < lengthBytes+dns.HeaderBytes:
			w.lose(c, i, s, len(b))
		case !p.message(c, i, s, b[lengthBytes:min(size, len(b))], size):
			return false
		}
	}
	return true
}

func (p *parser) end(i int) protocols.End {
	if i == 0 {
		return protocols.Client
	}
	return protocols.Server
}

// lose passes over n bytes and the gap behind them.
func (w *way) lose(c *decode.Conn, i int, s *stream.Stream, n int) {
	s.Skip(uint64(n))
	s.PassGap()
	w.lost = true
	if i == 0 {
		c.RequestGap()
	} else {
		c.ResponseGap()
	}
}

// message begins a message of size bytes with its length. b is what is there of it, its header at least.
func (p *parser) message(c *decode.Conn, i int, s *stream.Stream, b []byte, size int) bool {
	w := &p.ways[i]
	h, _ := dns.ReadHeader(b)
	if h.Response != (i == 1) {
		return false
	}
	id := idOf(&h)
	w.left, w.id, w.ends = uint64(size), 0, true
	if i == 0 {
		x := c.BeginAt(s, id)
		ask(x, &h, b)
		w.id = id
		w.left -= c.Take(s, x, w.left)
		c.Started(x)
		if w.left == 0 {
			c.End(s, x)
		}
		return true
	}
	if x := c.Lookup(id); x != nil {
		w.id = id
		w.ends = answer(x, &h, b, c.Client)
	}
	return true
}

// AppendState implements [decode.Parser].
func (p *parser) AppendState(_ *decode.Conn, w *snapshot.Writer) {
	for i := range p.ways {
		way := &p.ways[i]
		w.Uint(way.left)
		w.Uint(way.id)
		w.Bool(way.ends)
		w.Bool(way.lost)
	}
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(_ *decode.Conn, _ uint64, r *snapshot.Reader) {
	for i := range p.ways {
		p.ways[i] = way{left: r.Uint(), id: r.Uint(), ends: r.Bool(), lost: r.Bool()}
		if p.ways[i].left > 1<<16+lengthBytes || p.ways[i].id > 1<<16 {
			r.Fail()
		}
	}
}

// Held implements [decode.Parser].
func (p *parser) Held() int { return 0 }
