package decode

import (
	"bytes"
	"strconv"

	"millrace.dev/protocols/decode"
)

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
	if d.x != nil && (layers.Keep(d.x) || request && layers.MayMark(name)) {
		d.layered(name, line[colon+1:], request, layers)
	}
	kind := fieldOf(name)
	if kind == otherField {
		return
	}
	value := trimSpace(line[colon+1:])
	if bytes.IndexByte(value, '\n') >= 0 { // folded, RFC 9112 section 5.2
		value = unfold(value)
	}
	switch kind {
	case contentLength:
		d.contentLength(value)
		return
	case transferEncoding:
		d.coded = true
		// The final coding decides, RFC 9112 section 6.1.
		last := value
		if i := bytes.LastIndexByte(value, ','); i >= 0 {
			last = trimSpace(value[i+1:])
		}
		d.chunked = is(last, "chunked")
		return
	default:
	}
	switch {
	case d.x == nil:
	case request:
		d.requestField(kind, value)
	case kind == upgrade && is(value, "h2c"):
		d.remain = toHTTP2
	case kind == upgrade && is(value, "websocket"):
		d.remain = toSocket
	}
}

// requestField takes a field of the head of a request.
func (d *side) requestField(kind field, value []byte) {
	switch x := d.x; kind {
	case host:
		if !d.hosted {
			d.hosted = true
			sayHost(x, decode.Valid(cut(value, maxValue)))
			x.Authority = decode.HashOf(value)
		}
	case userAgent:
		if d.agent { // the last counts
			x.Said.Attributes.Drop(attrUserAgent)
		}
		d.agent = true
		x.Said.Attributes.Text(attrUserAgent, cut(value, maxValue))
		if len(value) >= 8 && is(value[:1], "m") && string(value[1:8]) == "illrace" {
			x.Ignore = true
		}
	case upgrade:
		x.Flags |= flagUpgrade
	case traceparent:
		// Which of several would be true cannot be known: then there is none, as the standard's own tests demand.
		if x.Flags&flagContext == 0 {
			x.Context.Traceparent(value)
		} else {
			x.Context.Valid = false
		}
		x.Flags |= flagContext
		x.ContextUnknown = false
	case tracestate:
		x.Context.Tracestate(value)
	default:
	}
}

// field is a field of a head that says something to us.
type field uint8

const (
	otherField field = iota
	contentLength
	transferEncoding
	host
	userAgent
	upgrade
	traceparent
	tracestate
)

// fieldOf tells which field has a name. Most have other lengths than those that say something.
func fieldOf(name []byte) field {
	switch len(name) {
	case 4:
		if is(name, "host") {
			return host
		}
	case 7:
		if is(name, "upgrade") {
			return upgrade
		}
	case 10:
		switch {
		case is(name, "user-agent"):
			return userAgent
		case is(name, "tracestate"):
			return tracestate
		}
	case 11:
		if is(name, "traceparent") {
			return traceparent
		}
	case 14:
		if is(name, "content-length") {
			return contentLength
		}
	case 17:
		if is(name, "transfer-encoding") {
			return transferEncoding
		}
	}
	return otherField
}

// layered gives a header field to layers.
func (d *side) layered(name, value []byte, request bool, layers *decode.Layers) {
	value = trimSpace(value)
	if bytes.IndexByte(value, '\n') >= 0 {
		value = unfold(value)
	}
	if !layers.Keep(d.x) {
		if !layers.Marked(name, value) {
			return
		}
		begin(d.x, layers)
	}
	layers.Header(d.x, !request, name, value)
}

// begin begins the head of a request that a header field has marked, with what was said of it before.
func begin(x *decode.Exchange, layers *decode.Layers) {
	s := &x.Said
	target := append([]byte(nil), s.Path...)
	if n := len(x.Scratch) - 2; n > 0 { // see sayRequest
		target = x.Scratch[2 : 2+min(int(x.Scratch[0])|int(x.Scratch[1])<<8, n)]
	} else {
		s.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
			if n == attrQuery {
				target = append(append(target, '?'), v.Text...)
			}
			return n != attrQuery
		})
	}
	layers.Begin(x, s.Operation, target)
	if host := s.ServerName; len(host) > 0 {
		host = append([]byte(nil), host...)
		if s.ServerPort != 0 {
			host = strconv.AppendUint(append(host, ':'), uint64(s.ServerPort), 10)
		}
		layers.Header(x, false, []byte("host"), host)
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
