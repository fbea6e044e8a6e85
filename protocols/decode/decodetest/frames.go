package decodetest

import (
	"fmt"
	"strings"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// Frames is a made-up protocol for tests of what is common to protocols whose messages have ids: its Order is ByID,
// and either end begins exchanges. A message is any number of frames: see [Frame]. Its number is that of HTTP/1, so
// that a connection that begins with [FramesOpening] is recognised.
var Frames = decode.Protocol{
	Number: millracev1.Protocol_PROTOCOL_HTTP1,
	New:    func(decode.Options) decode.Parser { return &frames{} },
}

// FramesOpening may be what the client says first.
const FramesOpening = "GET /frames HTTP/1.1\r\n\r\n"

// frameHead is how many bytes of a frame are before its text.
const frameHead = 5

// Frame is a frame of n bytes of text. id is that of its exchange, below 100; 0 is of none. kind is '+' for the first
// frame of an exchange, '*' if its message ends with that, '!' for the last frame of another message, and '.' for all
// others.
func Frame(id int, kind byte, n int) string {
	return fmt.Sprintf("%02d%c%02d%s", id, kind, n, strings.Repeat("x", n))
}

// frames has no state: a frame is read when all of it has come.
type frames struct{}

func (p *frames) Parse(c *decode.Conn, _ decode.Ending) decode.Status {
	if b := c.Requests.Bytes(); c.Requests.Offset() == 0 && len(b) > 0 && b[0] == FramesOpening[0] {
		if len(b) < len(FramesOpening) && !c.Requests.Cut() {
			return decode.Continue
		}
		c.Take(c.Requests, nil, uint64(len(FramesOpening)))
	}
	for p.read(c, c.Requests) || p.read(c, c.Responses) {
		continue
	}
	return decode.Continue
}

// read reads the frame at the position of s. It reports whether there was one, or a gap.
func (p *frames) read(c *decode.Conn, s *stream.Stream) bool {
	b := s.Bytes()
	if len(b) < frameHead {
		if !s.Cut() {
			return false
		}
		if s == c.Requests {
			c.RequestGap()
		} else {
			c.ResponseGap()
		}
		s.PassToEvent()
		return true
	}
	id, n, kind := number(b[0], b[1]), number(b[3], b[4]), b[2]
	if id > 99 || n > 99 || !strings.ContainsRune("+*!.", rune(kind)) {
		s.PassToEvent()
		return true
	}
	if s.Received()-s.Offset() < frameHead+n {
		return false
	}
	x := c.Lookup(id)
	if id != 0 && (kind == '+' || kind == '*') {
		x = c.BeginAt(s, id)
	}
	c.Take(s, x, frameHead+n)
	if x == nil {
		return true
	}
	c.Started(x)
	if kind == '!' || kind == '*' {
		c.End(s, x)
	}
	return true
}

// number gives that of two digits, more than 99 if they are none.
func number(tens, ones byte) uint64 {
	if tens < '0' || tens > '9' || ones < '0' || ones > '9' {
		return 100
	}
	return uint64(tens-'0')*10 + uint64(ones-'0')
}

func (p *frames) AppendState(*decode.Conn, *snapshot.Writer)          {}
func (p *frames) RestoreState(*decode.Conn, uint64, *snapshot.Reader) {}
func (p *frames) Held() int                                           { return 0 }
