package metrics

import (
	"net/netip"

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
	source *source
	// peer is nil if the other side is not known.
	peer   *source
	status spans.Status

	// route is that of the path, outgoing if this is a client.
	route string
	// scheme and path of the target; without the query.
	scheme, path string
	http         *millracev1.HttpExchange

	redis *millracev1.RedisExchange

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

// read takes what does not need the route.
func (f *facts) read(j *join.Joined, source, peer *source) {
	x := j.Exchange
	name := f.name
	*f = facts{
		joined: j, x: x, kind: kindOf(x), client: x.Side == millracev1.Side_SIDE_CLIENT, source: source, peer: peer,
		status: spans.StatusOf(x), name: name, serverPort: x.RemotePort,
	}
	if !f.client {
		f.serverPort = x.LocalPort
	}
	switch detail := x.Detail.(type) {
	case *millracev1.Exchange_Http:
		f.readHTTP(detail.Http)
	case *millracev1.Exchange_Redis:
		f.redis = detail.Redis
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
	if f.http != nil {
		f.set(requestBody, x.RequestBodyBytes)
		if f.http.Status != 0 {
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
	if f.client {
		return f.x.RemoteAddress
	}
	return f.x.LocalAddress
}

func (f *facts) clientIP() []byte {
	if f.client {
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
	return append(dst, aNumber, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
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
