package decode

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	known "millrace.dev/protocols/http1"
)

// What a parser must know of the request when the response comes: Exchange.Flags.
const (
	flagHead    = 1 << iota // HEAD: the response has no body
	flagConnect             // CONNECT: 2xx ends HTTP
	flagUpgrade             // Upgrade: 101 ends HTTP
	flagContext             // a traceparent was read
)

// maxFailures is how many events may fail to be HTTP before the guess is given up.
const maxFailures = 32

// Protocol is HTTP/1.x.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_HTTP1,
	StateVersion: 1,
	New:          func(o decode.Options) decode.Parser { return &parser{layers: o.Layers} },
	Conclude:     conclude,
	Detail:       &decode.Detail{Field: fieldDetail, Append: appendDetail, Read: readDetail},
}

type parser struct {
	req, resp side
	failures  int
	switched  bool
	toHTTP2   bool
	socket    *socket // behind an upgrade to WebSocket
	layers    *decode.Layers
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	for p.socket == nil {
		p.requests(c)
		released := p.responses(c)
		if p.switched && p.socket == nil {
			return decode.Opaque
		}
		if !released {
			break
		}
	}
	if p.socket != nil {
		return p.socket.parse(c, ending)
	}
	if ending == decode.Ended && p.resp.state == untilClose {
		p.endResponse(c)
	}
	if p.failures > maxFailures {
		return decode.GiveUp
	}
	return decode.Continue
}

// Successor implements [decode.Successor].
func (p *parser) Successor() millracev1.Protocol {
	if p.toHTTP2 {
		return millracev1.Protocol_PROTOCOL_HTTP2
	}
	return 0
}

// requests reads the requests that have arrived.
func (p *parser) requests(c *decode.Conn) {
	s, d := c.Requests, &p.req
	for s.Next() != stream.None {
		switch d.state {
		case atStart:
			if !p.startRequest(c) {
				return
			}
		case inHeaders:
			if !p.requestHeader(c) {
				return
			}
		case resync:
			if !p.resyncRequest(c) {
				return
			}
		case severed:
			p.severedRequest(c)
		case inLongLine:
			if !p.longRequestLine(c) {
				return
			}
		case held:
			if c.Open() > 0 {
				return
			}
			d.state = atStart // whatever the response was, it is gone
		default:
			if p.gone(c) { // the exchange was ended in the middle of its request
				d.x = nil
			}
			known := d.state != blind
			done := d.readBody(s)
			if d.x != nil {
				d.x.RequestBodyBytes = d.body
			}
			if known && d.state == blind { // the next request may begin anywhere
				c.RequestGap()
			}
			if !done {
				return
			}
			p.endRequest(c)
		}
	}
}

// gone reports whether the exchange whose request is being read has been ended.
func (p *parser) gone(c *decode.Conn) bool { return p.req.x != nil && c.Newest() != p.req.x }

func (p *parser) endRequest(c *decode.Conn) {
	d := &p.req
	x := d.x
	d.state, d.x = atStart, nil
	if x == nil {
		return
	}
	if x.Flags&(flagConnect|flagUpgrade) != 0 && !x.ResponseDone() {
		d.state = held
	}
	c.EndRequest(x)
}

// startRequest reads a request line. It reports whether to go on.
func (p *parser) startRequest(c *decode.Conn) bool {
	s, d := c.Requests, &p.req
	b := s.Bytes()
	if len(b) == 0 {
		p.loseRequest(c)
		return true
	}
	if b[0] == '\r' || b[0] == '\n' {
		s.Skip(1)
		d.scanned = 0
		return true
	}
	content, size, f := d.next(s, false)
	if f == wait {
		if known.Request(b, protocols.Boundary) == protocols.No {
			f = broken
		} else {
			return false
		}
	}
	if f == broken && p.startLong(c, b) {
		return true
	}
	var method, target []byte
	var minor byte
	ok := f == line
	if ok {
		method, target, minor, ok = requestLine(content)
	}
	if !ok {
		p.failures++
		s.SkipToEvent() // never look at the same place twice
		p.loseRequest(c)
		return true
	}
	p.begin(c, method, target, minor)
	d.state, d.head = inHeaders, uint64(size)
	s.Skip(uint64(size))
	return true
}

// begin opens the exchange of a request at the position. minor is the digit of its version, 0 if it is not known.
func (p *parser) begin(c *decode.Conn, method, target []byte, minor byte) {
	x := c.Begin()
	p.req = side{x: x}
	x.ContextUnknown = true // until the head is read
	sayRequest(x, c.Client, method, decode.Valid(cut(target, maxTarget)), minor)
	p.layers.Request(x, method, target)
	switch string(method) {
	case "HEAD":
		x.Flags |= flagHead
	case "CONNECT":
		x.Flags |= flagConnect
	}
	if host := authority(target); len(host) > 0 { // RFC 9112 section 3.2.2: it goes before the Host header
		p.req.hosted = true
		sayHost(x, decode.Valid(cut(host, maxValue)))
		x.Authority = decode.HashOf(host)
		p.layers.Header(x, false, []byte("host"), host)
	}
}

// startLong begins a request whose line is longer than can be held, or is cut by a gap: its method and the beginning of
// its target are there. The version is not known. It reports whether b, which goes on in either, is the beginning of
// such a line.
func (p *parser) startLong(c *decode.Conn, b []byte) bool {
	method, target, ok := longRequest(b)
	if !ok {
		return false
	}
	p.failures = 0
	p.begin(c, method, target, 0)
	p.req.state = inLongLine
	return true
}

