package decoder_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// flowTape keeps the messages with flows by subject.
type flowTape struct {
	t        *testing.T
	messages map[string]*millracev1.ExchangeBatch
}

func (f *flowTape) Publish(subject, _ string, data []byte) {
	b := &millracev1.ExchangeBatch{}
	if err := b.UnmarshalVT(data); err != nil {
		f.t.Fatal(err)
	}
	if len(b.Flows) > 0 {
		f.messages[subject] = b
	}
}

// Counters of connections go to the partition of their connection, whichever end they are of, with the facts of the
// process. What cannot be understood is left out.
func TestFlows(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	client, server := traffic.Dial()
	batch := &millracev1.RawBatch{
		Version: 1, Node: "n", Epoch: 1, Sequence: 1, ClockOffsetNs: 5, Processes: traffic.Processes, Connections: traffic.Connections,
		Flows: []*millracev1.FlowSample{
			{Connection: 1, TimeNs: 9, BytesSent: 100}, {Connection: 2, TimeNs: 10, BytesSent: 200}, {Connection: 3}, {Connection: 0},
		},
	}
	data, err := batch.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	const partitions = 4
	p := decoder.New(decoder.Options{Partitions: partitions})
	out := &flowTape{t, map[string]*millracev1.ExchangeBatch{}}
	if err := p.Process(t.Context(), []stage.Record{{Subject: "millrace.raw.0.n", Data: data}}, out); err != nil {
		t.Fatal(err)
	}
	b := out.messages[bus.ExchangeSubject(bus.ConnectionPartition(client.Facts().SendFlow, partitions))]
	if len(out.messages) != 1 || b == nil || len(b.Flows) != 2 || len(b.Processes) != 2 {
		t.Fatalf("%v", out.messages)
	}
	for i, end := range []*decodertest.End{client, server} {
		want := &millracev1.Flow{Connection: end.Facts(), Sample: batch.Flows[i], ClockOffsetNs: 5}
		if !proto.Equal(b.Flows[i], want) {
			t.Errorf("%v, want %v", b.Flows[i], want)
		}
	}
}
