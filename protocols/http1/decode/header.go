package decode

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
)

// Field numbers of HttpExchange in exchange.proto.
const (
	fieldMethod        = 1
	fieldTarget        = 2
	fieldHost          = 3
	fieldStatus        = 4
	fieldVersion       = 5
	fieldUserAgent     = 6
	fieldUpgraded      = 7
	fieldContentType   = 8
	fieldInformational = 9
	// detailField is HttpExchange in Exchange.
	detailField = 30
)

func appendText(dst []byte, field protowire.Number, v []byte) []byte {
	dst = append(dst, byte(field<<3|2))
	return protowire.AppendBytes(dst, v)
}

func appendNumber(dst []byte, field protowire.Number, v uint64) []byte {
	dst = append(dst, byte(field<<3))
	return protowire.AppendVarint(dst, v)
}

// is compares a header name without regard to case; lower is in lower case.
func is(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// header takes one header line. A line that cannot be one says nothing.
func (d *side) header(line []byte, request bool, layers *decode.Layers) {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return
	}
	name := line[:colon]
	if name[colon-1] == ' ' || name[colon-1] == '\t' { // RFC 9112 section 5.1 forbids it, some send it
		name = bytes.TrimRight(name, " \t")
	}
	if d.x != nil && layers.Keep(d.x) {
		value := trimSpace(line[colon+1:])
		if bytes.IndexByte(value, '\n') >= 0 {
			value = unfold(value)
		}
		layers.Header(d.x, !request, name, value)
	}
	// Most headers say nothing to us: decide on the length before the name is looked at.
	switch len(name) {
	case 4, 6, 7, 10, 11, 12, 14, 17:
	default:
		return
	}
	value := trimSpace(line[colon+1:])
	if bytes.IndexByte(value, '\n') >= 0 { // folded, RFC 9112 section 5.2
		value = unfold(value)
	}
	switch {
	case is(name, "content-length"):
		d.contentLength(value)
	case is(name, "transfer-encoding"):
		d.coded = true
		// The final coding decides, RFC 9112 section 6.1.
		last := value
		if i := bytes.LastIndexByte(value, ','); i >= 0 {
			last = trimSpace(value[i+1:])
		}
		d.chunked = is(last, "chunked")
	case d.x == nil:
	case !request && is(name, "upgrade"):
		if is(value, "h2c") {
			d.remain = 1
		}
	case !request:
		if is(name, "content-type") && !d.typed {
			d.typed = true
			d.x.Detail = appendText(d.x.Detail, fieldContentType, decode.Valid(cut(value, maxValue)))
		}
	case is(name, "host"):
		if !d.hosted {
			d.hosted = true
			d.x.Detail = appendText(d.x.Detail, fieldHost, decode.Valid(cut(value, maxValue)))
			d.x.Authority = decode.HashOf(value)
		}
	case is(name, "user-agent"):
		d.x.Detail = appendText(d.x.Detail, fieldUserAgent, decode.Valid(cut(value, maxValue)))
		if len(value) >= 8 && is(value[:1], "m") && string(value[1:8]) == "illrace" {
			d.x.Ignore = true
		}
	case is(name, "upgrade"):
		d.x.Flags |= flagUpgrade
	case is(name, "traceparent"):
		// Which of several would be true cannot be known: then there is none, as the standard's own tests demand.
		if d.x.Flags&flagContext == 0 {
			d.x.Context.Traceparent(value)
		} else {
			d.x.Context.Valid = false
		}
		d.x.Flags |= flagContext
		d.x.ContextUnknown = false
	case is(name, "tracestate"):
		d.x.Context.Tracestate(value)
	}
}

// contentLength takes the value of a Content-Length header: digits, or the same digits several times, RFC 9112 section
// 6.3.
func (d *side) contentLength(value []byte) {
	for first := true; first || len(value) > 0; first = false {
		item := value
		if i := bytes.IndexByte(value, ','); i >= 0 {
			item, value = trimSpace(value[:i]), trimSpace(value[i+1:])
		} else {
			value = nil
		}
		var n uint64
		if len(item) == 0 || len(item) > 18 {
			d.badLength = true
			return
		}
		for _, c := range item {
			if c < '0' || c > '9' {
				d.badLength = true
				return
			}
			n = n*10 + uint64(c-'0')
		}
		if d.sized && n != d.length {
			d.badLength = true
			return
		}
		d.sized, d.length = true, n
	}
}

func cut(b []byte, n int) []byte {
	if len(b) > n {
		return b[:n]
	}
	return b
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t' || b[n-1] == '\r' || b[n-1] == '\n'); n-- {
		b = b[:n-1]
	}
	return b
}

// unfold makes one line of several.
func unfold(v []byte) []byte {
	return bytes.Join(bytes.Fields(v), []byte{' '})
}
