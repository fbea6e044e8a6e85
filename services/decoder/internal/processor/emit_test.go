package processor

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// TestEncodesAsGeneratedCode compares the hand-written encoding with the message that the generated code reads, field
// by field.
func TestEncodesAsGeneratedCode(t *testing.T) {
	t.Parallel()
	for _, flags := range []uint8{0, 1, 0xff} {
		for _, state := range []string{"", "a=b"} {
			c := &connection{
				sendFlow: 5<<32 | 6, owner: &process{id: 77}, protocol: millracev1.Protocol_PROTOCOL_REDIS, srtt: 300, retransmits: 9,
				facts: rawbatch.Connection{
					Transport: millracev1.Transport_TRANSPORT_TCP, LocalAddress: []byte{127, 0, 0, 1}, LocalPort: 80,
					RemoteAddress: make([]byte, 16), RemotePort: 65535, UnixPath: []byte("/x"),
				},
			}
			c.conn.Client = true
			c.encode()
			x := &decode.Exchange{
				Offset: 1 << 33, Stream: 3, Start: 10, ResponseStart: 20, End: 30, ClockOffset: 1000, RequestBytes: 300, ResponseBytes: 1 << 40,
				RequestBodyBytes: 2, ResponseBodyBytes: 1 << 20, Estimated: true, Cause: decode.Key{Flow: 1, Offset: 2}, CauseKind: 2,
				Forwarded: true, HostForwarded: true, Retransmits: 4, LostBytes: 5, Task: 1<<63 | 12, Concurrent: true, Outcome: decode.Closed,
				Said:    decode.Said{Operation: []byte("G")},
				Context: decode.Context{TraceID: [16]byte{1}, SpanID: 9, Flags: flags, Valid: true, State: []byte(state)},
			}
			var got millracev1.Exchange
			if err := got.UnmarshalVT(appendCause(whole(c, x), x)); err != nil {
				t.Fatal(err)
			}
			want := &millracev1.Exchange{
				Key:  &millracev1.ExchangeKey{Flow: 5<<32 | 6, Offset: 1 << 33, Stream: 3},
				Side: millracev1.Side_SIDE_CLIENT, Protocol: millracev1.Protocol_PROTOCOL_REDIS, Outcome: millracev1.Outcome_OUTCOME_CLOSED,
				Process: 77, Transport: millracev1.Transport_TRANSPORT_TCP, LocalAddress: []byte{127, 0, 0, 1}, LocalPort: 80,
				RemoteAddress: make([]byte, 16), RemotePort: 65535, UnixPath: "/x", StartUnixNs: 1010, ResponseUnixNs: 1020, EndUnixNs: 1030,
				RequestBytes: 300, ResponseBytes: 1 << 40, RequestBodyBytes: 2, ResponseBodyBytes: 1 << 20, SizesEstimated: true,
				Cause: &millracev1.ExchangeKey{Flow: 1, Offset: 2}, CauseKind: millracev1.CauseKind_CAUSE_KIND_CHILD_TASK,
				Context: &millracev1.TraceContext{
					TraceId: append([]byte{1}, make([]byte, 15)...), SpanId: 9, Flags: uint32(flags), Tracestate: state,
				},
				ContextForwarded: true, HostForwarded: true, SrttUs: 300, Retransmits: 5, LostBytes: 5, Task: 12, ConcurrentUse: true,
				Operation: "G",
			}
			if !proto.Equal(&got, want) {
				t.Errorf("got\n%v\nwant\n%v", &got, want)
			}
			var o emitter
			o.init(1)
			cause := append(appendKey(nil, 3, identity.Key(x.Cause)), 4<<3, x.CauseKind)
			o.add(&o.links[0], linkClient, appendKey(nil, 2, identity.Key{Flow: 4, Offset: 200}), cause, appendStart(nil, x))
			var batch millracev1.LinkBatch
			if err := batch.UnmarshalVT(o.links[0].message); err != nil {
				t.Fatal(err)
			}
			link := &millracev1.LinkBatch{Version: 1, Links: []*millracev1.Link{{
				Kind: millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, Key: &millracev1.ExchangeKey{Flow: 4, Offset: 200}, Cause: want.Cause,
				CauseKind: want.CauseKind, Context: want.Context, StartUnixNs: 1010,
			}}}
			if !proto.Equal(&batch, link) {
				t.Errorf("got\n%v\nwant\n%v", &batch, link)
			}
		}
	}
}
