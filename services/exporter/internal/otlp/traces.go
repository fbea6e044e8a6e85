package otlp

import (
	"encoding/binary"
	"math"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Traces is a request in the Collector's form, each resource once. Texts are not copied: it is valid for as long as the
// messages that the spans were read from.
type Traces struct {
	version  string
	traces   ptrace.Traces
	groups   map[string]ptrace.SpanSlice
	resource Span
}

// NewTraces makes an empty request. version is the program's, for the instrumentation scope.
func NewTraces(version string) *Traces {
	return &Traces{version: version, traces: ptrace.NewTraces(), groups: map[string]ptrace.SpanSlice{}}
}

// Reset empties the request.
func (t *Traces) Reset() {
	t.traces = ptrace.NewTraces()
	clear(t.groups)
}

// Traces gives the request.
func (t *Traces) Traces() ptrace.Traces { return t.traces }

// Add adds a span of an encoded, well-formed resource.
func (t *Traces) Add(resource []byte, s *Span) {
	spans, found := t.groups[string(resource)]
	if !found {
		rs := t.traces.ResourceSpans().AppendEmpty()
		rs.SetSchemaUrl(SchemaURL)
		t.resource.readResource(resource)
		fill(rs.Resource().Attributes(), t.resource.Attributes)
		scope := rs.ScopeSpans().AppendEmpty()
		scope.Scope().SetName(ScopeName)
		scope.Scope().SetVersion(t.version)
		spans = scope.Spans()
		t.groups[string(resource)] = spans
	}
	to := spans.AppendEmpty()
	var trace pcommon.TraceID
	copy(trace[:], s.TraceID)
	to.SetTraceID(trace)
	to.SetSpanID(spanID(s.ID))
	to.SetParentSpanID(spanID(s.ParentID))
	to.TraceState().FromRaw(alias(s.Tracestate))
	to.SetFlags(s.Flags)
	to.SetName(alias(s.Name))
	to.SetKind(ptrace.SpanKind(s.Kind))
	to.SetStartTimestamp(pcommon.Timestamp(s.Start))
	to.SetEndTimestamp(pcommon.Timestamp(s.End))
	to.Status().SetCode(ptrace.StatusCode(s.Status))
	to.Status().SetMessage(alias(s.StatusMessage))
	fill(to.Attributes(), s.Attributes)
	for i := range s.Links {
		l, link := &s.Links[i], to.Links().AppendEmpty()
		var trace pcommon.TraceID
		copy(trace[:], l.TraceID)
		link.SetTraceID(trace)
		link.SetSpanID(spanID(l.ID))
		link.TraceState().FromRaw(alias(l.Tracestate))
		link.SetFlags(l.Flags)
	}
}

func spanID(id uint64) (b pcommon.SpanID) {
	binary.BigEndian.PutUint64(b[:], id)
	return b
}

// alias gives the text without copying it.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func fill(to pcommon.Map, from []Attribute) {
	to.EnsureCapacity(len(from))
	for i := range from {
		a := &from[i]
		value := to.PutEmpty(alias(a.key))
		switch a.kind {
		case empty:
		case text:
			value.SetStr(alias(a.text))
		case integer:
			value.SetInt(int64(a.number))
		case double:
			value.SetDouble(math.Float64frombits(a.number))
		case boolean:
			value.SetBool(a.number != 0)
		case list:
			values := value.SetEmptySlice()
			values.EnsureCapacity(len(a.texts))
			for _, s := range a.texts {
				values.AppendEmpty().SetStr(alias(s))
			}
		}
	}
}
