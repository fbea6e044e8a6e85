package otlp

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	// SchemaURL of the semantic conventions that spans and metrics follow.
	SchemaURL = "https://opentelemetry.io/schemas/1.37.0"
	// ScopeName of the instrumentation scope.
	ScopeName = "millrace"
	// maxGroups bounds the resources whose encoding is kept from one request to the next.
	maxGroups = 256
)

// JSON is an ExportTraceServiceRequest as OTLP JSON, each resource once:
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. What it writes is what the Collector's marshaler
// writes.
type JSON struct {
	version  string
	groups   map[string]*jsonGroup
	used     []*jsonGroup
	spare    [][]byte // for the spans of resources
	resource Span
}

// jsonGroup has what was written about the spans of one resource.
type jsonGroup struct {
	head []byte // up to the spans, which does not change
	// spans of the group that was used first have the line's beginning and the head before them, so that they need not
	// be copied into the line.
	spans []byte
}

// NewJSON makes an empty request. version is the program's, for the instrumentation scope.
func NewJSON(version string) *JSON { return &JSON{version: version, groups: map[string]*jsonGroup{}} }

// Reset empties the request. Its memory is used again.
func (j *JSON) Reset() {
	// The largest buffer is that of the line: it is the first that will be used again.
	for _, g := range slices.Backward(j.used) {
		j.spare = append(j.spare, g.spans[:0])
		g.spans = nil
	}
	j.used = j.used[:0]
	if len(j.groups) > maxGroups {
		clear(j.groups)
	}
}

// Cap is the memory that an empty request keeps for what is added to it, in bytes.
func (j *JSON) Cap() int {
	n := 0
	for _, b := range j.spare {
		n += cap(b)
	}
	return n
}

// Add writes a span of an encoded, well-formed resource.
func (j *JSON) Add(resource []byte, s *Span) {
	g := j.groups[string(resource)]
	if g == nil {
		j.resource.readResource(resource)
		g = &jsonGroup{head: j.head(j.resource.Attributes)}
		j.groups[string(resource)] = g
	}
	if len(g.spans) == 0 {
		j.used = append(j.used, g)
		if n := len(j.spare); n > 0 {
			g.spans, j.spare = j.spare[n-1], j.spare[:n-1]
		}
		if len(j.used) == 1 {
			g.spans = append(append(g.spans, lineBegin...), g.head...)
		}
	} else {
		g.spans = append(g.spans, ',')
	}
	g.spans = appendSpan(g.spans, s)
}

// Line gives the request with a line feed behind it. It is valid until the request is changed.
func (j *JSON) Line() []byte {
	if len(j.used) == 0 {
		return []byte(lineBegin + "]}\n")
	}
	first := j.used[0]
	n := len(first.spans)
	b := first.spans
	b = append(b, groupEnd...)
	for _, g := range j.used[1:] {
		b = append(b, ',')
		b = append(b, g.head...)
		b = append(b, g.spans...)
		b = append(b, groupEnd...)
	}
	b = append(b, "]}\n"...)
	first.spans = b[:n]
	return b
}

const (
	lineBegin = `{"resourceSpans":[`
	groupEnd  = `]}],"schemaUrl":"` + SchemaURL + `"}`
)

func (j *JSON) head(attributes []Attribute) []byte {
	b := append([]byte(nil), `{"resource":{`...)
	b = appendAttributes(b, attributes)
	b = append(b, `},"scopeSpans":[{"scope":{"name":"`+ScopeName+`"`...)
	if j.version != "" {
		b = append(b, `,"version":`...)
		b = appendText(b, []byte(j.version))
	}
	return append(b, `},"spans":[`...)
}

// appendSpan writes a span. Fields that have their default are left out.
func appendSpan(b []byte, s *Span) []byte {
	b = appendContext(append(b, '{'), s.TraceID, s.ID, s.Tracestate)
	if s.ParentID != 0 {
		b = append(b, `"parentSpanId":"`...)
		b = appendHex(b, s.ParentID)
		b = append(b, `",`...)
	}
	b = appendFlags(b, s.Flags)
	if len(s.Name) != 0 {
		b = append(b, `"name":`...)
		b = appendText(b, s.Name)
		b = append(b, ',')
	}
	if s.Kind != 0 {
		b = append(b, `"kind":`...)
		b = strconv.AppendInt(b, int64(s.Kind), 10)
		b = append(b, ',')
	}
	if s.Start != 0 {
		b = append(b, `"startTimeUnixNano":"`...)
		b = strconv.AppendUint(b, s.Start, 10)
		b = append(b, `",`...)
	}
	if s.End != 0 {
		b = append(b, `"endTimeUnixNano":"`...)
		b = strconv.AppendUint(b, s.End, 10)
		b = append(b, `",`...)
	}
	if len(s.Attributes) != 0 {
		b = appendAttributes(b, s.Attributes)
		b = append(b, ',')
	}
	b = appendLinks(b, s.Links)
	b = append(b, `"status":{`...)
	if len(s.StatusMessage) != 0 {
		b = append(b, `"message":`...)
		b = appendText(b, s.StatusMessage)
	}
	if s.Status != 0 {
		if len(s.StatusMessage) != 0 {
			b = append(b, ',')
		}
		b = append(b, `"code":`...)
		b = strconv.AppendInt(b, int64(s.Status), 10)
	}
	return append(b, "}}"...)
}

