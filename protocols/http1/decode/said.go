package decode

import (
	"bytes"
	"net/netip"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
)

var (
	attrMethod         = decode.Attribute("http.request.method")
	attrMethodOriginal = decode.Attribute("http.request.method_original")
	attrStatus         = decode.Attribute("http.response.status_code")
	attrProtocol       = decode.Attribute("network.protocol.name")
	attrVersion        = decode.Attribute("network.protocol.version")
	attrUserAgent      = decode.Attribute("user_agent.original")
	attrScheme         = decode.Attribute("url.scheme")
	attrPath           = decode.Attribute("url.path")
	attrQuery          = decode.Attribute("url.query")
	attrURL            = decode.Attribute("url.full")
)

// Values of attributes.
var (
	otherMethod = []byte("_OTHER")
	anyMethod   = []byte("HTTP") // in names of spans
	http        = []byte("http")
	aboutScheme = []byte("://")
)

// head is what an HttpExchange says.
type head struct {
	method, target, host, version, userAgent []byte
	status                                   uint64
}

// read reads what the parser wrote. Of a field that comes twice the last counts, as for all readers of protobuf.
func (h *head) read(b []byte) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		var text []byte
		var v uint64
		if kind == protowire.BytesType {
			text, n = protowire.ConsumeBytes(b)
		} else {
			v, n = protowire.ConsumeVarint(b)
		}
		if n < 0 {
			return false
		}
		b = b[n:]
		switch number {
		case fieldMethod:
			h.method = text
		case fieldTarget:
			h.target = text
		case fieldHost:
			h.host = text
		case fieldStatus:
			h.status = v
		case fieldVersion:
			h.version = text
		case fieldUserAgent:
			h.userAgent = text
		default:
		}
	}
	return true
}

// say is [decode.Protocol.Say], in the words of the semantic conventions for HTTP (stable):
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
func say(s *decode.Said, x *decode.Exchange, at decode.Place) {
	var h head
	if !h.read(x.Detail) {
		return
	}
	layer := s.Protocol != 0
	// Methods that the conventions do not list are "_OTHER", and "HTTP" in names of spans.
	method, name := otherMethod, anyMethod
	if listed(h.method) {
		method, name = h.method, h.method
	} else {
		add(s, attrMethodOriginal, h.method)
	}
	add(s, attrMethod, method)
	add(s, attrProtocol, http)
	add(s, attrVersion, h.version)
	add(s, attrUserAgent, h.userAgent)
	scheme, path, query := splitTarget(h.target)
	if !layer || s.Family == decode.HTTP {
		s.Family, s.Path = decode.HTTP, append(s.Path[:0], path...)
	}
	if !layer || len(s.Operation) == 0 {
		s.Operation = append(s.Operation[:0], name...)
	}
	if len(s.ServerName) == 0 {
		host, port := splitHost(h.host)
		s.ServerName, s.ServerPort = append(s.ServerName, host...), port
	}
	switch {
	case at.Client && (!layer || !s.Attributes.Has(attrURL)):
		sayURL(s, &h, scheme, at)
	case !at.Client:
		if len(scheme) == 0 {
			scheme = http
		}
		add(s, attrScheme, scheme)
		add(s, attrPath, path)
		add(s, attrQuery, query)
	}
	if h.status != 0 && (!layer || !s.Attributes.Has(attrStatus)) {
		s.Attributes.Number(attrStatus, int64(h.status))
	}
	// 4xx is the client's own mistake: an error at the client, not at the server.
	if len(s.ErrorType) == 0 && (h.status >= 500 || h.status >= 400 && at.Client) {
		s.ErrorType = strconv.AppendUint(s.ErrorType, h.status, 10)
	}
}

// add adds an attribute that no layer has set.
func add(s *decode.Said, n decode.Name, text []byte) {
	if s.Protocol == 0 || !s.Attributes.Has(n) {
		s.Attributes.Text(n, text)
	}
}

// sayURL writes url.full. The request target of CONNECT is an authority and that of OPTIONS may be "*" (RFC 9112
// section 3.2): neither is part of a URL. HTTP/1.0 requests may have no Host: then it is the address.
func sayURL(s *decode.Said, h *head, scheme []byte, at decode.Place) {
	var room [1024]byte
	full := room[:0]
	switch {
	case len(scheme) > 0:
		s.Attributes.Text(attrURL, h.target)
		return
	case !bytes.HasPrefix(h.target, []byte("/")):
		return
	case len(h.host) > 0:
		full = append(append(full, "http://"...), h.host...)
	default:
		address, ok := netip.AddrFromSlice(at.RemoteAddress)
		if !ok {
			return
		}
		full = append(full, "http://"...)
		if address.Is6() {
			full = append(address.AppendTo(append(full, '[')), ']')
		} else {
			full = address.AppendTo(full)
		}
		if at.RemotePort != 80 {
			full = strconv.AppendUint(append(full, ':'), uint64(at.RemotePort), 10)
		}
	}
	s.Attributes.Text(attrURL, append(full, h.target...))
}

// splitTarget takes a request target apart: "/a?b", "http://example.org/a?b". The scheme is empty where the target does
// not tell. The path of a target that is no URL is the target.
func splitTarget(target []byte) (scheme, path, query []byte) {
	if i := bytes.Index(target, aboutScheme); i > 0 && !bytes.ContainsAny(target[:i], "/?#") {
		scheme, target = target[:i], target[i+len(aboutScheme):]
		if i := bytes.IndexAny(target, "/?"); i >= 0 {
			target = target[i:]
		} else {
			target = []byte("/")
		}
	}
	path, query, _ = bytes.Cut(target, []byte("?"))
	return scheme, path, query
}

// splitHost takes a Host header apart: "example.org:8080", "[::1]:8080". The port is 0 if there is none.
func splitHost(hostport []byte) (host []byte, port uint32) {
	host = hostport
	if i := bytes.LastIndexByte(hostport, ':'); i >= 0 && !bytes.HasSuffix(hostport, []byte("]")) {
		// Two colons without brackets are a bare IPv6 address.
		if bytes.IndexByte(hostport, ':') == i || bytes.HasSuffix(hostport[:i], []byte("]")) {
			if n, err := strconv.ParseUint(string(hostport[i+1:]), 10, 16); err == nil {
				host, port = hostport[:i], uint32(n)
			}
		}
	}
	return bytes.TrimSuffix(bytes.TrimPrefix(host, []byte("[")), []byte("]")), port
}

// listed reports whether the conventions list the method (RFC 9110, PATCH of RFC 5789). Methods are case-sensitive.
func listed(method []byte) bool {
	switch string(method) {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE":
		return true
	}
	return false
}
