package join

import (
	"unsafe"

	"millrace.dev/lib/wire"
	"millrace.dev/services/enricher/internal/attribute"
	"millrace.dev/services/enricher/internal/detail"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// batch is an ExchangeBatch whose parts are still encoded, or a LinkBatch. Everything in it aliases the message. It may
// be used for one message after another.
type batch struct {
	version   uint32
	processes [][]byte
	records   [][]byte // exchanges or links
	names     [][]byte // of attributes of exchanges; of a batch of links the questions that were taken up
	// flows are those of a batch of exchanges.
	flows [][]byte
	// identities are those of a batch of links.
	identities [][]byte
}

// read replaces b by the message, with exchanges or links in the field of the given number; it reports whether it is
// well formed. Fields that are not known are passed over, here and in all that follows.
func (b *batch) read(message []byte, records uint32) (ok bool) {
	b.version, b.processes, b.records, b.names, b.identities = 0, b.processes[:0], b.records[:0], b.names[:0], b.identities[:0]
	b.flows = b.flows[:0]
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch {
		case f.ID == 1 && f.Type == wire.Varint:
			b.version = uint32(f.Number)
		case f.ID == records && f.Type == wire.Length:
			b.records = append(b.records, f.Bytes)
		case f.ID == 3 && f.Type == wire.Length: // Of a batch of links: exchanges were told by their number above.
			b.identities = append(b.identities, f.Bytes)
		case f.ID == 2 && f.Type == wire.Length:
			b.processes = append(b.processes, f.Bytes)
		case f.ID == 4 && f.Type == wire.Length:
			b.names = append(b.names, f.Bytes)
		case f.ID == 5 && f.Type == wire.Length:
			b.flows = append(b.flows, f.Bytes)
		}
	}
	return true
}

// view is an Exchange that is read without allocating. Its message refers to the view and to the bytes that were read,
// and is valid until the view is used again.
type view struct {
	x          millracev1.Exchange
	key, cause millracev1.ExchangeKey
	candidate  millracev1.ExchangeKey
	context    millracev1.TraceContext
	http       millracev1.HttpExchange
	redis      millracev1.RedisExchange
	isHTTP     millracev1.Exchange_Http
	isRedis    millracev1.Exchange_Redis
	// attributes are those that are well formed; malformed counts the others.
	attributes []attribute.Attribute
	malformed  int
	links      []millracev1.TraceContext
	linked     []*millracev1.TraceContext
	details    detail.Converter
	// times are what the exchange's times after its start point to.
	times [4]int64
}

// after keeps a time after the exchange's start, one of four.
func (v *view) after(i int, encoded uint64) *int64 {
	v.times[i] = int64(encoded>>1) ^ -int64(encoded&1) // ZigZag
	return &v.times[i]
}

// What is read of one exchange at most; more is counted as malformed.
const (
	maxAttributes = 256
	maxLinks      = 32
)

