package spanview

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func skimmed() *millracev1.SpanBatch {
	batch := &millracev1.SpanBatch{
		Version:  1,
		Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{text("host.name", "n"), text("service.name", "shop")}},
	}
	for i, attributes := range [][]*millracev1.KeyValue{
		{text("url.path", "/cart"), text("http.request.method", "GET"), number("http.response.status_code", 500)},
		{text("db.system.name", "redis"), text("db.query.text", "GET ?")},
		{text("network.protocol.name", "amqp"), text("messaging.system.name", "rabbitmq")},
		{text("network.protocol.name", "dns")},
		{number("http.status_code", 200)},
		nil,
	} {
		batch.Spans = append(batch.Spans, &millracev1.Span{
			TraceId: append(make([]byte, 15), byte(i)), SpanId: uint64(i + 1), Kind: millracev1.SpanKind(i), Name: "GET",
			StartUnixNs: 1000, EndUnixNs: uint64(i) * 700, Status: millracev1.StatusCode(i % 3), Attributes: attributes,
		})
	}
	return batch
}

// TestSkimAgrees: heads say what the whole spans say.
func TestSkimAgrees(t *testing.T) {
	t.Parallel()
	batch := skimmed()
	encoded, err := batch.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var k Skimmer
	heads, err := k.Read(encoded)
	if err != nil {
		t.Fatal(err)
	}
	whole := FromBatch(batch)
	if len(heads) != len(whole) {
		t.Fatalf("%d heads of %d spans", len(heads), len(whole))
	}
	for i := range heads {
		h, s := &heads[i], &whole[i]
		if h.TraceID != s.TraceID || h.Kind != s.Kind || h.Service != s.Service || h.Protocol != s.Protocol || h.Failed != s.Failed || h.Duration != s.Duration {
			t.Errorf("span %d: head %+v, span %+v", i, h, s)
		}
		if full, err := k.Span(h); err != nil || full != *s {
			t.Errorf("span %d: %v, got %+v, want %+v", i, err, full, s)
		}
	}
}

func FuzzSkim(f *testing.F) {
	encoded, err := skimmed().MarshalVT()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, message []byte) {
		var k Skimmer
		heads, err := k.Read(message)
		for i := range heads {
			_, _ = k.Span(&heads[i])
		}
		if err != nil && heads != nil {
			t.Error("heads of a malformed batch")
		}
	})
}

func BenchmarkSkim(b *testing.B) {
	encoded, err := skimmed().MarshalVT()
	if err != nil {
		b.Fatal(err)
	}
	var k Skimmer
	b.ReportAllocs()
	b.Run("heads", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Read(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var batch millracev1.SpanBatch
			if err := batch.UnmarshalVT(encoded); err != nil {
				b.Fatal(err)
			}
			FromBatch(&batch)
		}
	})
}
