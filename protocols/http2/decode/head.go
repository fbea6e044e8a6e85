package decode

import (
	"bytes"
	"strconv"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	room "millrace.dev/protocols/grpc"
	grpc "millrace.dev/protocols/grpc/decode"
	"millrace.dev/protocols/http2"
)

// Names of attributes: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable).
var (
	attrMethod   = decode.Attribute("http.request.method")
	attrOriginal = decode.Attribute("http.request.method_original")
	attrProtocol = decode.Attribute("network.protocol.name")
	attrVersion  = decode.Attribute("network.protocol.version")
	attrAgent    = decode.Attribute("user_agent.original")
	attrScheme   = decode.Attribute("url.scheme")
	attrPath     = decode.Attribute("url.path")
	attrQuery    = decode.Attribute("url.query")
	attrFull     = decode.Attribute("url.full")
	attrStatus   = decode.Attribute("http.response.status_code")
	attrUnknown  = decode.Attribute("millrace.head_unknown")
)

// Values of attributes, and the name of a span whose method is not listed.
var otherMethod, anyMethod = []byte("_OTHER"), []byte("HTTP")

// Flags of exchanges.
const (
	flagHead    = 1 << iota // the head of the response was read
	flagTunnel              // CONNECT
	flagCode                // the status of gRPC is known
	flagUnknown             // a part of a head is not known
	flagPending             // its request block is not complete
)

// fields reads a frame of a header block, whole. It reports whether to go on.
func (p *parser) fields(c *decode.Conn, s *stream.Stream, d *direction) bool {
	h := d.frame
	b := s.Bytes()
	size := http2.HeaderSize + int(h.Length)
	cut := false
	if len(b) < size {
		if !s.Cut() && h.Length <= maxBlock {
			return false
		}
		if s.Received()-s.Offset() < uint64(size) {
			return false
		}
		cut = true
	}
	payload := b[http2.HeaderSize:min(size, len(b))]
	if h.Type != http2.Continuation {
		d.open, d.first, d.cut, d.block = h.Stream, h, false, d.block[:0]
		before, padding, ok := h.Margins(payload)
		switch {
		case ok && cut:
			payload = payload[before:min(len(payload), int(h.Length)-padding)]
		case ok:
			payload = payload[before : len(payload)-padding]
		case !cut:
			p.lose(c, s, d)
			return true
		default:
			payload = nil
		}
	}
	if !d.cut { // what is behind a gap cannot be read
		if len(d.block) == 0 && h.Has(http2.FlagEndHeaders) {
			d.cut = cut
			return p.block(c, s, d, payload, size)
		}
		if len(d.block)+len(payload) > maxBlock {
			cut = true
		} else {
			d.block = append(d.block, payload...)
		}
	}
	d.cut = d.cut || cut
	if h.Has(http2.FlagEndHeaders) {
		return p.block(c, s, d, d.block, size)
	}
	p.takeFields(c, s, d, size)
	return true
}

// takeFields takes a frame of a header block that goes on.
func (p *parser) takeFields(c *decode.Conn, s *stream.Stream, d *direction, size int) {
	x := p.exchange(c, d.open)
	if x == nil && s == c.Requests && d.first.Type == http2.Headers && d.open > d.last && d.open%2 == 1 {
		x = c.BeginAt(s, uint64(d.open))
		x.Flags |= flagPending
		x.ContextUnknown = true
	}
	c.Take(s, x, uint64(size))
}

// block reads a header block that ends with the frame at the position, which takes size bytes. It reports whether to go
// on.
func (p *parser) block(c *decode.Conn, s *stream.Stream, d *direction, block []byte, size int) bool {
	m := works.Get().(*work)
	defer works.Put(m)
	id, first := d.open, d.first
	ok := m.read(p.names, &d.table, block, d.cut)
	if !ok || d.cut {
		d.table.lose()
		m.head.unknown = true
	}
	d.open, d.block = 0, d.block[:0]
	if cap(d.block) > 16<<10 {
		d.block = nil
	}
	p.failures = 0
	x := p.exchange(c, id)
	switch {
	case first.Type != http2.Headers:
		c.Take(s, nil, uint64(size))
	case s == c.Requests:
		p.request(c, s, d, m, x, &first, size)
	case x != nil:
		p.response(c, s, m, x, &first, size)
	default:
		c.Take(s, nil, uint64(size))
	}
	return true
}

