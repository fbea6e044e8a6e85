package kafka

import (
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/kafka/message"
)

// copied is how much of each message the kernel side copies, in bytes: a whole batch of the size that clients make by
// default (batch.size), and what the next partition or topic says of itself.
const copied = 16 << 10

// longFetch is the longest Fetch, in bytes, that is taken for one where bytes before it were not seen. The middle of a
// Bind of PostgreSQL may look like a Fetch of 2 MiB.
const longFetch = 256 << 10

// Protocol is Kafka.
var Protocol = protocols.Protocol{
	Number:  millracev1.Protocol_PROTOCOL_KAFKA,
	Name:    "kafka",
	Decoded: true,
	Order:   protocols.ByID,
	Matches: []protocols.Match{
		moving(),
		opening().AtOpening(),
	},
	Frames: &protocols.Frames{
		Header: protocols.FrameHeader{Size: 8, LengthSize: 4, Add: 4, Most: message.MaxSize},
		Client: protocols.Copy{Bytes: copied}, Server: protocols.Copy{Bytes: copied},
	},
	Recognise: recognise,
}

// opening makes a match of requests up to 16 MiB with keys to 127 and versions to 31, from clients with a name of less
// than 256 bytes, or with none.
func opening() protocols.Match {
	m := protocols.Match{Least: 14}
	copy(m.Mask[:], []byte{0xff, 0, 0, 0, 0xff, 0x80, 0xff, 0xe0, 0x80})
	return m.By(protocols.Client)
}

// moving makes a match of Produce and Fetch requests, of which the client has a name.
func moving() protocols.Match {
	m := opening()
	m.Mask[5], m.Mask[12] = 0xfe, 0xff
	return m
}

// recognise judges the header of a request. Behind bytes that were not seen, only those of the APIs that move records
// count.
func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	if from == protocols.Server {
		return protocols.No
	}
	mask := opening()
	for i := range min(len(b), mask.Least) {
		if b[i]&mask.Mask[i] != mask.Value[i] {
			return protocols.No
		}
	}
	if len(b) < 14 {
		return protocols.More
	}
	h := message.ReadRequest(b)
	n := int(int16(binary.BigEndian.Uint16(b[12:])))
	moves := h.API == message.Produce || h.API == message.Fetch
	switch {
	case !h.Valid(true) || n < -1 || n > message.MaxName || int64(h.Size) < 14+int64(n):
		return protocols.No
	case how != protocols.Opening && (!moves || n < 1) && (how != protocols.Boundary || from != protocols.Client):
		return protocols.No
	case how == protocols.Anywhere && h.API == message.Fetch && h.Size > longFetch:
		return protocols.No // a request with so many partitions is rarer than bytes that only look like one
	case n < 1 && h.API != message.ApiVersions && h.API != message.Metadata && h.API != message.SaslHandshake:
		return protocols.No
	}
	n = max(n, 0)
	for _, c := range b[14:min(len(b), 14+n)] {
		if c < ' ' || c == 0x7f {
			return protocols.No
		}
	}
	if len(b) < 14+n {
		return protocols.More
	}
	if n > 0 && !moves {
		return protocols.Sure
	}
	return body(&h, b[14+n:], int(h.Size)-14-n)
}

// body judges how the body begins of a request whose client has no name, or which moves records; size is its length. A
// response to Produce looks like a request of Produce up to the name of the topic, so much of it is looked at.
func body(h *message.Header, b []byte, size int) protocols.Guess {
	c := cursor{b: b, size: size, guess: protocols.Sure}
	switch {
	case h.API == message.ApiVersions && h.Version < 3:
		c.end()
	case h.API == message.ApiVersions:
		c.tags()
		c.compact(2, message.MaxName) // name of the client's software
	case h.API == message.Metadata && h.Version < 9:
		c.number(4, -1, 1<<16)
	case h.API == message.Metadata:
		c.tags()
		c.compact(0, 1<<14)
	case h.API == message.SaslHandshake:
		c.number(2, 3, 32)
	case h.API == message.Fetch:
		if h.Version >= 12 {
			c.tags()
		}
		if h.Version < 15 {
			c.number(4, -1, 1<<20) // a broker, or none
		}
		c.number(4, 0, 1<<24) // milliseconds to wait
		c.number(4, 0, 1<<30) // bytes to wait for
	default:
		c.produce(h.Version)
	}
	return c.guess
}

// cursor reads fields one after the other. With the first that cannot be, or has not come, it stops.
type cursor struct {
	b     []byte
	size  int // bytes to the end of the message
	guess protocols.Guess
}

func (c *cursor) produce(version int16) {
	flexible := version >= 9
	switch {
	case flexible:
		c.tags()
		if n := c.compact(0, message.MaxName); n == 1 { // a transaction has a name
			c.refuse()
		} else if n > 1 {
			return // it stays on the node, and what is behind it is not seen
		}
	case version >= 3:
		if n := c.number(2, -1, message.MaxName); n == 0 {
			c.refuse()
		} else if n > 0 {
			return
		}
	}
	c.number(2, -1, 1)    // acks
	c.number(4, 1, 1<<30) // milliseconds
	switch {
	case flexible:
		c.compact(2, 1<<14) // topics
	default:
		c.number(4, 1, 1<<16)
		c.number(2, 1, message.MaxName)
	}
}

// refuse says that no message is like this, if all that came before is there.
func (c *cursor) refuse() {
	if c.guess == protocols.Sure {
		c.guess = protocols.No
	}
}

// take gives n bytes, nil if they are not there.
func (c *cursor) take(n int) []byte {
	switch {
	case c.guess != protocols.Sure:
		return nil
	case c.size < n:
		c.guess = protocols.No
		return nil
	case len(c.b) < n:
		c.guess = protocols.More
		return nil
	}
	t := c.b[:n]
	c.b, c.size = c.b[n:], c.size-n
	return t
}

// tags reads the tagged fields of a header, of which no client sends any.
func (c *cursor) tags() {
	if t := c.take(1); t != nil && t[0] != 0 {
		c.refuse()
	}
}

// number reads a number of n bytes, two or four.
func (c *cursor) number(n, low, high int) (v int) {
	t := c.take(n)
	switch {
	case t == nil:
		return 0
	case n == 2:
		v = int(int16(binary.BigEndian.Uint16(t)))
	default:
		v = int(int32(binary.BigEndian.Uint32(t)))
	}
	if v < low || v > high {
		c.refuse()
	}
	return v
}

// compact reads a number of at most two bytes, seven bits each.
func (c *cursor) compact(low, high int) (v int) {
	for shift := 0; shift < 14; shift += 7 {
		t := c.take(1)
		if t == nil {
			return 0
		}
		if v |= int(t[0]&0x7f) << shift; t[0] < 0x80 {
			if v < low || v > high {
				c.refuse()
			}
			return v
		}
	}
	c.refuse()
	return 0
}

// end says that the message ends.
func (c *cursor) end() {
	if c.size != 0 {
		c.refuse()
	}
}
