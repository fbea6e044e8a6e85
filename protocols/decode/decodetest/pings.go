package decodetest

import (
	"hash/fnv"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// Pings is a made-up protocol of datagrams: "?", an id of one byte and a text ask, "!", the id and a text answer. Its
// number is that of DNS.
var Pings = decode.Protocol{
	Number:      millracev1.Protocol_PROTOCOL_DNS,
	NewDatagram: func(decode.Options) decode.DatagramParser { return &pings{} },
	Timeout:     2 * time.Second,
}

// KnownPings is what every stage knows of [Pings].
var KnownPings = protocols.Protocol{
	Number: millracev1.Protocol_PROTOCOL_DNS, Name: "pings", Decoded: true, Order: protocols.ByID,
	Recognise: func([]byte, protocols.End, protocols.Evidence) protocols.Guess { return protocols.No },
	Datagram: func(b []byte, from protocols.End) protocols.Guess {
		if len(b) >= 2 && b[0] == kindOf(from) {
			return protocols.Sure
		}
		return protocols.No
	},
}

func kindOf(from protocols.End) byte {
	if from == protocols.Client {
		return '?'
	}
	return '!'
}

type pings struct{}

// Datagram implements [decode.DatagramParser].
func (p *pings) Datagram(c *decode.Conn, from protocols.End, b []byte, size uint32, _ *stream.Meta) decode.Status {
	if KnownPings.Datagram(b, from) != protocols.Sure {
		return decode.Continue // whatever it is, it says nothing of the others
	}
	id := uint64(b[1]) + 1
	if from == protocols.Server {
		if x := c.Lookup(id); x != nil {
			c.Take(c.Responses, x, uint64(size))
			c.End(c.Responses, x)
		}
		return decode.Continue
	}
	x := c.BeginAt(c.Requests, id)
	hash := fnv.New64a()
	_, _ = hash.Write(b)
	x.Flow = max(hash.Sum64(), 1)
	x.Said.Operation = append(x.Said.Operation[:0], b[2:]...)
	c.Take(c.Requests, x, uint64(size))
	c.Started(x)
	c.End(c.Requests, x)
	return decode.Continue
}

// Unanswered implements [decode.DatagramParser].
func (p *pings) Unanswered(_ *decode.Conn, x *decode.Exchange) {
	x.Said.ErrorType = append(x.Said.ErrorType[:0], "timeout"...)
}

func (p *pings) AppendState(*decode.Conn, *snapshot.Writer)          {}
func (p *pings) RestoreState(*decode.Conn, uint64, *snapshot.Reader) {}
func (p *pings) Held() int                                           { return 0 }
