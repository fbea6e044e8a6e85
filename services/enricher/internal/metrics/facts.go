package metrics

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"millrace.dev/services/enricher/internal/attribute"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// facts are what metrics need of one exchange. Texts alias the exchange.
type facts struct {
	joined *join.Joined
	x      *millracev1.Exchange
	kind   kind
	client bool
	// local: this end is the server, see [spans.IsServer].
	local  bool
	source *source
	// peer is nil if the other side is not known.
	peer   *source
	status spans.Status

	// route is that of the path, outgoing if this is a client; the path is without the query.
	route, path string
	// httpStatus is the status of the response; 0 if there was none, or if the protocol has none.
	httpStatus uint32
	// found are the attributes of the exchange that metrics have, by their slots; nil: the exchange has none of the name.
	found [maxSlots]*attribute.Attribute

	// serverName is what the client called the server; empty if it did not, if it passes on what its own client called
	// it, or if this is the server, because then it is a text that anybody can choose.
	serverName string
	serverPort uint32

	edge edge

	// has says which quantities the exchange has.
	has      uint32
	measured [quantities]uint64

	// sample is whether the exchange may be an exemplar.
	sample bool
	// name is scratch for the span's.
	name []byte
}

func (f *facts) set(q quantity, v uint64) {
	f.has |= 1 << q
	f.measured[q] = v
}

// read takes what does not need the route. slots are those of attributes by the numbers of their names, from 1 on; 0:
// no metric has the attribute.
func (f *facts) read(j *join.Joined, source, peer *source, slots []uint8) {
	x := j.Exchange
	name := f.name
	*f = facts{
		joined: j, x: x, kind: kindOf(x), client: x.Side == millracev1.Side_SIDE_CLIENT, source: source, peer: peer,
		status: spans.StatusOf(x), name: name, serverPort: x.RemotePort,
	}
	if f.local = spans.IsServer(x); f.local {
		f.serverPort = x.LocalPort
	}
	for i := range j.Attributes {
		a := &j.Attributes[i]
		if int(a.Name.Number) < len(slots) {
			if slot := slots[a.Name.Number]; slot != 0 && f.found[slot-1] == nil {
				f.found[slot-1] = a
			}
		}
	}
	if a := f.found[slotStatus]; a != nil && a.Kind == attribute.Number {
		f.httpStatus = uint32(a.Bits)
	}
	// The query of a path never is part of a metric.
	f.path, _, _ = strings.Cut(x.Path, "?")
	if f.client && !x.HostForwarded {
		f.serverName = x.ServerName
		if x.ServerPort != 0 {
			f.serverPort = x.ServerPort
		}
	}
}

// measure takes the quantities.
func (f *facts) measure() {
	x := f.x
	f.set(one, 1)
	f.set(requestBytes, x.RequestBytes)
	f.set(responseBytes, x.ResponseBytes)
	// Without a response by protocol there is no duration. One whose end was lost has one that is too short, but
	// leaving it out would make the count of requests wrong.
	if x.Outcome != millracev1.Outcome_OUTCOME_ONE_WAY {
		f.set(durationNanos, duration(x))
	}
	if queue, ok := spans.QueueDuration(x); ok {
		f.set(queueNanos, uint64(queue))
	}
	if f.kind == kindHTTP {
		f.set(requestBody, x.RequestBodyBytes)
		if f.httpStatus != 0 {
			f.set(responseBody, x.ResponseBodyBytes)
		}
	}
	f.sample = f.joined.Flags&1 != 0 && f.joined.SpanID != 0 && f.joined.TraceID != [16]byte{}
}

// duration never is negative, whatever clocks did.
func duration(x *millracev1.Exchange) uint64 {
	if x.EndUnixNs <= x.StartUnixNs {
		return 0
	}
	return x.EndUnixNs - x.StartUnixNs
}

// serverIP is the server's address on the connection.
func (f *facts) serverIP() []byte {
	if f.local {
		return f.x.LocalAddress
	}
	return f.x.RemoteAddress
}

func (f *facts) clientIP() []byte {
	if !f.local {
		return f.x.LocalAddress
	}
	if len(f.x.ClientAddress) != 0 {
		return f.x.ClientAddress
	}
	return f.x.RemoteAddress
}

// Values of a key: a byte that says what follows, then a text with its length or a number.
const (
	absent byte = iota
	aText
	aNumber
	aYes
	aNo
)

// maxText bounds the texts of attributes.
const maxText = 256

func appendText[T ~string | ~[]byte](dst []byte, text T) []byte {
	if len(text) == 0 {
		return append(dst, absent)
	}
	n := min(len(text), maxText)
	dst = append(dst, aText, byte(n), byte(n>>8))
	return append(dst, text[:n]...)
}

func appendNumber(dst []byte, n uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, aNumber), n)
}

// appendAddress appends an IP address as text.
func appendAddress(dst, ip []byte) []byte {
	address, ok := netip.AddrFromSlice(ip)
	if !ok {
		return append(dst, absent)
	}
	start := len(dst)
	dst = address.AppendTo(append(dst, aText, 0, 0))
	dst[start+1] = byte(len(dst) - start - 3)
	return dst
}