// request reads a header block of the client: the head of a request, or its trailers.
func (p *parser) request(c *decode.Conn, s *stream.Stream, d *direction, m *work, x *decode.Exchange, first *http2.Header, size int) {
	h := &m.head
	id := first.Stream
	head := x != nil && x.Flags&flagPending != 0
	if x == nil && id > d.last && id%2 == 1 && (h.is(kindMethod) || h.unknown) {
		x, head = c.BeginAt(s, uint64(id)), true
	}
	c.Take(s, x, uint64(size))
	if x == nil {
		return
	}
	if head {
		d.last = max(d.last, id)
		x.Flags &^= flagPending
		p.describe(x, h, c.Client)
		c.Started(x)
	}
	if first.Has(http2.FlagEndStream) {
		p.finish(c, s, x)
	}
}

// describe takes the head of a request.
func (p *parser) describe(x *decode.Exchange, h *head, client bool) {
	said := &x.Said
	said.Family = decode.HTTP
	a := &said.Attributes
	host := h.values[kindAuthority]
	if len(host) == 0 {
		host = h.values[kindHost]
	}
	if len(host) > 0 {
		x.Authority = decode.HashOf(host)
		said.ServerName, said.ServerPort = splitHost(said.ServerName[:0], host)
	}
	if agent := h.values[kindAgent]; len(agent) >= 8 && agent[0]|0x20 == 'm' && string(agent[1:8]) == "illrace" {
		x.Ignore = true
	}
	if h.parents == 1 {
		x.Context.Traceparent(h.values[kindParent])
	}
	for _, state := range h.states {
		x.Context.Tracestate(state)
	}
	x.ContextUnknown = h.unknown && h.parents == 0
	if room.IsContent(h.values[kindType]) {
		a.String(attrProtocol, "http")
		a.String(attrVersion, "2")
		grpc.Begin(x, h.values[kindPath], len(h.values[kindTimeout]) > 0 || h.unknown)
	} else if form := room.WebForm(h.values[kindType]); form != room.NotWeb && string(h.values[kindMethod]) == "POST" {
		a.String(attrProtocol, "http")
		a.String(attrVersion, "2")
		grpc.BeginWeb(x, h.values[kindPath], form)
	} else {
		p.offer(x, h, host, client)
		describeHTTP(x, h, host, client)
	}
	if h.unknown {
		x.Flags |= flagUnknown
		a.Yes(attrUnknown)
	}
}

// offer offers the head of a request to layers.
func (p *parser) offer(x *decode.Exchange, h *head, host []byte, client bool) {
	layers := p.names.layers
	method, target := h.values[kindMethod], h.values[kindPath]
	if len(method) == 0 || len(target) == 0 || string(method) == "CONNECT" {
		return
	}
	layers.Request(x, method, target)
	for _, f := range h.layered {
		if !layers.Keep(x) && layers.Marked(p.names.layered[f.kind-kinds], f.value) {
			layers.Begin(x, method, target)
		}
	}
	if !layers.Keep(x) {
		return
	}
	if len(host) > 0 {
		layers.Header(x, false, []byte("host"), host)
	}
	p.names.offer(x, h, false)
	layers.Asked(x, client)
}

// describeHTTP says what the head of a request says in the words of HTTP. What a layer has said stays.
func describeHTTP(x *decode.Exchange, h *head, host []byte, client bool) {
	said := &x.Said
	a := &said.Attributes
	method, name := h.values[kindMethod], h.values[kindMethod]
	switch {
	case knownMethod(method):
		a.Once(attrMethod, method)
	default:
		name = anyMethod
		if len(method) > 0 {
			a.Text(attrOriginal, method)
			a.Once(attrMethod, otherMethod)
		}
	}
	if len(said.Operation) == 0 {
		said.Operation = append(said.Operation, name...)
	}
	if string(method) == "CONNECT" {
		x.Flags |= flagTunnel
	}
	a.String(attrProtocol, "http")
	a.String(attrVersion, "2")
	a.Text(attrAgent, h.values[kindAgent])
	scheme, target := h.values[kindScheme], h.values[kindPath]
	path, query, _ := bytes.Cut(target, []byte{'?'})
	if said.Family == decode.HTTP {
		said.Path = append(said.Path[:0], path...)
	}
	if !client {
		a.Text(attrScheme, scheme)
		a.Text(attrPath, path)
		a.Text(attrQuery, query)
		return
	}
	if len(scheme) > 0 && len(host) > 0 && len(target) > 0 && target[0] == '/' {
		x.Scratch = append(append(append(append(x.Scratch[:0], scheme...), "://"...), host...), target...)
		a.Once(attrFull, x.Scratch)
		x.Scratch = x.Scratch[:0]
	}
}

