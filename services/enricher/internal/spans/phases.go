package spans

import (
	"millrace.dev/lib/identity"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Anatomy is how spans say where the time of a request went: a value of traces.anatomy.
type Anatomy string

// Values of traces.anatomy. The empty one is AnatomyAttributes.
const (
	AnatomyAttributes Anatomy = "attributes"
	AnatomySpans      Anatomy = "spans"
	AnatomyOff        Anatomy = "off"
)

// Phases are where the time of an exchange went at one end, in nanoseconds; negative where that is not known.
type Phases struct {
	// Send is from the begin of the first call that wrote this end's message to the return of the last one.
	Send int64
	// Arriving is from when the first byte of the other end's message could be read to when the last one could.
	Arriving int64
	// Waiting is from when the last byte of the other end's message could be read to when it was.
	Waiting int64
	// Work is from when a server has read the request to when it begins to write the response.
	Work int64
}

// PhasesOf gives those of the end that x is the view of. A time that would be negative is not known.
func PhasesOf(x *millracev1.Exchange) Phases {
	p := Phases{-1, -1, -1, -1}
	if x.RequestEndNs == nil || x.ResponseEndNs == nil {
		return p
	}
	received := *x.RequestEndNs
	if x.Side == millracev1.Side_SIDE_CLIENT {
		received, p.Send = *x.ResponseEndNs, *x.RequestEndNs
	} else if x.ResponseUnixNs != 0 {
		began := int64(x.ResponseUnixNs - x.StartUnixNs)
		p.Send, p.Work = *x.ResponseEndNs-began, began-*x.RequestEndNs
	}
	if p.Send == 0 { // when the call began is not known
		p.Send = -1
	}
	if x.LastArrivedNs != nil {
		p.Waiting = received - *x.LastArrivedNs
		if x.FirstArrivedNs != nil {
			p.Arriving = *x.LastArrivedNs - *x.FirstArrivedNs
		}
	}
	return p
}

// QueueDuration is how long a request waited in the server's socket from when it had come until it was read, in
// nanoseconds. False at a client, and where it is not known.
func QueueDuration(x *millracev1.Exchange) (int64, bool) {
	if x.Side != millracev1.Side_SIDE_SERVER {
		return 0, false
	}
	d := PhasesOf(x).Waiting
	return d, d >= 0
}

// NetworkDuration is the time that request and response spent between the two ends, in nanoseconds: from the client's
// last write to the arrival of the response's last byte, minus the time from the arrival of the request's last byte to
// the server's last write. Each is taken on one clock. x and peer are the two sides in any order. It is 0 where the
// server's part is longer: a write may return after the other end has got the bytes. False where it is not known at an
// end when the bytes arrived, or an end did not see the exchange whole.
func NetworkDuration(x, peer *millracev1.Exchange) (int64, bool) {
	client, server := x, peer
	if client.Side != millracev1.Side_SIDE_CLIENT {
		client, server = peer, x
	}
	if client.Outcome != millracev1.Outcome_OUTCOME_COMPLETE || server.Outcome != millracev1.Outcome_OUTCOME_COMPLETE ||
		client.RequestEndNs == nil || client.LastArrivedNs == nil || server.ResponseEndNs == nil || server.LastArrivedNs == nil {
		return 0, false
	}
	d := (*client.LastArrivedNs - *client.RequestEndNs) - (*server.ResponseEndNs - *server.LastArrivedNs)
	return max(d, 0), true
}

// phases adds where the time of an exchange went.
func phases(e *encoder, x *millracev1.Exchange) {
	p := PhasesOf(x)
	add := func(name string, ns int64) {
		if ns >= 0 {
			e.double(name, float64(ns)/1e9)
		}
	}
	switch x.Side {
	case millracev1.Side_SIDE_CLIENT:
		add("millrace.client.send.duration", p.Send)
		add("millrace.client.read_delay.duration", p.Waiting)
	case millracev1.Side_SIDE_SERVER:
		add("millrace.server.arriving.duration", p.Arriving)
		add("millrace.server.queue.duration", p.Waiting)
		add("millrace.server.work.duration", p.Work)
		add("millrace.server.send.duration", p.Send)
	case millracev1.Side_SIDE_UNSPECIFIED:
	}
}

// Parts is the number of children that a server's span can have, see [Encoder.EncodePart].
const Parts = 2

// EncodePart gives a child of the span of in, by its number: "in queue", from when the request had come to the server's
// socket until it was read, which is mostly before the span itself, and "processing", from then to the beginning of the
// response. Nil where it is not known, or not wanted. The bytes are valid until the next call of a method.
func (c *Encoder) EncodePart(in *Input, number byte) []byte {
	x := in.Exchange
	if c.Anatomy != AnatomySpans || x.Side != millracev1.Side_SIDE_SERVER {
		return nil
	}
	p := PhasesOf(x)
	name, took := "in queue", p.Waiting
	var start int64
	switch {
	case number == 0 && took >= 0:
		start = *x.LastArrivedNs
	case number == 1 && p.Work >= 0:
		name, took, start = "processing", p.Work, *x.RequestEndNs
	default:
		return nil
	}
	c.e.b, c.e.attribute = c.e.b[:0], tagSpanAttribute
	e := &c.e
	appendField(e, tagSpanTraceID, in.TraceID[:])
	e.fixed(tagSpanSpanID, identity.Part(in.SpanID, number))
	e.fixed(tagSpanParent, in.SpanID)
	e.varint(tagSpanKind, uint64(millracev1.SpanKind_SPAN_KIND_INTERNAL))
	e.fixed(tagSpanStart, uint64(int64(x.StartUnixNs)+start))
	e.fixed(tagSpanEnd, uint64(int64(x.StartUnixNs)+start+took))
	e.varint(tagSpanFlags, uint64(in.Flags))
	if in.Tracestate != "" {
		appendText(e, tagSpanTracestate, in.Tracestate)
	}
	appendText(e, tagSpanName, name)
	return e.b
}
