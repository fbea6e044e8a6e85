package decoder_test

import (
	"context"
	"fmt"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
)

// printer is an output that prints the exchanges among what it is given.
type printer struct{}

func (printer) Publish(_, _ string, data []byte) {
	var batch millracev1.ExchangeBatch
	if err := batch.UnmarshalVT(data); err != nil {
		return // links go to other subjects
	}
	for _, x := range batch.Exchanges {
		fmt.Println(x.GetOperation(), x.GetPath(), x.GetOutcome())
	}
}

// One raw batch goes through a decoder without NATS.
func ExampleNew() {
	const request, response = "GET /cart HTTP/1.1\r\nHost: shop\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"
	batch := &millracev1.RawBatch{
		Version: 1, Node: "node-1", Sequence: 1, ClockOffsetNs: 1_700_000_000_000_000_000,
		Processes: []*millracev1.Process{{Id: 11, Pid: 100, Node: "node-1"}},
		Connections: []*millracev1.Connection{{
			SendFlow: 1<<32 | 2, ReceiveFlow: 2<<32 | 1, Socket: 1, Process: 11, OpenedNs: 1000,
			Transport: millracev1.Transport_TRANSPORT_TCP, Role: millracev1.Role_ROLE_CLIENT,
		}},
		Events: []*millracev1.Event{
			{Kind: millracev1.EventKind_EVENT_KIND_SEND, Connection: 1, TimeNs: 2000, Length: uint32(len(request)), Payload: []byte(request)},
			{Kind: millracev1.EventKind_EVENT_KIND_RECEIVE, Connection: 1, TimeNs: 3000, Length: uint32(len(response)), Payload: []byte(response)},
		},
	}
	data, err := batch.MarshalVT()
	if err != nil {
		panic(err)
	}
	ctx, stored, out := context.Background(), time.Unix(1_700_000_000, 0), printer{}
	d := decoder.New(decoder.Options{Partitions: 1})
	if err := d.Process(ctx, []stage.Record{{Sequence: 1, Time: stored, Data: data}}, out); err != nil {
		panic(err)
	}
	// Time that passes ends closed connections, gaps and timeouts.
	if err := d.Tick(ctx, stored.Add(time.Second), out); err != nil {
		panic(err)
	}
	// Output: GET /cart OUTCOME_COMPLETE
}
