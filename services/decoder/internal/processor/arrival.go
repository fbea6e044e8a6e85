package processor

import (
	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// arrivalOf gives how long the bytes of e waited. What cannot be is not known.
func arrivalOf(e *rawbatch.Event) (a stream.Arrival) {
	if e.LastByteWaited > 0 && e.LastByteWaited < e.Time {
		a.Last = int64(e.Time - e.LastByteWaited)
	}
	if e.FirstByteWaited > 0 && e.FirstByteWaited < e.Time {
		a.First = int64(e.Time - e.FirstByteWaited)
	}
	a.Unsent = e.Unsent
	return a
}

// appendWaits writes when the messages of x ended, and how long they waited in sockets. Nothing is said where it is not
// certain which bytes are those of x.
func appendWaits(b []byte, c *connection, x *decode.Exchange) []byte {
	if x.Outcome != decode.Complete || x.Estimated || x.Concurrent || x.LostBytes != 0 || c.hasDatagrams() {
		return b
	}
	b = appendAfter(b, 50, x.Start, x.RequestEnd)
	b = appendAfter(b, 51, x.Start, x.ResponseTime)
	b = appendAfter(b, 52, x.Start, x.Arrival.First)
	b = appendAfter(b, 53, x.Start, x.Arrival.Last)
	return appendNumber(b, 54, uint64(x.Arrival.Unsent))
}

// appendAfter writes how long after start a time is, negative if it is before it. Unlike others it is written if it is
// 0.
func appendAfter(b []byte, field protowire.Number, start, at int64) []byte {
	if at == 0 {
		return b
	}
	return appendVarint(appendTag(b, field, protowire.VarintType), protowire.EncodeZigZag(at-start))
}
