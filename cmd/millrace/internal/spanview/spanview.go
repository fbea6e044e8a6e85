// Package spanview turns spans of the bus into what a terminal shows: one line a span, and traces as trees.
package spanview

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Span is a span with the resource attributes that a reader wants beside it.
type Span struct {
	TraceID   [16]byte
	SpanID    uint64
	ParentID  uint64
	Kind      millracev1.SpanKind
	Service   string
	Namespace string
	Host      string
	Protocol  string // "http", "redis", ...
	Name      string
	// Summary is the name with what identifies the operation: "GET /cart 200", "GET session:?".
	Summary string
	// Status is the protocol's own status: "200", "WRONGTYPE", "UNAVAILABLE", or the error type.
	Status string
	Failed bool
	Peer   string // service or address at the other end, "" if unknown
	Cause  string // how the span was tied to its parent, "" for none
	Start  time.Time
	// Duration is never negative.
	Duration time.Duration
}

// FromBatch copies the spans of a batch; nothing of the batch is retained.
func FromBatch(batch *millracev1.SpanBatch) []Span {
	resource := attributes(batch.GetResource().GetAttributes())
	spans := make([]Span, 0, len(batch.GetSpans()))
	for _, s := range batch.GetSpans() {
		a := attributes(s.GetAttributes())
		span := Span{
			SpanID:    s.GetSpanId(),
			ParentID:  s.GetParentSpanId(),
			Kind:      s.GetKind(),
			Service:   resource["service.name"],
			Namespace: resource["service.namespace"],
			Host:      resource["host.name"],
			Name:      s.GetName(),
			Failed:    s.GetStatus() == millracev1.StatusCode_STATUS_CODE_ERROR,
			Cause:     a["millrace.cause"],
			Start:     time.Unix(0, int64(s.GetStartUnixNs())),
		}
		copy(span.TraceID[:], s.GetTraceId())
		if end := s.GetEndUnixNs(); end > s.GetStartUnixNs() {
			span.Duration = time.Duration(end - s.GetStartUnixNs())
		}
		span.Protocol, span.Summary, span.Status = describe(s.GetName(), a)
		if span.Status == "" {
			span.Status = a["error.type"]
		}
		span.Peer = first(a["peer.service"], a["millrace.peer.service"], join(a["server.address"], a["server.port"]))
		spans = append(spans, span)
	}
	return spans
}

// describe picks protocol, summary and status from a span's attributes.
func describe(name string, a map[string]string) (protocol, summary, status string) {
	switch {
	case a["http.request.method"] != "":
		protocol = "http"
		summary = first(a["http.request.method_original"], a["http.request.method"]) + " " + first(a["url.path"], pathOf(a["url.full"]), a["http.route"], "/")
		status = a["http.response.status_code"]
	case a["db.system.name"] != "":
		protocol = a["db.system.name"]
		summary = first(a["db.query.text"], a["db.operation.name"], name)
		status = a["db.response.status_code"]
	default:
		protocol = first(a["rpc.system.name"], a["messaging.system.name"], a["network.protocol.name"], "other")
		summary = name
		status = a["rpc.response.status_code"]
	}
	return protocol, summary, status
}

// pathOf gives the path of a client span's URL, without query and fragment.
func pathOf(full string) string {
	parsed, err := url.Parse(full)
	if err != nil {
		return ""
	}
	return parsed.EscapedPath()
}

func attributes(list []*millracev1.KeyValue) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().(type) {
		case *millracev1.KeyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *millracev1.KeyValue_IntValue:
			m[kv.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *millracev1.KeyValue_DoubleValue:
			m[kv.GetKey()] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		case *millracev1.KeyValue_BoolValue:
			m[kv.GetKey()] = strconv.FormatBool(v.BoolValue)
		case *millracev1.KeyValue_StringsValue:
			m[kv.GetKey()] = strings.Join(v.StringsValue.GetValues(), ",")
		}
	}
	return m
}

// KindWord is how a span's side is spelt on screen.
func KindWord(k millracev1.SpanKind) string {
	switch k {
	case millracev1.SpanKind_SPAN_KIND_CLIENT:
		return "client"
	case millracev1.SpanKind_SPAN_KIND_SERVER:
		return "server"
	case millracev1.SpanKind_SPAN_KIND_PRODUCER:
		return "producer"
	case millracev1.SpanKind_SPAN_KIND_CONSUMER:
		return "consumer"
	case millracev1.SpanKind_SPAN_KIND_INTERNAL:
		return "internal"
	case millracev1.SpanKind_SPAN_KIND_UNSPECIFIED:
	}
	return "-"
}

// Line is one span on one line, without a line break.
func Line(s *Span) string {
	mark := " "
	if s.Failed {
		mark = "!"
	}
	return fmt.Sprintf("%s %s %s %-6s %-18s %-6s %9s %s %s", s.Start.Format("15:04:05.000"), hex.EncodeToString(s.TraceID[:8]), mark,
		KindWord(s.Kind), Printable(s.Service), s.Protocol, Duration(s.Duration), Printable(s.Summary), Printable(s.Status))
}

// Tree draws the spans of one trace as a tree, a line a span, children by start time. Spans whose parent is not among
// them are roots of their own. The slice is reordered.
func Tree(spans []Span) []string {
	sort.SliceStable(spans, func(i, j int) bool {
		if !spans[i].Start.Equal(spans[j].Start) {
			return spans[i].Start.Before(spans[j].Start)
		}
		return spans[i].Duration > spans[j].Duration
	})
	present := make(map[uint64]bool, len(spans))
	for i := range spans {
		present[spans[i].SpanID] = true
	}
	children := make(map[uint64][]int, len(spans))
	var roots []int
	for i := range spans {
		if p := spans[i].ParentID; p != 0 && present[p] && p != spans[i].SpanID {
			children[p] = append(children[p], i)
		} else {
			roots = append(roots, i)
		}
	}
	lines := make([]string, 0, len(spans)+1)
	drawn := make([]bool, len(spans)) // a cycle of parents must not become an endless drawing
	var draw func(i int, indent, branch string)
	draw = func(i int, indent, branch string) {
		if drawn[i] {
			return
		}
		drawn[i] = true
		lines = append(lines, node(&spans[i], indent+branch))
		switch branch {
		case "├─ ":
			indent += "│  "
		case "└─ ":
			indent += "   "
		}
		below := children[spans[i].SpanID]
		for n, child := range below {
			if n == len(below)-1 {
				draw(child, indent, "└─ ")
			} else {
				draw(child, indent, "├─ ")
			}
		}
	}
	for _, root := range roots {
		draw(root, "", "")
	}
	return lines
}

func node(s *Span, prefix string) string {
	text := fmt.Sprintf("%s%s %s", prefix, Printable(s.Service), KindWord(s.Kind))
	line := fmt.Sprintf("%-38s %9s  %s", text, Duration(s.Duration), Printable(s.Summary))
	if s.Status != "" {
		line += " → " + Printable(s.Status)
	}
	return line
}

// Duration rounds to three digits.
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0fµs", float64(d)/1e3)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2fms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.1fms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.2fs", d.Seconds())
	}
}

// Printable replaces what a terminal would act on: paths and names come from strangers.
func Printable(s string) string {
	clean := func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}
	return strings.Map(clean, s)
}

func first(candidates ...string) string {
	for _, c := range candidates {
		if c != "" {
			return c
		}
	}
	return ""
}

func join(address, port string) string {
	if address == "" || port == "" {
		return address
	}
	return address + ":" + port
}
