package decode

import (
	"bytes"
	"net/netip"
	"strconv"

	"millrace.dev/protocols/decode"
)

// Names of attributes, of the semantic conventions for HTTP (stable):
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
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

// method is what requests with a method say alike.
type method struct {
	// name in spans.
	name string
	// said are the method and the name of the protocol, with the minor version: of 1.0, of 1.1, of another.
	said [3]decode.Attributes
}

// methods are those that the conventions list (RFC 9110, PATCH of RFC 5789); otherMethod is what stands for all others
// in the conventions.
var (
	methods = func() map[string]*method {
		m := map[string]*method{}
		for _, name := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"} {
			m[name] = newMethod(name, name)
		}
		return m
	}()
	otherMethod = newMethod("HTTP", "_OTHER")
)

func newMethod(name, value string) *method {
	m := &method{name: name}
	for i, version := range []string{"1.0", "1.1", ""} {
		m.said[i].String(attrMethod, value)
		m.said[i].String(attrProtocol, "http")
		m.said[i].String(attrVersion, version)
	}
	return m
}

// schemes are what requests at a server say of the scheme that their target does not name.
var schemes = func() (a decode.Attributes) {
	a.String(attrScheme, "http")
	return a
}()

// sayRequest says what the request line tells. minor is the digit of the version, 0 if it is not known. At a client it
// leaves in Scratch what conclude makes a URL of.
func sayRequest(x *decode.Exchange, client bool, name, target []byte, minor byte) {
	s := &x.Said
	s.Family = decode.HTTP
	m := methods[string(name)] // methods are case-sensitive
	if m == nil {
		m = otherMethod
		s.Attributes.Text(attrMethodOriginal, name)
	}
	s.Operation = append(s.Operation[:0], m.name...)
	switch minor {
	case '0', '1':
		s.Attributes.Add(&m.said[minor-'0'])
	default:
		s.Attributes.Add(&m.said[2])
		if minor != 0 {
			s.Attributes.Text(attrVersion, []byte{'1', '.', minor})
		}
	}
	scheme, path, query := splitTarget(target)
	s.Path = append(s.Path[:0], path...)
	switch {
	case !client:
		if len(scheme) == 0 {
			s.Attributes.Add(&schemes)
		} else {
			s.Attributes.Text(attrScheme, scheme)
		}
		s.Attributes.Text(attrPath, path)
		s.Attributes.Text(attrQuery, query)
	case len(scheme) > 0:
		s.Attributes.Text(attrURL, target)
	case len(target) > 0 && target[0] == '/':
		x.Scratch = append(append(x.Scratch[:0], byte(len(target)), byte(len(target)>>8)), target...)
	}
}

// sayHost says what the Host header, or the authority of an absolute target, tells.
func sayHost(x *decode.Exchange, hostport []byte) {
	host, port := splitHost(hostport)
	x.Said.ServerName, x.Said.ServerPort = append(x.Said.ServerName[:0], host...), port
	if len(x.Scratch) > 0 {
		x.Scratch = append(x.Scratch, hostport...)
	}
}

// sayStatus says what the status line of the response tells. 4xx is the client's own mistake: an error at the client,
// not at the server.
func sayStatus(x *decode.Exchange, client bool, status uint32) {
	x.Said.Attributes.Number(attrStatus, int64(status))
	if status >= 500 || status >= 400 && client {
		x.Said.ErrorType = strconv.AppendUint(x.Said.ErrorType[:0], uint64(status), 10)
	}
}

// conclude is [decode.Protocol.Conclude]: it writes url.full, unless a layer has. The request target of CONNECT is an
// authority and that of OPTIONS may be "*" (RFC 9112 section 3.2): neither is part of a URL. HTTP/1.0 requests may have
// no Host: then it is the address.
func conclude(x *decode.Exchange, at decode.Place) {
	if len(x.Scratch) < 2 {
		return
	}
	target := x.Scratch[2:]
	n := min(int(x.Scratch[0])|int(x.Scratch[1])<<8, len(target))
	target, host := target[:n], target[n:]
	x.Scratch = x.Scratch[:0]
	if x.Said.Protocol != 0 && x.Said.Attributes.Has(attrURL) {
		return
	}
	var room [64]byte
	if len(host) == 0 {
		if host = appendAddress(room[:0], at); len(host) == 0 {
			return
		}
	}
	x.Said.Attributes.Joined(attrURL, beforeHost, host, target)
}

var beforeHost = []byte("http://")

// appendAddress appends the address of the other end as a URL has it; nothing if there is none.
func appendAddress(dst []byte, at decode.Place) []byte {
	address, ok := netip.AddrFromSlice(at.RemoteAddress)
	if !ok {
		return dst
	}
	if address.Is6() {
		dst = append(address.AppendTo(append(dst, '[')), ']')
	} else {
		dst = address.AppendTo(dst)
	}
	if at.RemotePort != 80 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(at.RemotePort), 10)
	}
	return dst
}

// splitTarget takes a request target apart: "/a?b", "http://example.org/a?b". The scheme is empty where the target does
// not tell. The path of a target that is no URL is the target.
func splitTarget(target []byte) (scheme, path, query []byte) {
	if len(target) > 0 && target[0] != '/' {
		if i := bytes.Index(target, aboutScheme); i > 0 && !bytes.ContainsAny(target[:i], "/?#") {
			scheme, target = target[:i], target[i+len(aboutScheme):]
			if i := bytes.IndexAny(target, "/?"); i >= 0 {
				target = target[i:]
			} else {
				target = rootPath
			}
		}
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		return scheme, target[:i], target[i+1:]
	}
	return scheme, target, nil
}

var aboutScheme, rootPath = []byte("://"), []byte("/")

// splitHost takes a Host header apart: "example.org:8080", "[::1]:8080". The port is 0 if there is none.
func splitHost(hostport []byte) (host []byte, port uint32) {
	host = hostport
	if i := bytes.LastIndexByte(hostport, ':'); i >= 0 && hostport[len(hostport)-1] != ']' {
		// Two colons without brackets are a bare IPv6 address.
		if bytes.IndexByte(hostport, ':') == i || i > 0 && hostport[i-1] == ']' {
			if n, ok := portOf(hostport[i+1:]); ok {
				host, port = hostport[:i], n
			}
		}
	}
	if len(host) > 0 && host[0] == '[' {
		host = host[1:]
	}
	if n := len(host); n > 0 && host[n-1] == ']' {
		host = host[:n-1]
	}
	return host, port
}

// portOf reads a port.
func portOf(digits []byte) (port uint32, ok bool) {
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		if port = port*10 + uint32(c-'0'); port > 0xffff {
			return 0, false
		}
	}
	return port, len(digits) > 0
}
