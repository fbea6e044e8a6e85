package enricher_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// said is what one side of an exchange says of itself, with names in place.
type said struct {
	x          *millracev1.Exchange
	attributes []pair
}

type pair struct {
	name  string
	value any
}

// saying gives both sides of exchanges as decoders of PostgreSQL, gRPC over HTTP/2 and Kafka publish them.
func saying() []said {
	const start = uint64(1_800_000_000e9)
	exchange := func(flow uint64, side millracev1.Side, x *millracev1.Exchange) *millracev1.Exchange {
		x.Key, x.Side = &millracev1.ExchangeKey{Flow: flow<<32 | flow + 1, Offset: 10}, side
		x.Process = flow<<8 | uint64(side)
		x.Transport, x.Outcome = millracev1.Transport_TRANSPORT_TCP, millracev1.Outcome_OUTCOME_COMPLETE
		x.LocalAddress, x.LocalPort, x.RemoteAddress, x.RemotePort = []byte{10, 0, 0, 1}, 40000, []byte{10, 96, 0, 7}, uint32(5000+flow)
		x.StartUnixNs, x.EndUnixNs, x.RequestBytes, x.ResponseBytes = start, start+4e6, 100, 2000
		if side == millracev1.Side_SIDE_SERVER {
			x.LocalAddress, x.LocalPort, x.RemoteAddress, x.RemotePort = []byte{10, 0, 0, 2}, uint32(5000+flow), []byte{10, 0, 0, 1}, 40000
			x.StartUnixNs, x.EndUnixNs = start+1e6, start+3e6
		}
		// The request waits in the server's socket for half a millisecond.
		x.RequestEndNs, x.ResponseEndNs, x.LastArrivedNs = new(int64(0)), new(int64(x.EndUnixNs-x.StartUnixNs)), new(int64(-5e5))
		if side == millracev1.Side_SIDE_CLIENT {
			x.LastArrivedNs = x.ResponseEndNs
		}
		return x
	}
	var all []said
	for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
		all = append(all,
			said{exchange(1, side, &millracev1.Exchange{
				Protocol: millracev1.Protocol_PROTOCOL_POSTGRESQL, Family: millracev1.Family_FAMILY_DATABASE, Operation: "SELECT orders",
				ErrorType: "57P01", ErrorMessage: "terminating connection", ServerName: "db.example", ServerPort: 6432,
			}), []pair{
				{"db.system.name", "postgresql"},
				{"db.query.text", "SELECT * FROM orders WHERE id = $1"},
				{"db.query.summary", "SELECT orders"},
				{"db.operation.name", "SELECT"},
				{"db.namespace", "shop"},
				{"db.response.status_code", "57P01"},
				{"db.response.returned_rows", -1},
				{"test.prepared", true},
				{"test.share", 0.25},
				{"test.tables", []string{"orders", "\xff"}},
			}},
			said{exchange(2, side, &millracev1.Exchange{
				Protocol: millracev1.Protocol_PROTOCOL_GRPC, Family: millracev1.Family_FAMILY_RPC, Operation: "shop.Cart/Add",
			}), []pair{
				{"rpc.system.name", "grpc"}, {"rpc.method", "shop.Cart/Add"}, {"rpc.response.status_code", "OK"}, {"network.protocol.version", "2"},
			}},
			said{exchange(3, side, &millracev1.Exchange{
				Protocol: millracev1.Protocol_PROTOCOL_KAFKA, Family: millracev1.Family_FAMILY_MESSAGING, Operation: "poll orders",
				Kind: millracev1.SpanKind_SPAN_KIND_CONSUMER,
				Links: []*millracev1.TraceContext{
					{TraceId: []byte("0123456789abcdef"), SpanId: 7, Flags: 1, Tracestate: "a=b"}, {TraceId: make([]byte, 16), SpanId: 7}, {SpanId: 9},
				},
			}), []pair{
				{"messaging.system.name", "kafka"},
				{"messaging.operation.name", "poll"},
				{"messaging.destination.name", "orders"},
				{"messaging.batch.message_count", 3},
			}},
			said{exchange(4, side, &millracev1.Exchange{
				Protocol: millracev1.Protocol_PROTOCOL_HTTP2, Family: millracev1.Family_FAMILY_HTTP, Operation: "GET", Path: "/orders/17", ErrorType: "503",
				RequestBodyBytes: 10, ResponseBodyBytes: 20, ServerName: "shop.example",
			}), []pair{
				{"http.request.method", "GET"},
				{"http.response.status_code", 503},
				{"url.full", "https://shop.example/orders/17?a=b"},
				{"network.protocol.version", "2"},
			}},
			// A handshake is no request: it has metrics of its own, and an edge of its own kind.
			said{exchange(5, side, &millracev1.Exchange{
				Protocol: millracev1.Protocol_PROTOCOL_TLS, Family: millracev1.Family_FAMILY_TLS, Operation: "TLS handshake", ServerName: "shop.example",
			}), []pair{
				{"tls.client.server_name", "shop.example"},
				{"millrace.tls.server_name_sent", true},
				{"tls.protocol.name", "tls"},
				{"tls.protocol.version", "1.3"},
			}},
		)
	}
	return all
}