// appendContext writes the fields that name a span, each with a comma behind it.
func appendContext(b, traceID []byte, id uint64, tracestate []byte) []byte {
	var trace [16]byte
	if copy(trace[:], traceID); trace != [16]byte{} {
		b = append(b, `"traceId":"`...)
		b = appendHex(b, binary.BigEndian.Uint64(trace[:8]))
		b = appendHex(b, binary.BigEndian.Uint64(trace[8:]))
		b = append(b, `",`...)
	}
	if id != 0 {
		b = append(b, `"spanId":"`...)
		b = appendHex(b, id)
		b = append(b, `",`...)
	}
	if len(tracestate) != 0 {
		b = append(b, `"traceState":`...)
		b = appendText(b, tracestate)
		b = append(b, ',')
	}
	return b
}

func appendFlags(b []byte, flags uint32) []byte {
	if flags == 0 {
		return b
	}
	b = append(b, `"flags":`...)
	return append(strconv.AppendUint(b, uint64(flags), 10), ',')
}

// appendLinks writes the field of links with a comma behind it; nothing if there are none.
func appendLinks(b []byte, links []Link) []byte {
	if len(links) == 0 {
		return b
	}
	b = append(b, `"links":[`...)
	for i := range links {
		l := &links[i]
		b = appendContext(append(b, '{'), l.TraceID, l.ID, l.Tracestate)
		if b = appendFlags(b, l.Flags); b[len(b)-1] == ',' {
			b = b[:len(b)-1]
		}
		b = append(b, "},"...)
	}
	b[len(b)-1] = ']'
	return append(b, ',')
}

// appendAttributes writes the field of attributes; nothing if there are none.
func appendAttributes(b []byte, attributes []Attribute) []byte {
	if len(attributes) == 0 {
		return b
	}
	b = append(b, `"attributes":[`...)
	for i := range attributes {
		a := &attributes[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if len(a.key) != 0 {
			b = append(b, `"key":`...)
			b = appendText(b, a.key)
			b = append(b, ',')
		}
		b = append(b, `"value":{`...)
		b = appendValue(b, a)
		b = append(b, "}}"...)
	}
	return append(b, ']')
}

func appendValue(b []byte, a *Attribute) []byte {
	switch a.kind {
	case empty:
	case text:
		b = append(b, `"stringValue":`...)
		b = appendText(b, a.text)
	case integer:
		b = append(b, `"intValue":"`...)
		b = strconv.AppendInt(b, int64(a.number), 10)
		b = append(b, '"')
	case double:
		b = append(b, `"doubleValue":`...)
		b = appendDouble(b, math.Float64frombits(a.number))
	case boolean:
		b = append(b, `"boolValue":`...)
		b = strconv.AppendBool(b, a.number != 0)
	case list:
		b = append(b, `"arrayValue":{`...)
		for i, v := range a.texts {
			if i == 0 {
				b = append(b, `"values":[`...)
			} else {
				b = append(b, ',')
			}
			b = append(b, `{"stringValue":`...)
			b = appendText(b, v)
			b = append(b, '}')
		}
		if len(a.texts) > 0 {
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	return b
}

// appendDouble writes a number that reads back the same. What JSON has no number for is a string, as in protobuf's
// JSON.
func appendDouble(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if magnitude := math.Abs(v); magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}

func appendHex(b []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	var text [16]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = digits[v&15]
		v >>= 4
	}
	return append(b, text[:]...)
}

// appendText writes a string in quotes. Texts are nearly always plain ASCII, which is seen eight bytes at a time.
func appendText(b, s []byte) []byte {
	b = append(b, '"')
	if plain(s) {
		b = append(b, s...)
	} else {
		b = appendEscaped(b, s)
	}
	return append(b, '"')
}

// plain reports whether a string stands for itself in JSON. It may say no of one that does.
func plain(s []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := binary.LittleEndian.Uint64(s)
		// The high bit of a byte gets set where it is not ASCII, less than a space, a quote or a backslash. A borrow
		// from the byte below only comes from one that is set itself.
		if (x|(x-ones*' ')|((x^ones*'"')-ones)|((x^ones*'\\')-ones))&high != 0 {
			return false
		}
	}
	for _, c := range s {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func appendEscaped(b, s []byte) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRune(s[i:])
			b = utf8.AppendRune(b, r) // U+FFFD for what is not UTF-8, which JSON may not have
			i += n
			continue
		}
		i++
	}
	return b
}
