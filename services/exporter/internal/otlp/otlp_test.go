package otlp

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// plainTraces converts batches by way of message objects; false if any of them is malformed.
func plainTraces(batches [][]byte) (*group, bool) {
	g := newGroup("1.2.3")
	for _, data := range batches {
		batch := &millracev1.SpanBatch{}
		if batch.UnmarshalVT(data) != nil {
			return nil, false
		}
		g.add(data, batch, func(*millracev1.Span) bool { return true })
	}
	return g, true
}

// target is what spans are added to.
type target interface {
	Add(resource []byte, s *Span)
}

func add(batches [][]byte, to ...target) bool {
	var b Batch
	var s Span
	for _, data := range batches {
		if b.Read(data) != nil {
			return false
		}
		for _, span := range b.Spans {
			if !s.Read(span) {
				return false
			}
			for _, t := range to {
				t.Add(b.Resource, &s)
			}
		}
	}
	return true
}

// compare checks that both forms are what the plain way gives.
func compare(t *testing.T, batches [][]byte) {
	t.Helper()
	want, ok := plainTraces(batches)
	j, traces := NewJSON("1.2.3"), NewTraces("1.2.3")
	read := add(batches, j, traces)
	if !ok || !read {
		return // Groups and known fields of other types are taken differently; nobody writes either.
	}
	wantJSON, err := ptraceotlp.NewExportRequestFromTraces(want.traces).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parse(t, j.Line()), parse(t, wantJSON); want.(map[string]any)["resourceSpans"] != nil && !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", j.Line(), wantJSON)
	}
	gotProto, err := ptraceotlp.NewExportRequestFromTraces(traces.Traces()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	wantProto, err := ptraceotlp.NewExportRequestFromTraces(want.traces).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gotProto, wantProto) {
		t.Errorf("got\n%q\nwant\n%q", gotProto, wantProto)
	}
	// Memory that is used again does not shine through.
	first := bytes.Clone(j.Line())
	j.Reset()
	add(batches, j)
	if !bytes.Equal(first, j.Line()) {
		t.Errorf("second time\n%s\nfirst\n%s", j.Line(), first)
	}
}

func parse(t *testing.T, line []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return v
}

func TestEqualsCollector(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var batches [][]byte
		for range 1 + rng.IntN(4) {
			data, err := randomBatch(rng).MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			batches = append(batches, data)
		}
		if !add(batches) {
			t.Fatal("refused")
		}
		compare(t, batches)
	}
}

func randomText(rng *rand.Rand) string {
	return []string{
		"", "a", "GET", "/orders/17", "exactly8", "quote\"d at", "back\\slash here", "line\nfeed\r\ttab\x01\x1f", "grüße, 世界", "\u2028\x7f",
		"bad \xff\xc3 bytes", "<html>&", "12345678\"", "12345678\x00", "a long text of more than sixteen bytes",
	}[rng.IntN(15)]
}

func randomAttributes(rng *rand.Rand) (all []*millracev1.KeyValue) {
	for range rng.IntN(20) {
		kv := &millracev1.KeyValue{Key: randomText(rng)} // some of them twice
		if rng.IntN(2) == 0 {
			kv.Key += randomText(rng)
		}
		switch rng.IntN(7) {
		case 0, 1:
			kv.Value = &millracev1.KeyValue_StringValue{StringValue: randomText(rng)}
		case 2:
			kv.Value = &millracev1.KeyValue_IntValue{IntValue: int64(rng.Uint64())}
		case 3:
			kv.Value = &millracev1.KeyValue_DoubleValue{DoubleValue: []float64{
				0, math.Copysign(0, -1), 1, 0.00025, 1e-7, 1e21, -3.5, math.Inf(1), math.Inf(-1), math.NaN(), rng.NormFloat64(),
			}[rng.IntN(11)]}
		case 4:
			kv.Value = &millracev1.KeyValue_BoolValue{BoolValue: rng.IntN(2) == 0}
		case 5:
			list := &millracev1.StringList{}
			for range rng.IntN(4) {
				list.Values = append(list.Values, randomText(rng))
			}
			kv.Value = &millracev1.KeyValue_StringsValue{StringsValue: list}
		}
		all = append(all, kv)
	}
	return all
}

func randomBatch(rng *rand.Rand) *millracev1.SpanBatch {
	b := &millracev1.SpanBatch{Version: 1}
	if rng.IntN(10) > 0 {
		b.Resource = &millracev1.Resource{}
	}
	if rng.IntN(3) > 0 && b.Resource != nil {
		b.Resource.Attributes = randomAttributes(rng)
	}
	number := func() uint64 { return rng.Uint64() * uint64(rng.IntN(2)) }
	for range rng.IntN(5) {
		s := &millracev1.Span{
			SpanId: number(), ParentSpanId: number(), Kind: millracev1.SpanKind(rng.IntN(7) - 1), Name: randomText(rng), StartUnixNs: number(),
			EndUnixNs: number(), Status: millracev1.StatusCode(rng.IntN(4) - 1), StatusMessage: randomText(rng),
			Attributes: randomAttributes(rng), TraceFlags: uint32(number()), Tracestate: randomText(rng),
		}
		for range []int{0, 16, 16, 16, 3, 20}[rng.IntN(6)] {
			s.TraceId = append(s.TraceId, byte(rng.Uint32()))
		}
		for range rng.IntN(4) {
			l := &millracev1.SpanLink{SpanId: number(), TraceFlags: uint32(number()), Tracestate: randomText(rng)}
			for range []int{0, 16, 3}[rng.IntN(3)] {
				l.TraceId = append(l.TraceId, byte(rng.Uint32()))
			}
			s.Links = append(s.Links, l)
		}
		b.Spans = append(b.Spans, s)
	}
	return b
}

func FuzzBatch(f *testing.F) {
	for seed := range uint64(20) {
		data, err := randomBatch(rand.New(rand.NewPCG(seed, 2))).MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x12\x04\x0a\x02\x0a\x00\x12\x04\x0a\x02\x0a\x00\x1a\x00")) // a resource in two parts
	f.Fuzz(func(t *testing.T, data []byte) { compare(t, [][]byte{data}) })
}

// A list of strings in two parts is one, and a value of another kind between them begins it anew.
func TestListsInParts(t *testing.T) {
	t.Parallel()
	for _, kv := range []string{"\x0a\x01k\x32\x03\x0a\x01a\x32\x03\x0a\x01b", "\x32\x03\x0a\x01a\x12\x01x\x32\x03\x0a\x01b", "\x32\x03\x0a\x01a\x18\x05"} {
		span := append([]byte{10<<3 | 2, byte(len(kv))}, kv...)
		compare(t, [][]byte{append([]byte{3<<3 | 2, byte(len(span))}, span...)})
	}
}