// response reads a header block of the server: the head of an interim or final response, or its trailers.
func (p *parser) response(c *decode.Conn, s *stream.Stream, m *work, x *decode.Exchange, first *http2.Header, size int) {
	h := &m.head
	c.Take(s, x, uint64(size))
	status := statusOf(h.values[kindStatus])
	if status >= 100 && status < 200 && x.Flags&flagHead == 0 {
		x.Number++
		x.ResponseStart = 0 // the response proper is yet to come
		return
	}
	if x.Flags&flagHead == 0 && (h.is(kindStatus) || h.unknown) {
		x.Flags |= flagHead
		x.Number = x.Number&0xffff | uint32(status)<<16
		if x.Flags&flagUnknown != 0 && !grpc.Is(x) && room.IsContent(h.values[kindType]) { // its request did not tell
			x.Said.Attributes = decode.Attributes{}
			x.Said.Attributes.String(attrProtocol, "http")
			x.Said.Attributes.String(attrVersion, "2")
			grpc.Begin(x, x.Said.Path, true)
			x.Said.Attributes.Yes(attrUnknown)
		}
		if grpc.IsWeb(x) {
			grpc.AnswerWeb(x, status, h.values[kindType], h.values[kindCode])
		} else if status != 0 && !grpc.Is(x) {
			p.names.offer(x, h, true)
			p.names.layers.Answered(x, status, c.Client)
			answered(x, status, c.Client)
		}
		if x.Flags&flagTunnel != 0 && status < 300 {
			x.Patient = true
		}
		x.Patient = x.Patient || (grpc.Is(x) || grpc.IsWeb(x)) && !first.Has(http2.FlagEndStream)
	}
	if code, ok := grpc.CodeOf(h.values[kindCode]); ok && grpc.Is(x) && x.Flags&flagCode == 0 {
		x.Flags |= flagCode
		grpc.Status(x, code, c.Client)
	}
	if h.unknown && x.Flags&flagUnknown == 0 {
		x.Flags |= flagUnknown
		x.Said.Attributes.Yes(attrUnknown)
	}
	if first.Has(http2.FlagEndStream) {
		p.finish(c, s, x)
	}
}

// statusOf reads a status, 0 if it is none.
func statusOf(b []byte) (status int) {
	if len(b) != 3 {
		return 0
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		status = status*10 + int(c-'0')
	}
	return status
}

// answered takes the status of a response. 4xx is the client's own mistake: an error at the client, not at the server.
func answered(x *decode.Exchange, status int, client bool) {
	x.Said.Attributes.Number(attrStatus, int64(status))
	if len(x.Said.ErrorType) > 0 { // a layer knows better
		return
	}
	if status >= 500 || status >= 400 && client {
		x.Said.ErrorType = strconv.AppendInt(x.Said.ErrorType[:0], int64(status), 10)
	}
}

// conclude adds what is known when the response of x has ended.
func conclude(c *decode.Conn, x *decode.Exchange) {
	if grpc.IsWeb(x) {
		grpc.EndWeb(x, c.Client)
		return
	}
	if !grpc.Is(x) {
		return
	}
	if x.Flags&(flagCode|flagUnknown) == 0 {
		// A server that is none of gRPC, or a proxy before it, answered.
		if status := int(x.Number >> 16); status != 200 {
			grpc.Status(x, grpc.OfHTTP(status), c.Client)
		} else {
			grpc.Status(x, grpc.Unknown, c.Client)
		}
		x.Flags |= flagCode
	}
}

// knownMethod reports whether the conventions list the method (RFC 9110, PATCH of RFC 5789).
func knownMethod(m []byte) bool {
	switch string(m) {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE":
		return true
	}
	return false
}

// splitHost appends the host of an authority to dst, and gives its port: 0 if there is none.
func splitHost(dst, authority []byte) (host []byte, port uint32) {
	authority = authority[bytes.LastIndexByte(authority, '@')+1:]
	host = authority
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 && (bytes.IndexByte(authority, ':') == i || i > 0 && authority[i-1] == ']') {
		if n, err := strconv.ParseUint(string(authority[i+1:]), 10, 16); err == nil {
			host, port = authority[:i], uint32(n)
		}
	}
	host = bytes.TrimSuffix(bytes.TrimPrefix(host, []byte{'['}), []byte{']'})
	return append(dst, host...), port
}