// alias gives the text without copying it.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// read replaces the view by the message, whose attributes have these names; it reports whether it is well formed.
// Attributes that are not are left out.
func (v *view) read(m []byte, names *attribute.Names) (ok bool) {
	x := &v.x
	x.Reset()
	v.attributes, v.malformed = v.attributes[:0], 0
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			if x.Key == nil { // A message that comes in two parts is merged.
				x.Key = &v.key
				v.key.Reset()
			}
			ok = readKey(x.Key, f.Bytes)
		case 2<<3 | wire.Varint:
			x.Side = millracev1.Side(f.Number)
		case 3<<3 | wire.Varint:
			x.Protocol = millracev1.Protocol(f.Number)
		case 4<<3 | wire.Varint:
			x.Outcome = millracev1.Outcome(f.Number)
		case 5<<3 | wire.Fixed64:
			x.Process = f.Number
		case 6<<3 | wire.Varint:
			x.Transport = millracev1.Transport(f.Number)
		case 7<<3 | wire.Length:
			x.LocalAddress = f.Bytes
		case 8<<3 | wire.Varint:
			x.LocalPort = uint32(f.Number)
		case 9<<3 | wire.Length:
			x.RemoteAddress = f.Bytes
		case 10<<3 | wire.Varint:
			x.RemotePort = uint32(f.Number)
		case 11<<3 | wire.Length:
			x.UnixPath = alias(f.Bytes)
		case 12<<3 | wire.Fixed64:
			x.StartUnixNs = f.Number
		case 13<<3 | wire.Fixed64:
			x.ResponseUnixNs = f.Number
		case 14<<3 | wire.Fixed64:
			x.EndUnixNs = f.Number
		case 15<<3 | wire.Varint:
			x.RequestBytes = f.Number
		case 16<<3 | wire.Varint:
			x.ResponseBytes = f.Number
		case 17<<3 | wire.Varint:
			x.RequestBodyBytes = f.Number
		case 18<<3 | wire.Varint:
			x.ResponseBodyBytes = f.Number
		case 19<<3 | wire.Varint:
			x.SizesEstimated = f.Number != 0
		case 20<<3 | wire.Length:
			if x.Cause == nil {
				x.Cause = &v.cause
				v.cause.Reset()
			}
			ok = readKey(x.Cause, f.Bytes)
		case 21<<3 | wire.Varint:
			x.CauseKind = millracev1.CauseKind(f.Number)
		case 22<<3 | wire.Length:
			if x.Context == nil {
				x.Context = &v.context
				v.context.Reset()
			}
			ok = readContext(x.Context, f.Bytes)
		case 23<<3 | wire.Varint:
			x.ContextForwarded = f.Number != 0
		case 47<<3 | wire.Varint:
			x.HostForwarded = f.Number != 0
		case 50<<3 | wire.Varint:
			x.RequestEndNs = v.after(0, f.Number)
		case 51<<3 | wire.Varint:
			x.ResponseEndNs = v.after(1, f.Number)
		case 52<<3 | wire.Varint:
			x.FirstArrivedNs = v.after(2, f.Number)
		case 53<<3 | wire.Varint:
			x.LastArrivedNs = v.after(3, f.Number)
		case 54<<3 | wire.Varint:
			x.Unsent = uint32(f.Number)
		case 24<<3 | wire.Varint:
			x.SrttUs = uint32(f.Number)
		case 25<<3 | wire.Varint:
			x.Retransmits = uint32(f.Number)
		case 26<<3 | wire.Varint:
			x.LostBytes = f.Number
		case 27<<3 | wire.Varint:
			x.Task = f.Number
		case 28<<3 | wire.Varint:
			x.ConcurrentUse = f.Number != 0
		case 45<<3 | wire.Length:
			x.ClientAddress = f.Bytes
		case 46<<3 | wire.Varint:
			x.ClientPort = uint32(f.Number)
		case 29<<3 | wire.Length:
			if x.CauseCandidate == nil {
				x.CauseCandidate = &v.candidate
				v.candidate.Reset()
			}
			ok = readKey(x.CauseCandidate, f.Bytes)
		case 41<<3 | wire.Varint:
			x.GivenUp = f.Number != 0
		case 42<<3 | wire.Varint:
			x.Completes = f.Number != 0
		case 43<<3 | wire.Varint:
			x.ContextUnknown = f.Number != 0
		case 44<<3 | wire.Varint:
			x.CauseUnknown = f.Number != 0
		case 30<<3 | wire.Length:
			if x.GetHttp() == nil {
				v.http.Reset()
				v.isHTTP.Http = &v.http
				x.Detail = &v.isHTTP
			}
			ok = readHTTP(&v.http, f.Bytes)
		case 31<<3 | wire.Length:
			if x.GetRedis() == nil {
				v.redis.Reset()
				v.isRedis.Redis = &v.redis
				x.Detail = &v.isRedis
			}
			ok = readRedis(&v.redis, f.Bytes)
		default:
			ok = v.readSaid(&f, names)
		}
		if !ok {
			return false
		}
	}
	return true
}

