package spanview

import (
	"strings"
	"testing"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func text(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

func number(key string, value int64) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_IntValue{IntValue: value}}
}

func TestFromBatch(t *testing.T) {
	t.Parallel()
	spans := FromBatch(&millracev1.SpanBatch{
		Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{text("service.name", "shop")}},
		Spans: []*millracev1.Span{{
			TraceId: make([]byte, 16), SpanId: 1, Kind: millracev1.SpanKind_SPAN_KIND_SERVER, Name: "GET",
			StartUnixNs: 100, EndUnixNs: 1100, Status: millracev1.StatusCode_STATUS_CODE_ERROR,
			Attributes: []*millracev1.KeyValue{text("http.request.method", "GET"), text("url.path", "/cart"), number("http.response.status_code", 500)},
		}},
	})
	if len(spans) != 1 {
		t.Fatalf("got %d spans", len(spans))
	}
	s := spans[0]
	if s.Service != "shop" || s.Protocol != "http" || s.Summary != "GET /cart" || s.Status != "500" || !s.Failed || s.Duration != time.Microsecond {
		t.Errorf("got %+v", s)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		attributes                []*millracev1.KeyValue
		protocol, summary, status string
	}{
		{[]*millracev1.KeyValue{text("db.system.name", "postgresql"), text("db.query.text", "SELECT $1"), text("error.type", "42P01")}, "postgresql", "SELECT $1", "42P01"},
		{[]*millracev1.KeyValue{text("rpc.system.name", "grpc"), text("rpc.response.status_code", "UNAVAILABLE")}, "grpc", "name", "UNAVAILABLE"},
		{[]*millracev1.KeyValue{text("messaging.system.name", "kafka"), text("error.type", "timeout")}, "kafka", "name", "timeout"},
		{[]*millracev1.KeyValue{text("network.protocol.name", "dns")}, "dns", "name", ""},
	} {
		s := FromBatch(&millracev1.SpanBatch{Spans: []*millracev1.Span{{Name: "name", Attributes: test.attributes}}})[0]
		if s.Protocol != test.protocol || s.Summary != test.summary || s.Status != test.status {
			t.Errorf("%v: %q %q %q", test.attributes, s.Protocol, s.Summary, s.Status)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	lines := Tree([]Span{
		{SpanID: 4, ParentID: 2, Service: "redis", Summary: "GET ?", Start: at(3)},
		{SpanID: 1, Service: "web", Summary: "GET /", Start: at(0)},
		{SpanID: 3, ParentID: 2, Service: "stock", Summary: "GET /s", Start: at(2)},
		{SpanID: 2, ParentID: 1, Service: "shop", Summary: "GET /", Start: at(1)},
		{SpanID: 9, ParentID: 77, Service: "orphan", Start: at(9)},
	})
	for i, want := range []string{"web", "└─ shop", "   ├─ stock", "   └─ redis", "orphan"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d: %q does not begin with %q", i, lines[i], want)
		}
	}
}

func TestTreeOfACycleEnds(t *testing.T) {
	t.Parallel()
	Tree([]Span{{SpanID: 1, ParentID: 2}, {SpanID: 2, ParentID: 1}, {SpanID: 3, ParentID: 3}})
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	if got := Printable("a\x1b[2Jb\u0085c\n"); got != "a·[2Jb·c·" {
		t.Errorf("got %q", got)
	}
}
