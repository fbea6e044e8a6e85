package detail

import (
	"net/netip"
	"strconv"
	"strings"
	"unsafe"

	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// alias gives the text without copying it, bytesOf the bytes.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

var (
	httpMethod         = attribute.Named("http.request.method")
	httpMethodOriginal = attribute.Named("http.request.method_original")
	httpStatusCode     = attribute.Named("http.response.status_code")
	protocolVersion    = attribute.Named("network.protocol.version")
	userAgent          = attribute.Named("user_agent.original")
	urlScheme          = attribute.Named("url.scheme")
	urlPath            = attribute.Named("url.path")
	urlQuery           = attribute.Named("url.query")
	urlFull            = attribute.Named("url.full")
)

// http: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable).
func (c *Converter) http(x *millracev1.Exchange, h *millracev1.HttpExchange) {
	server := x.Side == millracev1.Side_SIDE_SERVER
	x.Family = millracev1.Family_FAMILY_HTTP
	// Methods that the conventions do not list are "_OTHER", and "HTTP" in names of spans.
	method := "_OTHER"
	x.Operation = "HTTP"
	if knownMethod(h.Method) {
		method, x.Operation = h.Method, h.Method
	} else {
		c.text(httpMethodOriginal, h.Method)
	}
	c.text(httpMethod, method)
	c.text(protocolName, "http")
	c.text(protocolVersion, h.Version)
	c.text(userAgent, h.UserAgent)
	x.ServerName, x.ServerPort = splitHost(h.Host)
	c.url(x, h, server)
	if h.Status != 0 {
		c.number(httpStatusCode, int64(h.Status))
	}
	// 4xx is the client's own mistake: an error at the client, not at the server.
	if h.Status >= 500 || h.Status >= 400 && !server {
		x.ErrorType = statusText(h.Status)
	}
}

// splitTarget takes a request target apart: "/a?b", "http://example.org/a?b". The scheme is empty where the target does
// not tell. The path of a target that is no URL (of CONNECT and of "OPTIONS *", RFC 9112, 3.2) is the target.
func splitTarget(target string) (scheme, path, query string) {
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

// url adds url.scheme, url.path and url.query at a server, url.full at a client, and the path for routes.
func (c *Converter) url(x *millracev1.Exchange, h *millracev1.HttpExchange, server bool) {
	scheme, path, query := splitTarget(h.Target)
	absolute := scheme != ""
	if !absolute {
		scheme = "http"
	}
	x.Path = path
	if server {
		c.text(urlScheme, scheme)
		c.text(urlPath, path)
		c.text(urlQuery, query)
		return
	}
	// The request target of CONNECT is an authority and that of OPTIONS may be "*" (RFC 9112, 3.2): neither is part of
	// a URL.
	switch {
	case absolute:
		c.text(urlFull, h.Target)
		return
	case !strings.HasPrefix(h.Target, "/"):
		return
	}
	c.scratch = append(append(c.scratch, scheme...), "://"...)
	if h.Host != "" {
		c.scratch = append(c.scratch, h.Host...)
	} else if !c.address(x) {
		return
	}
	c.scratch = append(c.scratch, h.Target...)
	c.text(urlFull, alias(c.scratch))
}

// address adds the server's address to a URL; HTTP/1.0 requests may have no Host. It is false if there is no address.
func (c *Converter) address(x *millracev1.Exchange) bool {
	a, ok := netip.AddrFromSlice(x.RemoteAddress)
	if !ok {
		return false
	}
	if a.Is6() {
		c.scratch = append(a.AppendTo(append(c.scratch, '[')), ']')
	} else {
		c.scratch = a.AppendTo(c.scratch)
	}
	if x.RemotePort != 80 {
		c.scratch = strconv.AppendUint(append(c.scratch, ':'), uint64(x.RemotePort), 10)
	}
	return true
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
