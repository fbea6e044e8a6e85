package decode

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	grpc "millrace.dev/protocols/grpc/decode"
	"millrace.dev/protocols/http2"
)

// Protocol is HTTP/2.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_HTTP2,
	StateVersion: 2,
	New:          func(o decode.Options) decode.Parser { return newParser(o.Layers) },
}

const (
	// maxBlock is the longest header block that is held, in bytes. Servers take 8 to 64 KiB.
	maxBlock = 256 << 10
	// maxFailures is how many times a direction may have to be found again without a frame in between.
	maxFailures = 32
)

// parser is the state of a connection.
type parser struct {
	directions [2]direction // of the client, of the server
	failures   int
	names      *names
}

// direction is what one end sends.
type direction struct {
	// begun: the first frame was found. Until then, and while lost, frames are looked for at the starts of events.
	begun, lost bool

	frame http2.Header
	taken uint32 // bytes of the payload of the frame; meaningless without inFrame
	// inFrame: the header of the frame was taken.
	inFrame bool
	padding uint32

	// open is the stream whose header block goes on in CONTINUATION, 0 if none does.
	open  uint32
	first http2.Header // the frame in which the block began
	cut   bool         // a part of the block is missing
	block []byte       // its fragments so far

	last  uint32 // the highest stream that began
	table table
}

func newParser(layers *decode.Layers) *parser {
	p := &parser{names: namesFor(layers)}
	for i := range p.directions {
		p.directions[i].table.most = defaultSize
	}
	return p
}

// Inherit implements [decode.Heir]: a connection that was upgraded from HTTP/1.1, whose request is stream 1 and has
// ended (RFC 7540, section 3.2).
func (p *parser) Inherit(c *decode.Conn) {
	c.Inherit(1, c.Responses.Last().End)
	p.directions[0].last = 1
	p.directions[1].begun = true
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, _ decode.Ending) decode.Status {
	p.read(c, c.Requests, &p.directions[0])
	p.read(c, c.Responses, &p.directions[1])
	if p.failures > maxFailures {
		return decode.GiveUp
	}
	return decode.Continue
}

// read reads the frames that have arrived.
func (p *parser) read(c *decode.Conn, s *stream.Stream, d *direction) {
	for s.Next() != stream.None {
		more := false
		switch {
		case !d.begun || d.lost:
			more = p.find(c, s, d)
		case !d.inFrame:
			more = p.header(c, s, d)
		default:
			more = p.payload(c, s, d)
		}
		if !more {
			return
		}
	}
}

// find looks for a frame. It reports whether there is one, or more to look at.
func (p *parser) find(c *decode.Conn, s *stream.Stream, d *direction) bool {
	b := s.Bytes()
	asks := s == c.Requests
	if asks && len(b) > 0 && len(b) < len(http2.Preface) && http2.Preface[:len(b)] == string(b) && !s.Cut() {
		return false
	}
	switch {
	case asks && len(b) >= len(http2.Preface) && string(b[:len(http2.Preface)]) == http2.Preface:
		c.Take(s, nil, uint64(len(http2.Preface)))
	case !d.begun && !asks && s.Offset() == 0 && !s.Joined:
	default:
		from := protocols.Server
		if asks {
			from = protocols.Client
		}
		if !s.AtEventStart() || !http2.Certain(b, from) {
			if !d.begun {
				d.begun, d.lost, d.table.most = true, true, joinedSize
			}
			if !s.PassToEvent() {
				p.failures++
			}
			return true
		}
		d.table.most = max(d.table.most, joinedSize)
	}
	d.begun, d.lost = true, false
	return true
}

// lose gives the position up.
func (p *parser) lose(c *decode.Conn, s *stream.Stream, d *direction) {
	if s == c.Requests {
		c.RequestGap()
	} else {
		c.ResponseGap()
	}
	if x := p.exchange(c, d.open); x != nil && x.Flags&flagPending != 0 {
		x.Flags &^= flagPending
		p.describe(x, &head{unknown: true}, c.Client)
		c.Started(x)
	}
	d.table.lose()
	d.lost, d.inFrame, d.open, d.block, d.cut = true, false, 0, d.block[:0], false
	if !s.PassToEvent() {
		p.failures++
	}
}

