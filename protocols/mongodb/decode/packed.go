package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
)

// unpack reads on among the bytes of a compressed message. Where the node restates them, the reader reads what they
// hold; what is not restated counts, and says nothing. The message ends at its end on the wire.
func (d *direction) unpack(c *decode.Conn, s *stream.Stream) {
	n := min(s.Run(), d.packedEnd-s.Offset())
	if s.Restated() {
		if _, _, ok := d.reader.Packed(); ok && !d.reader.Unpack() {
			d.reader.Cut()
		}
		n = d.text(s)
	} else {
		d.leave(n)
	}
	d.count(c, s, n)
	if s.Offset() >= d.packedEnd {
		d.leave(0)
		d.packedEnd = 0
	}
}

// text reads bytes of what compressed bytes hold, and gives how many.
func (d *direction) text(s *stream.Stream) (n uint64) {
	left := uint64(d.reader.Left())
	if left == 0 || s.Next() != stream.Bytes { // Left is 0 where there is more of it than the message has
		if n = s.Run(); left > 0 {
			n = min(n, left)
			d.reader.Pass(uint32(n))
		}
		return n
	}
	b := s.Bytes()
	b = b[:min(uint64(len(b)), left)]
	for int(n) < len(b) && !d.reader.AtStart() {
		m, _ := d.reader.Next(b[n:])
		n += uint64(m)
	}
	return n
}

// leave passes over n bytes on the wire, of which nothing is known. With 0 the message has ended.
func (d *direction) leave(n uint64) {
	if _, _, packed := d.reader.Packed(); packed {
		d.reader.Pass(min(uint32(n), d.reader.Left()))
		if n > 0 {
			return
		}
	}
	if left := d.reader.Left(); left > 0 {
		d.reader.Lose(left)
	}
}

// count takes n bytes for the exchange of the message: as many as they are on the wire.
func (d *direction) count(c *decode.Conn, s *stream.Stream, n uint64) {
	before := s.Offset()
	n = c.Take(s, d.x, n)
	switch wire := s.Offset() - before; {
	case d.x == nil:
	case d.reader.Request:
		d.x.RequestBytes += wire - n
	default:
		d.x.ResponseBytes += wire - n
	}
}