func readKey(k *millracev1.ExchangeKey, m []byte) (ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Fixed64:
			k.Flow = f.Number
		case 2<<3 | wire.Varint:
			k.Offset = f.Number
		case 3<<3 | wire.Varint:
			k.Stream = f.Number
		}
	}
	return true
}

func readContext(c *millracev1.TraceContext, m []byte) (ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			c.TraceId = f.Bytes
		case 2<<3 | wire.Fixed64:
			c.SpanId = f.Number
		case 3<<3 | wire.Varint:
			c.Flags = uint32(f.Number)
		case 4<<3 | wire.Length:
			c.Tracestate = alias(f.Bytes)
		}
	}
	return true
}

func readHTTP(h *millracev1.HttpExchange, m []byte) (ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			h.Method = alias(f.Bytes)
		case 2<<3 | wire.Length:
			h.Target = alias(f.Bytes)
		case 3<<3 | wire.Length:
			h.Host = alias(f.Bytes)
		case 4<<3 | wire.Varint:
			h.Status = uint32(f.Number)
		case 5<<3 | wire.Length:
			h.Version = alias(f.Bytes)
		case 6<<3 | wire.Length:
			h.UserAgent = alias(f.Bytes)
		case 7<<3 | wire.Varint:
			h.Upgraded = f.Number != 0
		case 8<<3 | wire.Length:
			h.ResponseContentType = alias(f.Bytes)
		case 9<<3 | wire.Varint:
			h.InformationalResponses = uint32(f.Number)
		}
	}
	return true
}

func readRedis(r *millracev1.RedisExchange, m []byte) (ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			r.Command = alias(f.Bytes)
		case 2<<3 | wire.Length:
			r.Statement = alias(f.Bytes)
		case 3<<3 | wire.Length:
			r.ErrorCode = alias(f.Bytes)
		case 4<<3 | wire.Length:
			r.ErrorMessage = alias(f.Bytes)
		case 5<<3 | wire.Varint: // zigzag
			n := uint32(f.Number)
			r.Database = int32(n>>1) ^ -int32(n&1)
		case 6<<3 | wire.Varint:
			r.BatchSize = uint32(f.Number)
		}
	}
	return true
}

// linkView is a Link that is read without allocating, as [view] is an Exchange.
type linkView struct {
	l          millracev1.Link
	key, cause millracev1.ExchangeKey
	context    millracev1.TraceContext
}

func (v *linkView) read(m []byte) (ok bool) {
	l := &v.l
	l.Reset()
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			l.Kind = millracev1.LinkKind(f.Number)
		case 2<<3 | wire.Length:
			if l.Key == nil {
				l.Key = &v.key
				v.key.Reset()
			}
			ok = readKey(l.Key, f.Bytes)
		case 3<<3 | wire.Length:
			if l.Cause == nil {
				l.Cause = &v.cause
				v.cause.Reset()
			}
			ok = readKey(l.Cause, f.Bytes)
		case 4<<3 | wire.Varint:
			l.CauseKind = millracev1.CauseKind(f.Number)
		case 5<<3 | wire.Length:
			if l.Context == nil {
				l.Context = &v.context
				v.context.Reset()
			}
			ok = readContext(l.Context, f.Bytes)
		case 6<<3 | wire.Length:
			l.TraceId = f.Bytes
		case 7<<3 | wire.Fixed64:
			l.StartUnixNs = f.Number
		case 8<<3 | wire.Varint:
			l.Assumed = f.Number != 0
		case 9<<3 | wire.Varint:
			l.TraceFlags = uint32(f.Number)
		case 10<<3 | wire.Varint:
			l.ContextUnknown = f.Number != 0
		case 11<<3 | wire.Varint:
			l.CauseUnknown = f.Number != 0
		}
		if !ok {
			return false
		}
	}
	return true
}
