package protocol

import (
	"millrace.dev/lib/identity"
	"millrace.dev/services/decoder/internal/snapshot"
	"millrace.dev/services/decoder/internal/stream"
)

// Outcome says how an exchange ended; the numbers are those of the published enumeration.
type Outcome uint8

// Outcomes.
const (
	Complete Outcome = iota + 1
	Closed
	Reset
	Lost
	Expired
	OneWay
)

// Context is a W3C trace context.
type Context struct {
	TraceID [16]byte
	SpanID  uint64
	Flags   uint8
	Valid   bool
	// State is the tracestate header, at most 512 bytes.
	State []byte
}

// Exchange is a request and its response while they are being read. Exchanges are reused: whoever keeps one keeps it no
// longer than until Sink.Finished returns.
type Exchange struct {
	// Offset of the request's first byte.
	Offset uint64
	// Stream or correlation id, 0 where the protocol has none.
	Stream uint64
	// Start is when the request began, RequestEnd when its last byte was moved; likewise of the response. Node time,
	// ns; 0: not yet.
	Start, RequestEnd           int64
	ResponseStart, ResponseTime int64
	// End is when the exchange ended.
	End int64
	// Sizes in bytes. While the message is being read, RequestBytes and ResponseBytes hold what earlier parts (interim
	// responses) took.
	RequestBytes, ResponseBytes         uint64
	RequestBodyBytes, ResponseBodyBytes uint64
	// LostBytes that belonged to either message.
	LostBytes uint64
	// First is who moved the first byte of the request, Head who moved the last byte of its head.
	First, Head stream.Actor
	// HeadTime is when the head was complete. Node time, ns.
	HeadTime int64
	Context  Context
	// Detail is the encoded message of the protocol (HttpExchange, RedisExchange), to which the parser appends fields
	// as it learns them; DetailField is its field number in Exchange.
	Detail      []byte
	DetailField uint8
	// Outcome is set when the exchange ends.
	Outcome Outcome
	// Estimated: sizes are estimates.
	Estimated bool
	// Concurrent: offsets may be swapped.
	Concurrent bool
	// Ignore: the exchange is followed, but not published.
	Ignore bool
	// Patient: the response may take for ever (a blocking command).
	Patient bool
	// ContextUnknown: the head was not read to its end, so whether the request carries a context is not known.
	ContextUnknown bool
	// GivenUp: the exchange was given up while its connection is open. Completes: it was given up before, and its
	// response came after all. Both are set while [Sink.Finished] is called.
	GivenUp, Completes bool
	// Authority is a hash of the Host that the request names, 0 if there is none. It is valid until the event after
	// [Sink.Started].
	Authority uint32
	// Flags and Number are the parser's own, for what it must know of the request when the response comes.
	Flags  uint8
	Number uint32

	// The following are the processor's own: what caused the exchange (a [millracev1.CauseKind]), who acts in it, and
	// what was noted when it started.
	Cause     identity.Key
	CauseKind uint8
	Forwarded bool
	// HostForwarded: the Host of a client's request is one that the process was asked for itself.
	HostForwarded bool
	// CauseUnknown: there is no cause, but what would tell may have been missed.
	CauseUnknown bool
	Task         uint64
	Retransmits  uint32
	ClockOffset  int64
	// Since is the stream's time when the request began to wait, Unix ns; 0: not known. DoubtAt is when something was
	// lost that may have been its response; 0: nothing was.
	Since, DoubtAt int64
	Serving        bool

	started, requestDone, responseDone, reported bool
	responseAt                                   uint64 // offset of the response's first byte, while it is being read
	responding                                   bool
	serial                                       uint64 // event of the request's first byte
	held                                         int    // counted in Conn.held
}

// Reported reports whether the exchange was ended for the sink.
func (x *Exchange) Reported() bool { return x.reported }

// IsStarted reports whether [Conn.Started] was called.
func (x *Exchange) IsStarted() bool { return x.started }

// Responding reports whether the first byte of a response was seen.
func (x *Exchange) Responding() bool { return x.responding || x.ResponseStart != 0 }

func (x *Exchange) reset() {
	detail, state := x.Detail[:0], x.Context.State[:0]
	*x = Exchange{Detail: detail}
	x.Context.State = state
}

