package decode

import (
	"encoding/binary"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	grpc "millrace.dev/protocols/grpc/decode"
)

// errorNames are the error codes of RFC 9113, section 7.
var errorNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// reset takes RST_STREAM, whose payload b begins with.
func (p *parser) reset(c *decode.Conn, s *stream.Stream, id uint32, b []byte) {
	x := p.exchange(c, id)
	if x == nil {
		return
	}
	code := binary.BigEndian.Uint32(b)
	at := s.Meta().End
	if x.ResponseDone() {
		// The response is there, and the rest of the request is of no interest to the server (RFC 9113, section 8.1),
		// or the client gives up to send it.
		p.finish(c, c.Requests, x)
		return
	}
	name := "INTERNAL_ERROR" // section 7: unknown codes are like it
	if int(code) < len(errorNames) {
		name = errorNames[code]
	}
	switch {
	case !grpc.Is(x):
		x.Said.ErrorType = append(x.Said.ErrorType[:0], name...)
	case x.Flags&flagCode == 0:
		grpc.Reset(x, code, name, c.Client)
		x.Flags |= flagCode
	}
	grpc.End(x)
	c.Abandon(x, decode.Complete, at)
}

// goAway takes GOAWAY, whose payload b begins with: the server has not looked at streams above the one that it names.
func (p *parser) goAway(c *decode.Conn, s *stream.Stream, b []byte) {
	if s != c.Responses {
		return
	}
	last := uint64(binary.BigEndian.Uint32(b) & (1<<31 - 1))
	var refused []*decode.Exchange
	c.Each(func(x *decode.Exchange) {
		if x.Stream > last {
			refused = append(refused, x)
		}
	})
	for _, x := range refused {
		x.Said.ErrorType = append(x.Said.ErrorType[:0], "REFUSED_STREAM"...)
		if grpc.Is(x) && x.Flags&flagCode == 0 {
			grpc.Status(x, grpc.Unavailable, c.Client)
		}
		grpc.End(x)
		c.Abandon(x, decode.Closed, s.Meta().End)
	}
}
