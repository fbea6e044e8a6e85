package decode

import (
	"unsafe"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
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

// Key is the identity of an exchange; see package identity.
type Key struct{ Flow, Offset, Stream uint64 }

// Said is what the spans and metrics of an exchange say of it beyond times and sizes. Parsers fill it while they read;
// the texts are copied when the exchange ends. OpenTelemetry's semantic conventions have the names.
//
// What is known of both ends or of the connection is no attribute of a parser: the enricher adds server.address and
// server.port (of ServerName and ServerPort, else of the connection), client.*, network.peer.*, network.transport,
// network.type, peer.service and error.type, and for the family HTTP http.route, url.template and the sizes of bodies
// (that of the response if there is an http.response.status_code).
type Said struct {
	Family Family
	// Kind of the span; 0: client or server, by side.
	Kind millracev1.SpanKind
	// Protocol is what the exchange speaks where that is another than its connection (gRPC over HTTP/2); 0: the same.
	Protocol millracev1.Protocol
	// Operation is the name of the span without a route. It has few different values.
	Operation []byte
	// ErrorType is what the protocol calls failed, at this side; empty: nothing failed.
	ErrorType, ErrorMessage []byte
	// Path is where the enricher looks for a route; empty: there are no routes.
	Path []byte
	// ServerName is the server as the client named it, ServerPort the port if it named one.
	ServerName []byte
	ServerPort uint32
	Attributes Attributes
	// Links are the contexts that messages of the exchange carried; at most MaxLinks.
	Links []Context
}

// MaxLinks is how many links a span has at most.
const MaxLinks = 32

// Set makes s a copy of from.
func (s *Said) Set(from *Said) {
	s.reset()
	s.Family, s.Kind, s.Protocol, s.ServerPort = from.Family, from.Kind, from.Protocol, from.ServerPort
	texts := s.texts()
	for i, text := range from.texts() {
		*texts[i] = append(*texts[i], *text...)
	}
	s.Attributes.b, s.Attributes.count = append(s.Attributes.b, from.Attributes.b...), from.Attributes.count
	s.Links = append(s.Links, from.Links...)
}

// Override makes s say what a layer says, and what the layer does not say as before.
func (s *Said) Override(layer *Said) {
	if layer.Protocol == 0 {
		return
	}
	s.Kind, s.Protocol, s.Links = layer.Kind, layer.Protocol, layer.Links
	if layer.Family != 0 && layer.Family != s.Family { // routes are of HTTP alone
		s.Family, s.Path = layer.Family, nil
	}
	if len(layer.Operation) > 0 {
		s.Operation = layer.Operation
	}
	if len(layer.ErrorType) > 0 {
		s.ErrorType, s.ErrorMessage = layer.ErrorType, layer.ErrorMessage
	}
	if len(layer.ServerName) > 0 {
		s.ServerName, s.ServerPort = layer.ServerName, layer.ServerPort
	}
	from := s.Attributes.Len()
	s.Attributes.Add(&layer.Attributes)
	s.Attributes.settle(from)
}

func (s *Said) reset() {
	texts, attributes, links := s.kept(), s.Attributes.b, s.Links
	*s = Said{}
	s.Attributes.b, s.Links = attributes[:0], links[:0]
	s.keep(texts)
}

// kept gives the memory of the texts of s, and keep puts it back, empty.
func (s *Said) kept() [5][]byte {
	return [5][]byte{s.Operation, s.ErrorType, s.ErrorMessage, s.Path, s.ServerName}
}

func (s *Said) keep(memory [5][]byte) {
	s.Operation, s.ErrorType, s.ErrorMessage = memory[0][:0], memory[1][:0], memory[2][:0]
	s.Path, s.ServerName = memory[3][:0], memory[4][:0]
}

// Exchange is a request and its response while they are being read. Exchanges are reused: whoever keeps one keeps it
// no longer than until Sink.Finished returns.
type Exchange struct {
	// Offset of the request's first byte.
	Offset uint64
	// Stream or correlation id, 0 where the protocol has none.
	Stream uint64
	// Flow, if it is not 0, names the exchange in place of its connection, offset and id: a hash of a request that both
	// ends see, where nothing else of it is the same at both.
	Flow uint64
	// Start is when the request began, RequestEnd when its last byte was moved; likewise of the response. Node time,
	// ns; 0: not yet.
	Start, RequestEnd           int64
	ResponseStart, ResponseTime int64
	// End is when the exchange ended.
	End int64
	// Arrival is of what this end received: when the first byte of the request, at the end that asked of the response,
	// could be read, and when the last one could. Unsent is of what it sent: how many bytes its socket still held back
	// when the last one was written. Node time, ns; 0: not known.
	Arrival stream.Arrival
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
	// Said is what the protocol says of the exchange in the words of OpenTelemetry.
	Said Said
	// Scratch is the parser's own, for what it must know of the request when the response comes. It is kept over a
	// restart; parsers bound it.
	Scratch []byte

	// layer is the protocol of the layer that wants the exchange, head what layers may want to know when its response
	// comes: see [Layers].
	layer millracev1.Protocol
	head  []byte

	// Outcome is set when the exchange ends.
	Outcome Outcome
	// Estimated: sizes are estimates.
	Estimated bool
	// Concurrent: offsets may be swapped.
	Concurrent bool
	// Pushed: the exchange began in the direction of the responses, so the other end asks.
	Pushed bool
	// Missed: bytes that may have been its response were lost on its connection. Only for protocols whose Order is
	// ByID, where what follows does not tell.
	Missed bool
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
	Cause     Key
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
	prolonged                                    bool   // see Conn.Prolong
	responseAt                                   uint64 // offset of the response's first byte, while it is being read
	responding                                   bool
	requestCounted, responseCounted              bool   // sizes are what Take counted
	doubtful                                     bool   // which response is its own is not known
	withheld                                     bool   // it was reported as lost for that
	serial                                       uint64 // event of the request's first byte
	held                                         int    // counted in Conn.held
}

// Reported reports whether the exchange was ended for the sink.
func (x *Exchange) Reported() bool { return x.reported }

// IsStarted reports whether [Conn.Started] was called.
func (x *Exchange) IsStarted() bool { return x.started }

// Responding reports whether the first byte of a response was seen.
func (x *Exchange) Responding() bool { return x.responding || x.ResponseStart != 0 }

// Memory is how many bytes of memory the texts of x take, used or not.
func (x *Exchange) Memory() int {
	s := &x.Said
	return cap(x.Scratch) + cap(x.head) + cap(s.Operation) + cap(s.ErrorType) + cap(s.ErrorMessage) + cap(s.Path) + cap(s.ServerName) +
		cap(s.Attributes.b) + cap(s.Links)*int(unsafe.Sizeof(Context{}))
}

// reset empties x but for the memory of its texts. To zero in place and put the slices back is what the compiler does
// well: a literal with them would be built aside, 700 bytes of it, and copied.
func (x *Exchange) reset() {
	state, scratch, head, texts, links := x.Context.State, x.Scratch, x.head, x.Said.kept(), x.Said.Links
	attributes := x.Said.Attributes.b
	*x = Exchange{}
	x.Context.State, x.Scratch, x.head, x.Said.Links = state[:0], scratch[:0], head[:0], links[:0]
	x.Said.Attributes.b = attributes[:0]
	x.Said.keep(texts)
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
	x.Context.appendState(w)
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
	x.Said.appendState(w)
	w.Bytes(x.Scratch)
	w.Uint(x.Flow)
	w.Uint(uint64(x.layer))
	w.Bytes(x.head)
	w.Int(x.Arrival.First)
	w.Int(x.Arrival.Last)
	w.Uint(uint64(x.Arrival.Unsent))
	for _, b := range x.bits() {
		w.Bool(*b)
	}
}

// restoreState reads what appendState of a version wrote. It gives the detail of the exchange with its field in
// Exchange, which versions before 11 have; 0: it has none.
func (x *Exchange) restoreState(r *snapshot.Reader, version uint64) (field uint8, detail []byte) {
	x.Offset, x.Stream = r.Uint(), r.Uint()
	x.Start, x.RequestEnd = r.Int(), r.Int()
	x.ResponseStart, x.ResponseTime = r.Int(), r.Int()
	x.End = r.Int()
	x.RequestBytes, x.ResponseBytes = r.Uint(), r.Uint()
	x.RequestBodyBytes, x.ResponseBodyBytes = r.Uint(), r.Uint()
	x.LostBytes = r.Uint()
	x.First, x.Head = stream.ReadActor(r), stream.ReadActor(r)
	x.HeadTime = r.Int()
	x.Context.restoreState(r)
	if version < 11 {
		detail, field = r.Bytes(), uint8(r.Uint())
	}
	x.Outcome = Outcome(r.Uint())
	x.Flags, x.Number = uint8(r.Uint()), uint32(r.Uint())
	x.Retransmits, x.ClockOffset, x.Since = uint32(r.Uint()), r.Int(), r.Int()
	x.responseAt = r.Uint()
	x.serial = r.Uint()
	if x.CauseKind = uint8(r.Uint()); x.CauseKind != 0 {
		x.Cause = Key{Flow: r.Uint(), Offset: r.Uint(), Stream: r.Uint()}
	}
	x.Task = r.Uint()
	bits := x.bits()
	known := len(bits)
	switch {
	case version < 7:
		known = bitsBefore7
	case version < 9:
		known = bitsBefore9
	case version < 10:
		known = bitsBefore10
	case version < 12:
		known = bitsBefore12
	case version < 14:
		known = bitsBefore14
	}
	if version >= 7 {
		x.DoubtAt = r.Int()
	}
	if version >= 10 {
		x.Said.restoreState(r)
		x.Scratch = r.Bytes()
		x.Flow = r.Uint()
		x.layer, x.head = millracev1.Protocol(r.Uint()), r.Bytes()
	}
	if version >= 13 {
		x.Arrival = stream.Arrival{First: r.Int(), Last: r.Int(), Unsent: uint32(r.Uint())}
	}
	for _, b := range bits[:known] {
		*b = r.Bool()
	}
	return field, detail
}

// bitsBefore7 is how many of the bits snapshots before version 7 have; bitsBefore9 those of versions 7 and 8,
// bitsBefore10 those of version 9, bitsBefore12 those of versions 10 and 11, bitsBefore14 those of versions 12 and 13.
const bitsBefore7, bitsBefore9, bitsBefore10, bitsBefore12, bitsBefore14 = 11, 13, 14, 18, 20

func (x *Exchange) bits() [21]*bool {
	return [21]*bool{
		&x.Estimated, &x.Concurrent, &x.Ignore, &x.Patient, &x.Serving, &x.Forwarded,
		&x.started, &x.requestDone, &x.responseDone, &x.reported, &x.responding,
		&x.ContextUnknown, &x.CauseUnknown, &x.HostForwarded,
		&x.Pushed, &x.Missed, &x.requestCounted, &x.responseCounted,
		&x.doubtful, &x.withheld, &x.prolonged,
	}
}