func (x *Exchange) appendState(w *snapshot.Writer) {
	w.Uint(x.Offset)
	w.Uint(x.Stream)
	w.Int(x.Start)
	w.Int(x.RequestEnd)
	w.Int(x.ResponseStart)
	w.Int(x.ResponseTime)
	w.Int(x.End)
	w.Uint(x.RequestBytes)
	w.Uint(x.ResponseBytes)
	w.Uint(x.RequestBodyBytes)
	w.Uint(x.ResponseBodyBytes)
	w.Uint(x.LostBytes)
	stream.AppendActor(w, &x.First)
	stream.AppendActor(w, &x.Head)
	w.Int(x.HeadTime)
	w.Bool(x.Context.Valid)
	if x.Context.Valid {
		w.Bytes(x.Context.TraceID[:])
		w.Uint(x.Context.SpanID)
		w.Uint(uint64(x.Context.Flags))
	}
	w.Bytes(x.Context.State)
	w.Bytes(x.Detail)
	w.Uint(uint64(x.DetailField))
	w.Uint(uint64(x.Outcome))
	w.Uint(uint64(x.Flags))
	w.Uint(uint64(x.Number))
	w.Uint(uint64(x.Retransmits))
	w.Int(x.ClockOffset)
	w.Int(x.Since)
	w.Uint(x.responseAt)
	w.Uint(x.serial)
	w.Uint(uint64(x.CauseKind))
	if x.CauseKind != 0 {
		w.Uint(x.Cause.Flow)
		w.Uint(x.Cause.Offset)
		w.Uint(x.Cause.Stream)
	}
	w.Uint(x.Task)
	w.Int(x.DoubtAt)
	for _, b := range x.bits() {
		w.Bool(*b)
	}
}

func (x *Exchange) restoreState(r *snapshot.Reader, version uint64) {
	x.Offset, x.Stream = r.Uint(), r.Uint()
	x.Start, x.RequestEnd = r.Int(), r.Int()
	x.ResponseStart, x.ResponseTime = r.Int(), r.Int()
	x.End = r.Int()
	x.RequestBytes, x.ResponseBytes = r.Uint(), r.Uint()
	x.RequestBodyBytes, x.ResponseBodyBytes = r.Uint(), r.Uint()
	x.LostBytes = r.Uint()
	x.First, x.Head = stream.ReadActor(r), stream.ReadActor(r)
	x.HeadTime = r.Int()
	if x.Context.Valid = r.Bool(); x.Context.Valid {
		if copy(x.Context.TraceID[:], r.Bytes()) != 16 {
			r.Fail()
		}
		x.Context.SpanID, x.Context.Flags = r.Uint(), uint8(r.Uint())
	}
	x.Context.State = r.Bytes()
	x.Detail = r.Bytes()
	x.DetailField, x.Outcome = uint8(r.Uint()), Outcome(r.Uint())
	x.Flags, x.Number = uint8(r.Uint()), uint32(r.Uint())
	x.Retransmits, x.ClockOffset, x.Since = uint32(r.Uint()), r.Int(), r.Int()
	x.responseAt = r.Uint()
	x.serial = r.Uint()
	if x.CauseKind = uint8(r.Uint()); x.CauseKind != 0 {
		x.Cause = identity.Key{Flow: r.Uint(), Offset: r.Uint(), Stream: r.Uint()}
	}
	x.Task = r.Uint()
	bits := x.bits()
	known := len(bits)
	switch {
	case version < 7:
		known = bitsBefore7
	case version < 9:
		known = bitsBefore9
	}
	if version >= 7 {
		x.DoubtAt = r.Int()
	}
	for _, b := range bits[:known] {
		*b = r.Bool()
	}
}

// bitsBefore7 is how many of the bits snapshots before version 7 have; bitsBefore9 those of versions 7 and 8.
const bitsBefore7, bitsBefore9 = 11, 13

func (x *Exchange) bits() [14]*bool {
	return [14]*bool{
		&x.Estimated, &x.Concurrent, &x.Ignore, &x.Patient, &x.Serving, &x.Forwarded,
		&x.started, &x.requestDone, &x.responseDone, &x.reported, &x.responding,
		&x.ContextUnknown, &x.CauseUnknown, &x.HostForwarded,
	}
}