// batchOf puts exchanges into a message as a decoder does: each name once, in the order of use.
func batchOf(all ...said) *millracev1.ExchangeBatch {
	b := &millracev1.ExchangeBatch{Version: 1}
	for _, s := range all {
		b.Processes = append(b.Processes, &millracev1.Process{
			Id: s.x.Process, Node: "node", RuleServiceName: fmt.Sprintf("%s-%d", strings.ToLower(s.x.Side.String()[5:]), s.x.Key.Flow>>32),
		})
		for _, p := range s.attributes {
			i := slices.Index(b.Names, p.name)
			if i < 0 {
				i = len(b.Names)
				b.Names = append(b.Names, p.name)
			}
			a := &millracev1.Attribute{Name: uint32(i)}
			switch v := p.value.(type) {
			case string:
				a.Value = &millracev1.Attribute_Text{Text: v}
			case int:
				a.Value = &millracev1.Attribute_Number{Number: int64(v)}
			case bool:
				a.Value = &millracev1.Attribute_Yes{Yes: v}
			case float64:
				a.Value = &millracev1.Attribute_Real{Real: v}
			case []string:
				a.Value = &millracev1.Attribute_Texts{Texts: &millracev1.TextList{Texts: v}}
			}
			s.x.Attributes = append(s.x.Attributes, a)
		}
		b.Exchanges = append(b.Exchanges, s.x)
	}
	return b
}

// shown collects what is published, as text.
type shown struct {
	t     *testing.T
	lines []string
}

func (s *shown) Publish(subject, _ string, data []byte) {
	switch {
	case strings.HasPrefix(subject, "millrace.span."):
		b := &millracev1.SpanBatch{}
		if err := b.UnmarshalVT(data); err != nil {
			s.t.Fatal(err)
		}
		for _, span := range b.Spans {
			line := fmt.Sprintf("%s %q of %s, %s %q\n", span.Kind, span.Name, b.Resource.Attributes[0].GetStringValue(), span.Status, span.StatusMessage)
			line += attributesText(span.Attributes)
			for _, l := range span.Links {
				line += fmt.Sprintf("  link %s %d flags %d state %q\n", l.TraceId, l.SpanId, l.TraceFlags, l.Tracestate)
			}
			s.lines = append(s.lines, line)
		}
	case strings.HasPrefix(subject, "millrace.metric."):
		b := &millracev1.MetricBatch{}
		if err := b.UnmarshalVT(data); err != nil {
			s.t.Fatal(err)
		}
		for _, r := range b.Resources {
			for _, d := range r.Deltas {
				s.lines = append(s.lines, fmt.Sprintf("%s of %s\n%s", d.Name, r.Resource.Attributes[0].GetStringValue(), attributesText(d.Attributes)))
			}
		}
	}
}

func attributesText(list []*millracev1.KeyValue) string {
	var lines []string
	for _, kv := range list {
		text := fmt.Sprint(kv.Value)
		if v, ok := kv.Value.(*millracev1.KeyValue_StringsValue); ok {
			text = fmt.Sprintf("%q", v.StringsValue.Values)
		}
		lines = append(lines, fmt.Sprintf("  %s = %s\n", kv.Key, strings.Trim(text, "&{}")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// What protocols say comes out in spans and metrics, whichever message brought which side, and after a restart between
// them.
func TestSaid(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Metrics.Features = []string{"application", "application_service_graph"}
	cfg.Attributes.Select = map[string]config.AttributeSelection{
		"db.client.operation.duration": {Include: []string{"db.*", "db.query.summary", "test.*", "test.prepared", "db.response.returned_rows"}},
	}
	at := func(d time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(d) }
	all := saying()
	// The servers' sides come in another order, so that their names have other numbers.
	messages := []*millracev1.ExchangeBatch{batchOf(all[:5]...), batchOf(all[7], all[6], all[8], all[5], all[9])}
	if slices.Equal(messages[0].Names, messages[1].Names) {
		t.Fatal("both messages have the same names")
	}
	for _, restarts := range []bool{false, true} {
		factory, err := enricher.Processors(cfg, 1, prometheus.NewRegistry(), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := factory(0)
		if err != nil {
			t.Fatal(err)
		}
		out := &shown{t: t}
		for i, b := range messages {
			data, err := b.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			record := stage.Record{Subject: bus.ExchangeSubject(0), Time: at(time.Duration(i) * time.Second), Data: data}
			if err := p.Process(context.Background(), []stage.Record{record}, out); err != nil {
				t.Fatal(err)
			}
			clear(data) // What is kept does not refer to the message.
			if !restarts || i > 0 {
				continue
			}
			snapshot, err := p.Snapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			if p, err = factory(0); err != nil {
				t.Fatal(err)
			}
			if err := p.Restore(snapshot); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Tick(context.Background(), at(time.Minute), out); err != nil {
			t.Fatal(err)
		}
		slices.Sort(out.lines)
		got := strings.Join(out.lines, "")
		const path = "testdata/said.golden"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("restarts %v: got\n%s", restarts, got)
		}
	}
}
