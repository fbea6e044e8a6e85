package otlp

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// What follows is the plain way by message objects, against which the fast one is checked.

// group collects span batches into one request, each resource once.
type group struct {
	traces ptrace.Traces
	// resources by the bytes of the resource in the batch.
	resources map[string]ptrace.SpanSlice
	bytes     int
	spans     int
	version   string
}

func newGroup(version string) *group {
	return &group{traces: ptrace.NewTraces(), resources: map[string]ptrace.SpanSlice{}, version: version}
}

// add appends a batch's spans that keep lets pass. raw are the bytes of the batch.
func (g *group) add(raw []byte, batch *millracev1.SpanBatch, keep func(*millracev1.Span) bool) {
	var target ptrace.SpanSlice
	found := false
	for _, span := range batch.Spans {
		if !keep(span) {
			continue
		}
		if !found {
			target, found = g.resource(raw, batch.Resource), true
		}
		convert(target.AppendEmpty(), span)
		g.spans++
	}
	g.bytes += len(raw)
}

// resource gives where spans of the resource go.
func (g *group) resource(raw []byte, resource *millracev1.Resource) ptrace.SpanSlice {
	key := resourceBytes(raw)
	if spans, found := g.resources[string(key)]; found {
		return spans
	}
	rs := g.traces.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl(SchemaURL)
	attributes(rs.Resource().Attributes(), resource.GetAttributes())
	scope := rs.ScopeSpans().AppendEmpty()
	scope.Scope().SetName(ScopeName)
	scope.Scope().SetVersion(g.version)
	g.resources[string(key)] = scope.Spans()
	return scope.Spans()
}

// resourceBytes finds the resource field in the bytes of a batch; the batch was understood before.
func resourceBytes(raw []byte) []byte {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return nil
		}
		raw = raw[n:]
		if number == 2 && kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(raw)
			return v
		}
		if n = protowire.ConsumeFieldValue(number, kind, raw); n < 0 {
			return nil
		}
		raw = raw[n:]
	}
	return nil
}

// convert writes a span in OpenTelemetry's form. Strings are shared, not copied.
func convert(to ptrace.Span, s *millracev1.Span) {
	var trace pcommon.TraceID
	copy(trace[:], s.TraceId)
	to.SetTraceID(trace)
	to.SetSpanID(spanID(s.SpanId))
	to.SetParentSpanID(spanID(s.ParentSpanId))
	to.TraceState().FromRaw(s.Tracestate)
	to.SetFlags(s.TraceFlags)
	to.SetName(s.Name)
	to.SetKind(ptrace.SpanKind(s.Kind))
	to.SetStartTimestamp(pcommon.Timestamp(s.StartUnixNs))
	to.SetEndTimestamp(pcommon.Timestamp(s.EndUnixNs))
	to.Status().SetCode(ptrace.StatusCode(s.Status))
	to.Status().SetMessage(s.StatusMessage)
	attributes(to.Attributes(), s.Attributes)
	for _, l := range s.Links {
		link := to.Links().AppendEmpty()
		var trace pcommon.TraceID
		copy(trace[:], l.TraceId)
		link.SetTraceID(trace)
		link.SetSpanID(spanID(l.SpanId))
		link.TraceState().FromRaw(l.Tracestate)
		link.SetFlags(l.TraceFlags)
	}
}

func attributes(to pcommon.Map, from []*millracev1.KeyValue) {
	to.EnsureCapacity(len(from))
	for _, kv := range from {
		// Keys are unique in a span that the enricher made; PutEmpty keeps them so for others at the cost of a search.
		value := to.PutEmpty(kv.Key)
		switch v := kv.Value.(type) {
		case *millracev1.KeyValue_StringValue:
			value.SetStr(v.StringValue)
		case *millracev1.KeyValue_IntValue:
			value.SetInt(v.IntValue)
		case *millracev1.KeyValue_DoubleValue:
			value.SetDouble(v.DoubleValue)
		case *millracev1.KeyValue_BoolValue:
			value.SetBool(v.BoolValue)
		case *millracev1.KeyValue_StringsValue:
			list := value.SetEmptySlice()
			for _, s := range v.StringsValue.GetValues() {
				list.AppendEmpty().SetStr(s)
			}
		}
	}
}
