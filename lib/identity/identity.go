package identity

import (
	"cmp"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Domain separators: each kind of identifier hashes a different prefix.
const (
	domainConnection = 'c'
	domainSpan       = 's'
	domainTrace      = 't'
	domainProcess    = 'p'
	domainService    = 'n'
	domainNode       = 'h'
	domainPart       = 'a'
)

// Key is the comparable form of [millracev1.ExchangeKey], for use in maps.
type Key struct {
	Flow   uint64
	Offset uint64
	Stream uint64
}

// KeyOf gives the comparable form of k; the zero Key for nil.
func KeyOf(k *millracev1.ExchangeKey) Key {
	return Key{Flow: k.GetFlow(), Offset: k.GetOffset(), Stream: k.GetStream()}
}

// Proto gives a new message with the key's fields.
func (k Key) Proto() *millracev1.ExchangeKey {
	return &millracev1.ExchangeKey{Flow: k.Flow, Offset: k.Offset, Stream: k.Stream}
}

// IsZero reports whether k is the zero key, which identifies nothing.
func (k Key) IsZero() bool { return k == Key{} }

// Compare orders keys: by flow, offset and stream.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Flow, other.Flow), cmp.Compare(k.Offset, other.Offset), cmp.Compare(k.Stream, other.Stream))
}

// Reverse gives the flow of the opposite direction of the same connection.
func Reverse(flow uint64) uint64 { return flow<<32 | flow>>32 }

// Connection gives the identity of the connection to which flow belongs: the same for both directions and at both ends.
func Connection(flow uint64) uint64 {
	reverse := Reverse(flow)
	if reverse < flow {
		flow = reverse
	}
	var b [9]byte
	b[0] = domainConnection
	binary.BigEndian.PutUint64(b[1:], flow)
	return xxhash.Sum64(b[:])
}

// Span gives the span id of one side of the exchange; never 0.
func Span(k Key, side millracev1.Side) uint64 {
	var b [26]byte
	b[0] = domainSpan
	b[1] = byte(side)
	k.put(b[2:])
	return nonZero(xxhash.Sum64(b[:]))
}

// Part gives the span id of a part of the time of a span, by the part's number; never 0.
func Part(span uint64, number byte) uint64 {
	var b [10]byte
	b[0], b[1] = domainPart, number
	binary.BigEndian.PutUint64(b[2:], span)
	return nonZero(xxhash.Sum64(b[:]))
}

// Trace gives the trace id of a trace that begins with exchange k; never all zeros. Its first half is the identity of
// the connection, so that spans are partitioned as exchanges are and most of them stay in their partition; its second
// half is a hash of the key, as random as samplers that go by the last bytes of a trace id expect it.
func Trace(k Key) [16]byte {
	var b [25]byte
	var id [16]byte
	k.put(b[1:])
	b[0] = domainTrace
	binary.BigEndian.PutUint64(id[:8], nonZero(Connection(k.Flow)))
	binary.BigEndian.PutUint64(id[8:], nonZero(xxhash.Sum64(b[:])))
	return id
}

// Process gives the fleet-wide identity of a process: boot id of its machine, pid in the host's namespace, and start
// time in clock ticks since boot as /proc/pid/stat gives it; never 0.
func Process(bootID string, pid uint32, startTicks uint64) uint64 {
	b := make([]byte, 0, 64)
	b = append(b, domainProcess)
	b = append(b, bootID...)
	b = binary.BigEndian.AppendUint32(b, pid)
	b = binary.BigEndian.AppendUint64(b, startTicks)
	return nonZero(xxhash.Sum64(b))
}

// Service gives the identity of a service by its namespace, which may be empty, and name; never 0.
func Service(namespace, name string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write([]byte{domainService})
	_, _ = d.WriteString(namespace)
	_, _ = d.Write([]byte{0})
	_, _ = d.WriteString(name)
	return nonZero(d.Sum64())
}

// Node gives the identity of a node by its name; never 0.
func Node(name string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write([]byte{domainNode})
	_, _ = d.WriteString(name)
	return nonZero(d.Sum64())
}

func (k Key) put(b []byte) {
	binary.BigEndian.PutUint64(b, k.Flow)
	binary.BigEndian.PutUint64(b[8:], k.Offset)
	binary.BigEndian.PutUint64(b[16:], k.Stream)
}

func nonZero(h uint64) uint64 {
	if h == 0 {
		return 1
	}
	return h
}
