package processor

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
)

type keptMessages [][]byte

func (k *keptMessages) Publish(_, _ string, data []byte) { *k = append(*k, slices.Clone(data)) }

// whole encodes x but for its attributes and its cause.
func whole(c *connection, x *decode.Exchange) []byte {
	w := &worker{options: &Options{}}
	w.arena = appendExchange(nil, c, x)
	w.describe(c, x)
	return w.arena
}

// What a protocol says is published as the generated code reads it, with the names that a message uses in each
// message.
func TestSaidIsPublished(t *testing.T) {
	t.Parallel()
	system, query, rows, share, more, tables := decode.Attribute("db.system.name"), decode.Attribute("db.query.text"),
		decode.Attribute("db.response.returned_rows"), decode.Attribute("test.share"), decode.Attribute("test.more"), decode.Attribute("test.tables")
	c := &connection{owner: &process{id: 77}, protocol: millracev1.Protocol_PROTOCOL_HTTP2}
	c.encode()

	first := &decode.Exchange{}
	first.Said = decode.Said{
		Family: decode.RPC, Kind: decode.Producer, Protocol: millracev1.Protocol_PROTOCOL_GRPC, Operation: []byte("SELECT a"),
		ErrorType: []byte("42P01"), ErrorMessage: []byte("no \xff"), Path: []byte("/a"), ServerName: []byte("db"), ServerPort: 5432,
		Links: []decode.Context{{}, {TraceID: [16]byte{1}, SpanID: 2, Flags: 1, Valid: true, State: []byte("a=b")}},
	}
	a := &first.Said.Attributes
	a.String(query, "SELECT '\xff'")
	a.String(system, "postgresql")
	a.Number(rows, -3)
	a.Real(share, 0.5)
	a.Yes(more)
	a.Texts(tables, "a", "")
	second := &decode.Exchange{}
	second.Said.Attributes.String(system, "mysql")
	second.Said.Attributes.String(query, "SELECT 1")
	third := &decode.Exchange{}
	third.Said.Attributes.Number(rows, 9)

	var kept keptMessages
	var o emitter
	o.init(1)
	o.to = &kept
	send := func(x *decode.Exchange) {
		o.exchange(0, c, x, whole(c, x), slices.Clone(x.Said.Attributes.Encoded()))
	}
	send(first)
	send(second)
	o.flush()
	send(third)
	o.flush()

	var batches []*millracev1.ExchangeBatch
	for _, data := range kept {
		b := &millracev1.ExchangeBatch{}
		if err := proto.Unmarshal(data, b); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, b)
	}
	if len(batches) != 2 {
		t.Fatalf("%d batches", len(batches))
	}
	names := []string{"db.query.text", "db.system.name", "db.response.returned_rows", "test.share", "test.more", "test.tables"}
	if got := batches[0].Names; !slices.Equal(got, names) {
		t.Errorf("names %q", got)
	}
	if got := batches[1].Names; !slices.Equal(got, names[2:3]) {
		t.Errorf("names of the second message %q", got)
	}
	text := func(name uint32, v string) *millracev1.Attribute {
		return &millracev1.Attribute{Name: name, Value: &millracev1.Attribute_Text{Text: v}}
	}
	want := &millracev1.Exchange{
		Protocol: millracev1.Protocol_PROTOCOL_GRPC, Family: millracev1.Family_FAMILY_RPC, Kind: millracev1.SpanKind_SPAN_KIND_PRODUCER,
		Operation: "SELECT a", ErrorType: "42P01", ErrorMessage: "no \uFFFD", Path: "/a", ServerName: "db", ServerPort: 5432,
		Attributes: []*millracev1.Attribute{
			text(0, "SELECT '\uFFFD'"), text(1, "postgresql"),
			{Name: 2, Value: &millracev1.Attribute_Number{Number: -3}},
			{Name: 3, Value: &millracev1.Attribute_Real{Real: 0.5}},
			{Name: 4, Value: &millracev1.Attribute_Yes{Yes: true}},
			{Name: 5, Value: &millracev1.Attribute_Texts{Texts: &millracev1.TextList{Texts: []string{"a", ""}}}},
		},
		Links: []*millracev1.TraceContext{{TraceId: append([]byte{1}, make([]byte, 15)...), SpanId: 2, Flags: 1, Tracestate: "a=b"}},
	}
	got := batches[0].Exchanges[0]
	want.Key, want.Side, want.Process = got.Key, got.Side, got.Process
	if !proto.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	for i, want := range [][]*millracev1.Attribute{
		{text(1, "mysql"), text(0, "SELECT 1")},
		{{Value: &millracev1.Attribute_Number{Number: 9}}},
	} {
		got := []*millracev1.Exchange{batches[0].Exchanges[1], batches[1].Exchanges[0]}[i].Attributes
		if !slices.EqualFunc(got, want, func(a, b *millracev1.Attribute) bool { return proto.Equal(a, b) }) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}