// longRequestLine reads on in a line of the head that is too long to be held. It reports whether to go on.
func (p *parser) longRequestLine(c *decode.Conn) bool {
	d := &p.req
	if p.gone(c) {
		p.loseRequest(c)
		return true
	}
	done, cut := d.longLine(c.Requests)
	switch {
	case cut:
		p.severRequest(c)
	case d.head > maxHead:
		p.loseRequest(c)
	case done:
		d.state = inHeaders
	default:
		return false
	}
	return true
}

// authority gives the host of a target in absolute form, empty otherwise.
func authority(target []byte) []byte {
	if target[0] == '/' {
		return nil
	}
	_, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok {
		return nil
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest[bytes.LastIndexByte(rest, '@')+1:]
}

// requestHeader reads one line of the head.
func (p *parser) requestHeader(c *decode.Conn) bool {
	s, d := c.Requests, &p.req
	if p.gone(c) {
		p.loseRequest(c)
		return true
	}
	content, size, f := d.next(s, true)
	switch {
	case f == wait:
		return false
	case f == broken && len(s.Bytes()) <= maxLine:
		p.severRequest(c)
		return true
	case f == broken:
		d.state, d.scanned = inLongLine, 0
		return true
	case d.head+uint64(size) > maxHead:
		p.loseRequest(c)
		return true
	}
	d.head += uint64(size)
	if len(content) > 0 {
		d.header(content, true, p.layers) // a line that is none is passed over, as servers do
		s.Skip(uint64(size))
		return true
	}
	s.Skip(uint64(size))
	p.failures = 0
	x := d.x
	x.ContextUnknown = false
	p.layers.Asked(x, c.Client)
	d.offer(p.layers, false)
	c.Started(x)
	switch {
	case x.Flags&flagConnect != 0:
		p.endRequest(c)
	case d.coded && d.chunked: // Transfer-Encoding overrides Content-Length, RFC 9112 section 6.3
		d.state = atChunk
	case d.coded || d.badLength: // the end cannot be known
		p.loseRequest(c)
	case d.length > 0:
		d.state, d.remain = inLength, d.length
	default:
		p.endRequest(c)
	}
	return true
}

// loseRequest gives up the request that is being read, if any, and looks for the next.
func (p *parser) loseRequest(c *decode.Conn) {
	if x := p.req.x; x != nil && !p.gone(c) {
		c.Started(x)
		c.BreakRequest(x)
	}
	c.RequestGap()
	p.req = side{state: resync}
}

// severRequest goes on behind the gap in the head of the request that is being read, with what was read of it.
func (p *parser) severRequest(c *decode.Conn) {
	s, d := c.Requests, &p.req
	d.x.Estimated = true
	skipGap(s)
	c.Started(d.x)
	c.RequestGap()
	d.state, d.scanned = severed, 0
	p.severedRequest(c)
}

// skipGap moves behind the line that a gap cuts, and the gap.
func skipGap(s *stream.Stream) {
	s.Skip(uint64(len(s.Bytes())))
	for k := s.Next(); k == stream.Hole || k == stream.Lost; k = s.Next() {
		s.SkipRun()
	}
}

// severedRequest takes what follows the gap, up to the next request or the response, as part of the request.
func (p *parser) severedRequest(c *decode.Conn) {
	s, d := c.Requests, &p.req
	if p.gone(c) {
		p.req = side{state: resync}
		return
	}
	for s.Next() != stream.None {
		if s.AtEventStart() && beginsRequest(s.Bytes()) {
			break
		}
		s.SkipRun()
	}
	if d.sized && !d.coded && !d.badLength {
		d.x.RequestBodyBytes = min(d.length, s.Offset()-d.x.Offset-d.head)
	}
	if s.Next() != stream.None || d.x.ResponseDone() {
		x := d.x
		p.req = side{state: resync}
		c.EndRequest(x)
	}
}

// resyncRequest goes to the next event that begins with a request.
func (p *parser) resyncRequest(c *decode.Conn) bool {
	s := c.Requests
	for s.Next() != stream.None {
		if b := s.Bytes(); len(b) > 0 && s.AtEventStart() && known.Request(b, protocols.Anywhere) != protocols.No {
			p.req = side{state: atStart}
			return true
		}
		if !s.PassToEvent() {
			p.failures++
		}
	}
	return false
}

// Held implements [decode.Parser].
func (p *parser) Held() int {
	if p.socket != nil {
		return socketBytes
	}
	return 0
}

// AppendState implements [decode.Parser].
func (p *parser) AppendState(c *decode.Conn, w *snapshot.Writer) {
	p.req.appendState(c, w)
	p.resp.appendState(c, w)
	w.Uint(uint64(p.failures))
	w.Bool(p.socket != nil)
	if p.socket != nil {
		p.socket.appendState(c, w)
	}
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(c *decode.Conn, version uint64, r *snapshot.Reader) {
	p.req.restoreState(c, r, c.Requests)
	p.resp.restoreState(c, r, c.Responses)
	p.failures = int(r.Uint())
	if version > 0 && r.Bool() {
		p.socket = restoreSocket(c, r)
	}
	p.req.offer(p.layers, false)
	p.resp.offer(p.layers, true)
	if s := p.req.state; s == inLine || s == untilClose || (s == inHeaders || s == severed || s == inLongLine) && p.req.x == nil {
		r.Fail()
		p.req.state = resync
	}
	if s := p.resp.state; s == held || s == severed || (s == inLine || s == inHeaders || s == inLongLine) && p.resp.x == nil {
		r.Fail()
		p.resp.state = resync
	}
}
