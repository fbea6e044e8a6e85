package spans

import (
	"strconv"
	"strings"
	"unicode/utf8"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// http adds the attributes of https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable).
func (c *Encoder) http(x *millracev1.Exchange, h *millracev1.HttpExchange, st *status) {
	e := &c.e
	server := x.Side == millracev1.Side_SIDE_SERVER

	method, name := h.Method, h.Method
	if !knownMethod(method) {
		text(e, "http.request.method_original", method)
		method, name = "_OTHER", "HTTP"
	}
	appendField(e, tagSpanName, name)
	text(e, "http.request.method", method)
	text(e, "network.protocol.name", "http")
	text(e, "network.protocol.version", h.Version)
	text(e, "user_agent.original", h.UserAgent)

	host, port := splitHost(h.Host)
	c.serverAddress(x, host, port)
	c.url(x, h, server)

	// A body of 0 bytes is a size too: absent would mean that it is not known.
	e.number("http.request.body.size", int64(x.RequestBodyBytes))
	if h.Status != 0 {
		e.number("http.response.status_code", int64(h.Status))
		e.number("http.response.body.size", int64(x.ResponseBodyBytes))
	}
	// 4xx is the client's own mistake: an error at the client, not at the server.
	if h.Status >= 500 || h.Status >= 400 && !server {
		st.isError = true
		if st.errorType == "" {
			st.errorType = statusText(h.Status)
		}
	}
}

// url adds url.scheme, url.path and url.query at a server, url.full at a client.
func (c *Encoder) url(x *millracev1.Exchange, h *millracev1.HttpExchange, server bool) {
	e := &c.e
	scheme, target := "http", h.Target
	absolute := false
	if i := strings.Index(target, "://"); i > 0 && !strings.ContainsAny(target[:i], "/?#") {
		absolute = true
		scheme = target[:i]
	}
	if server {
		text(e, "url.scheme", scheme)
		if absolute {
			target = target[len(scheme)+len("://"):]
			if i := strings.IndexAny(target, "/?"); i >= 0 {
				target = target[i:]
			} else {
				target = "/"
			}
		}
		path, query, _ := strings.Cut(target, "?")
		text(e, "url.path", path)
		text(e, "url.query", query)
		return
	}
	// The request target of CONNECT is an authority and that of OPTIONS may be "*" (RFC 9112, 3.2): neither is part of a URL.
	switch {
	case absolute:
		text(e, "url.full", target)
		return
	case !strings.HasPrefix(target, "/"):
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
	full = append(full, target...)
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

// knownMethod reports whether the conventions list the method (RFC 9110, PATCH of RFC 5789). Methods are case-sensitive.
func knownMethod(m string) bool {
	switch m {
	case "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE":
		return true
	}
	return false
}

// splitHost takes a Host header apart: "example.org:8080", "[::1]:8080". The port is 0 if there is none.
func splitHost(hostport string) (host string, port uint32) {
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
