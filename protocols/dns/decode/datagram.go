package decode

import (
	"hash/fnv"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/dns"
)

// attrAttempts is how often a query was sent before it was answered, from 2. The conventions have no name for it.
var attrAttempts = decode.Attribute("millrace.dns.attempts")

// datagrams reads DNS over UDP. It has no state: a message is whole, or its exchange is lost.
type datagrams struct{}

// questionOf is the id of the exchange of a message over UDP: that of the message, and a hash of its question. An
// answer without a question has the id alone.
func questionOf(h *dns.Header, b []byte) uint64 {
	id := idOf(h)
	var name [256]byte
	question, end := dns.AppendName(name[:0], b, dns.HeaderBytes)
	if h.Questions == 0 || end < 0 || end+2 > len(b) {
		return id
	}
	hash := fnv.New32a()
	_, _ = hash.Write(question)
	_, _ = hash.Write(b[end : end+2])
	return id | uint64(hash.Sum32())<<32
}

// Datagram implements [decode.DatagramParser]. A query that comes again before its answer is another attempt of the
// same exchange.
func (datagrams) Datagram(c *decode.Conn, from protocols.End, b []byte, size uint32, _ *stream.Meta) decode.Status {
	h, ok := dns.ReadHeader(b)
	if !ok || h.Response != (from == protocols.Server) {
		return decode.Continue
	}
	id := questionOf(&h, b)
	x := c.Lookup(id)
	switch {
	case h.Response && x == nil && h.Questions == 0:
		x = onlyOf(c, id)
		fallthrough
	case h.Response:
		if x != nil {
			c.Take(c.Responses, x, uint64(size))
			answer(x, &h, b, c.Client)
			attempts(x)
			c.End(c.Responses, x)
		}
		return decode.Continue
	}
	flow := flowOf(b, c.ClientPort)
	if x != nil && x.Flow == flow {
		x.Number++
		return decode.Continue
	}
	x = c.BeginAt(c.Requests, id)
	x.Flow = flow
	ask(x, &h, b)
	c.Take(c.Requests, x, uint64(size))
	c.Started(x)
	c.End(c.Requests, x)
	return decode.Continue
}

// flowOf names the exchange of a query at both ends: by its bytes and by the port that it comes from, so that two
// clients that ask the same with the same id are told apart. The addresses are left out: that of a socket which is not
// bound to one is not known, and kube-proxy rewrites the server's. Where the client's port is rewritten too
// (masquerading with random ports), the ends do not meet.
func flowOf(query []byte, port uint16) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write(query)
	_, _ = hash.Write([]byte{byte(port >> 8), byte(port)})
	return max(hash.Sum64(), 1)
}

// onlyOf gives the open exchange of messages with an id, if it is the only one.
func onlyOf(c *decode.Conn, id uint64) (found *decode.Exchange) {
	n := 0
	c.Each(func(x *decode.Exchange) {
		if uint64(uint32(x.Stream)) == id {
			found = x
			n++
		}
	})
	if n != 1 {
		return nil
	}
	return found
}

func attempts(x *decode.Exchange) {
	if x.Number > 0 {
		x.Said.Attributes.Number(attrAttempts, int64(x.Number)+1)
	}
}

// Unanswered implements [decode.DatagramParser]. A server that does not answer has not failed for certain.
func (datagrams) Unanswered(c *decode.Conn, x *decode.Exchange) {
	attempts(x)
	if c.Client {
		x.Said.ErrorType = append(x.Said.ErrorType[:0], "timeout"...)
	}
}

// AppendState implements [decode.DatagramParser].
func (datagrams) AppendState(*decode.Conn, *snapshot.Writer) {}

// RestoreState implements [decode.DatagramParser].
func (datagrams) RestoreState(*decode.Conn, uint64, *snapshot.Reader) {}

// Held implements [decode.DatagramParser].
func (datagrams) Held() int { return 0 }
