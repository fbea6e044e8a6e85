package spans

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// Kinds of spans, as OTLP numbers them.
const (
	Server = 2
	Client = 3
)

// StatusError is OTLP's status code of failed spans.
const StatusError = 2

// Span is one span with the attributes of its resource.
type Span struct {
	TraceID, SpanID, ParentID string
	Kind                      int
	Name                      string
	Start, End                int64 // nanoseconds since the Unix epoch
	Status                    int
	StatusMessage             string
	// Attributes and Resource hold string, int64, float64, bool and []any.
	Attributes, Resource map[string]any
}

// PID is the process that the span's resource names, 0 if it names none.
func (s *Span) PID() int { return int(number(s.Resource["process.pid"])) }

// Text gives a string attribute, or "".
func (s *Span) Text(key string) string {
	text, _ := s.Attributes[key].(string)
	return text
}

// Number gives an integer attribute; ok is false if the span has none.
func (s *Span) Number(key string) (value int64, ok bool) {
	value, ok = s.Attributes[key].(int64)
	return value, ok
}

// Target gives the path and query of an HTTP span: from url.path and url.query, else from url.full.
func (s *Span) Target() (path, query string) {
	if path = s.Text("url.path"); path != "" {
		return path, s.Text("url.query")
	}
	u, err := url.Parse(s.Text("url.full"))
	if err != nil {
		return "", ""
	}
	return u.EscapedPath(), u.RawQuery
}

// String describes the span on one line.
func (s *Span) String() string {
	kind := map[int]string{Server: "server", Client: "client"}[s.Kind]
	return fmt.Sprintf("%s %q pid %d trace %.8s span %s parent %s start %d %.3f ms status %d %v",
		kind, s.Name, s.PID(), s.TraceID, s.SpanID, s.ParentID, s.Start, float64(s.End-s.Start)/1e6, s.Status, s.Attributes)
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

// Wire form: OTLP/JSON, opentelemetry-proto's trace/v1/trace.proto. 64-bit integers are strings.
type request struct {
	ResourceSpans []struct {
		Resource struct {
			Attributes []attribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []struct {
			Spans []struct {
				TraceID    string      `json:"traceId"`
				SpanID     string      `json:"spanId"`
				ParentID   string      `json:"parentSpanId"`
				Name       string      `json:"name"`
				Kind       int         `json:"kind"`
				Start      integer     `json:"startTimeUnixNano"`
				End        integer     `json:"endTimeUnixNano"`
				Attributes []attribute `json:"attributes"`
				Status     struct {
					Code    int    `json:"code"`
					Message string `json:"message"`
				} `json:"status"`
			} `json:"spans"`
		} `json:"scopeSpans"`
	} `json:"resourceSpans"`
}

type integer int64

func (i *integer) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	*i = integer(n)
	return err
}

type signed int64

func (i *signed) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	*i = signed(n)
	return err
}

type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

type value struct {
	String *string  `json:"stringValue"`
	Int    *signed  `json:"intValue"`
	Double *float64 `json:"doubleValue"`
	Bool   *bool    `json:"boolValue"`
	Array  *struct {
		Values []value `json:"values"`
	} `json:"arrayValue"`
}

func (v value) plain() any {
	switch {
	case v.String != nil:
		return *v.String
	case v.Int != nil:
		return int64(*v.Int)
	case v.Double != nil:
		return *v.Double
	case v.Bool != nil:
		return *v.Bool
	case v.Array != nil:
		list := []any{}
		for _, e := range v.Array.Values {
			list = append(list, e.plain())
		}
		return list
	}
	return nil
}

func plain(list []attribute) map[string]any {
	m := make(map[string]any, len(list))
	for _, a := range list {
		m[a.Key] = a.Value.plain()
	}
	return m
}

// Parse reads one line of OTLP JSON.
func Parse(line []byte) ([]*Span, error) {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fmt.Errorf("OTLP JSON: %w", err)
	}
	var out []*Span
	for i := range r.ResourceSpans {
		resource := plain(r.ResourceSpans[i].Resource.Attributes)
		for j := range r.ResourceSpans[i].ScopeSpans {
			for _, s := range r.ResourceSpans[i].ScopeSpans[j].Spans {
				out = append(out, &Span{
					TraceID: s.TraceID, SpanID: s.SpanID, ParentID: s.ParentID, Kind: s.Kind, Name: s.Name,
					Start: int64(s.Start), End: int64(s.End), Status: s.Status.Code, StatusMessage: s.Status.Message,
					Attributes: plain(s.Attributes), Resource: resource,
				})
			}
		}
	}
	return out, nil
}
