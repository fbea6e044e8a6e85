package spans

import (
	"strconv"
	"strings"
	"unicode/utf8"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// http adds the attributes of https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable).
func (c *Encoder) http(x *millracev1.Exchange, h *millracev1.HttpExchange, route string) {
	e := &c.e
	server := x.Side == millracev1.Side_SIDE_SERVER

	method := Method(h)
	if method != h.Method {
		text(e, "http.request.method_original", h.Method)
	}
	text(e, "http.request.method", method)
	if server {
		text(e, "http.route", route)
	} else {
		text(e, "url.template", route)
	}
	text(e, "network.protocol.name", "http")
	text(e, "network.protocol.version", h.Version)
	text(e, "user_agent.original", h.UserAgent)

	host, port := SplitHost(h.Host)
	c.serverAddress(x, host, port)
	c.url(x, h, server)

	// A body of 0 bytes is a size too: absent would mean that it is not known.
	e.number("http.request.body.size", int64(x.RequestBodyBytes))
	if h.Status != 0 {
		e.number("http.response.status_code", int64(h.Status))
		e.number("http.response.body.size", int64(x.ResponseBodyBytes))
	}
}

// Method gives http.request.method: "_OTHER" for methods that the conventions do not list.
func Method(h *millracev1.HttpExchange) string {
	if knownMethod(h.Method) {
		return h.Method
	}
	return "_OTHER"
}

// appendHTTPName: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#name
func appendHTTPName(dst []byte, h *millracev1.HttpExchange, route string) []byte {
	if knownMethod(h.Method) {
		dst = append(dst, h.Method...)
	} else {
		dst = append(dst, "HTTP"...)
	}
	if route != "" {
		dst = append(append(dst, ' '), route...)
	}
	return dst
}

// httpStatus: 4xx is the client's own mistake: an error at the client, not at the server.
func httpStatus(x *millracev1.Exchange, h *millracev1.HttpExchange, st *Status) {
	if h.Status >= 500 || h.Status >= 400 && x.Side != millracev1.Side_SIDE_SERVER {
		st.Error = true
		if st.Type == "" {
			st.Type = statusText(h.Status)
		}
	}
}

// SplitTarget takes a request target apart: "/a?b", "http://example.org/a?b". The scheme is empty where the target does
// not tell. The path of a target that is no URL (of CONNECT and of "OPTIONS *", RFC 9112, 3.2) is the target.
func SplitTarget(target string) (scheme, path, query string) {
	if i := strings.Index(target, "://"); i > 0 && !strings.ContainsAny(target[:i], "/?#") {
		scheme = target[:i]
		target = target[i+len("://"):]
		if i := strings.IndexAny(target, "/?"); i >= 0 {
			target = target[i:]
		} else {
			target = "/"
		}
	}
	path, query, _ = strings.Cut(target, "?")
	return scheme, path, query
}

// url adds url.scheme, url.path and url.query at a server, url.full at a client.
func (c *Encoder) url(x *millracev1.Exchange, h *millracev1.HttpExchange, server bool) {
	e := &c.e
	scheme, path, query := SplitTarget(h.Target)
	absolute := scheme != ""
	if !absolute {
		scheme = "http"
	}
	if server {
		text(e, "url.scheme", scheme)
		text(e, "url.path", path)
		text(e, "url.query", query)
		return
	}
	// The request target of CONNECT is an authority and that of OPTIONS may be "*" (RFC 9112, 3.2): neither is part of
	// a URL.
	switch {
	case absolute:
		text(e, "url.full", h.Target)
		return
	case !strings.HasPrefix(h.Target, "/"):
		return
	}
	full := c.scratch[:0]
	full = append(full, scheme...)
	full = append(full, "://"...)
	if h.Host != "" {
		full = append(full, h.Host...)
	} else if address := c.addressAndPort(x); address != "" {
		full = append(full, address...)
	} else {
		return
	}
	full = append(full, h.Target...)
	c.scratch = full
	if utf8.Valid(full) {
		textBytes(e, "url.full", full)
	} else {
		text(e, "url.full", string(full))
	}
}

// addressAndPort gives the server's address for a URL; HTTP/1.0 requests may have no Host.
func (c *Encoder) addressAndPort(x *millracev1.Exchange) string {
	var e Encoder
	address := string(e.address(x.RemoteAddress))
	if address == "" {
		return ""
	}
	if len(x.RemoteAddress) == 16 {
		address = "[" + address + "]"
	}
	if x.RemotePort != 80 {
		address += ":" + strconv.Itoa(int(x.RemotePort))
	}
	return address
}

// knownMethod reports whether the conventions list the method (RFC 9110, PATCH of RFC 5789). Methods are
// case-sensitive.
func knownMethod(m string) bool {
	switch m {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE":
		return true
	}
	return false
}

// SplitHost takes a Host header apart: "example.org:8080", "[::1]:8080". The port is 0 if there is none.
func SplitHost(hostport string) (host string, port uint32) {
	host = hostport
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		// Two colons without brackets are a bare IPv6 address.
		if strings.IndexByte(hostport, ':') == i || strings.HasSuffix(hostport[:i], "]") {
			if n, err := strconv.ParseUint(hostport[i+1:], 10, 16); err == nil {
				host, port = hostport[:i], uint32(n)
			}
		}
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), port
}

// statusText gives the decimal text of a status without allocating for the usual ones.
func statusText(status uint32) string {
	switch status {
	case 400:
		return "400"
	case 401:
		return "401"
	case 403:
		return "403"
	case 404:
		return "404"
	case 500:
		return "500"
	case 502:
		return "502"
	case 503:
		return "503"
	case 504:
		return "504"
	}
	return strconv.Itoa(int(status))
}