// header reads the header of a frame. It reports whether to go on.
func (p *parser) header(c *decode.Conn, s *stream.Stream, d *direction) bool {
	b := s.Bytes()
	if len(b) < http2.HeaderSize {
		if !s.Cut() {
			return false
		}
		p.lose(c, s, d)
		return true
	}
	h := http2.ReadHeader(b)
	if !h.Valid() || d.open != 0 && (h.Type != http2.Continuation || h.Stream != d.open) || d.open == 0 && h.Type == http2.Continuation {
		p.lose(c, s, d)
		return true
	}
	d.frame, d.taken, d.padding = h, 0, 0
	switch h.Type {
	case http2.Headers, http2.PushPromise, http2.Continuation:
		return p.fields(c, s, d)
	case http2.Data:
		c.Take(s, p.exchange(c, h.Stream), http2.HeaderSize)
	default:
		c.Take(s, nil, http2.HeaderSize)
	}
	p.failures = 0
	d.inFrame = true
	return h.Length > 0 || p.end(c, s, d)
}

// exchange gives the exchange of a stream, nil if there is none.
func (p *parser) exchange(c *decode.Conn, id uint32) *decode.Exchange { return c.Lookup(uint64(id)) }

// payload reads the payload of a frame that is no part of a header block. It reports whether to go on.
func (p *parser) payload(c *decode.Conn, s *stream.Stream, d *direction) bool {
	h := &d.frame
	left := uint64(h.Length - d.taken)
	switch h.Type {
	case http2.Data:
		p.data(c, s, d, left)
	case http2.ResetStream, http2.GoAway:
		b := s.Bytes()
		need := 4
		if h.Type == http2.GoAway {
			need = 8
		}
		if d.taken == 0 && len(b) < need && !s.Cut() {
			return false
		}
		if d.taken == 0 && len(b) >= need {
			if h.Type == http2.GoAway {
				p.goAway(c, s, b)
			} else {
				p.reset(c, s, h.Stream, b)
			}
		}
		d.taken += uint32(c.Take(s, nil, left))
	default:
		d.taken += uint32(c.Take(s, nil, left))
	}
	return d.taken == h.Length && p.end(c, s, d)
}

// data takes what there is of the payload of DATA.
func (p *parser) data(c *decode.Conn, s *stream.Stream, d *direction, left uint64) {
	h := &d.frame
	x := p.exchange(c, h.Stream)
	if d.taken == 0 && h.Has(http2.FlagPadded) && left > 0 {
		if b := s.Bytes(); len(b) > 0 {
			d.padding = min(uint32(b[0]), h.Length-1)
		} else if x != nil {
			x.Estimated = true
		}
		d.taken += uint32(c.Take(s, x, 1))
		left--
	}
	for left > 0 && s.Next() != stream.None {
		n := min(left, s.Run())
		known := s.Bytes()
		if x != nil {
			body := min(n, uint64(max(0, int64(h.Length)-int64(d.padding)-int64(d.taken))))
			if s == c.Requests {
				x.RequestBodyBytes += body
			} else {
				x.ResponseBodyBytes += body
			}
			grpc.Data(x, s != c.Requests, known[:min(uint64(len(known)), body)], body, s.Next() == stream.Lost)
		}
		d.taken += uint32(c.Take(s, x, n))
		left -= n
	}
}

// end ends a frame that was taken to its end. It reports true.
func (p *parser) end(c *decode.Conn, s *stream.Stream, d *direction) bool {
	d.inFrame = false
	if d.frame.Type == http2.Data && d.frame.Has(http2.FlagEndStream) {
		if x := p.exchange(c, d.frame.Stream); x != nil {
			p.finish(c, s, x)
		}
	}
	return true
}

// finish ends the message of x in s.
func (p *parser) finish(c *decode.Conn, s *stream.Stream, x *decode.Exchange) {
	if s == c.Responses {
		conclude(c, x)
	}
	if s == c.Responses && x.RequestDone() || s == c.Requests && x.ResponseDone() {
		grpc.End(x)
	}
	c.End(s, x)
}

// Held implements [decode.Parser].
func (p *parser) Held() int {
	n := 0
	for i := range p.directions {
		d := &p.directions[i]
		n += len(d.block) + d.table.held()
	}
	return n
}
