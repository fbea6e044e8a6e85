package spans

import (
	"strings"
	"unicode/utf8"

	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// KindOf gives the kind of an exchange's span: what the protocol says, else by side.
func KindOf(x *millracev1.Exchange) millracev1.SpanKind {
	if x.Kind > millracev1.SpanKind_SPAN_KIND_UNSPECIFIED && x.Kind <= millracev1.SpanKind_SPAN_KIND_CONSUMER {
		return x.Kind
	}
	if x.Side == millracev1.Side_SIDE_CLIENT {
		return millracev1.SpanKind_SPAN_KIND_CLIENT
	}
	return millracev1.SpanKind_SPAN_KIND_SERVER
}

// IsServer reports whether this end is the server. To those who send and receive messages the broker is, also where it
// begins the exchange to deliver one.
func IsServer(x *millracev1.Exchange) bool {
	if kind := KindOf(x); kind == millracev1.SpanKind_SPAN_KIND_PRODUCER || kind == millracev1.SpanKind_SPAN_KIND_CONSUMER {
		return false
	}
	return x.Side == millracev1.Side_SIDE_SERVER
}

// AppendName appends the name of the exchange's span. route is the low-cardinality form of its path, empty if there is
// none.
func AppendName(dst []byte, x *millracev1.Exchange, route string) []byte {
	if x.Operation == "" {
		dst = append(dst, x.Protocol.String()...)
	} else {
		dst = append(dst, x.Operation...)
	}
	if route != "" {
		dst = append(append(dst, ' '), route...)
	}
	return dst
}

var statusCode = attribute.Named("http.response.status_code")

// said adds what the protocol says of the exchange, and what follows from it.
func (c *Encoder) said(x *millracev1.Exchange, list []attribute.Attribute, route string) {
	e := &c.e
	answered := false
	for i := range list {
		c.attribute(&list[i])
		answered = answered || list[i].Name == statusCode
	}
	c.serverAddress(x)
	if x.Family != millracev1.Family_FAMILY_HTTP {
		return
	}
	// https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable)
	if x.Side == millracev1.Side_SIDE_SERVER {
		text(e, "http.route", route)
	} else {
		text(e, "url.template", route)
	}
	// A body of 0 bytes is a size too: absent would mean that it is not known.
	e.number("http.request.body.size", int64(x.RequestBodyBytes))
	if answered {
		e.number("http.response.body.size", int64(x.ResponseBodyBytes))
	}
}

// attribute copies an attribute.
func (c *Encoder) attribute(a *attribute.Attribute) {
	e := &c.e
	switch a.Kind {
	case attribute.Text:
		v := a.Bytes
		if !utf8.Valid(v) {
			v = []byte(strings.ToValidUTF8(string(v), "\uFFFD"))
		}
		if len(v) > 0 {
			e.beginName(a.Name, 1+varintSize(uint64(len(v)))+len(v))
			appendField(e, tagString, v)
		}
	case attribute.Number:
		e.beginName(a.Name, 1+varintSize(a.Bits))
		e.varint(tagInt, a.Bits)
	case attribute.Real:
		e.beginName(a.Name, 9)
		e.fixed(tagDouble, a.Bits)
	case attribute.Yes:
		e.beginName(a.Name, 2)
		e.varint(tagBool, a.Bits)
	case attribute.Texts:
		list := encoder{b: c.scratch[:0]}
		attribute.Each(a.Bytes, func(v []byte) {
			if utf8.Valid(v) {
				appendField(&list, tagListed, v)
			} else {
				appendText(&list, tagListed, string(v))
			}
		})
		c.scratch = list.b
		e.beginName(a.Name, 1+varintSize(uint64(len(list.b)))+len(list.b))
		appendField(e, tagStrings, list.b)
	case attribute.None: // of a later release
	}
}

// serverAddress adds server.address and server.port: as the client named it, else of the connection.
func (c *Encoder) serverAddress(x *millracev1.Exchange) {
	e := &c.e
	address, port := x.RemoteAddress, x.RemotePort
	if IsServer(x) {
		address, port = x.LocalAddress, x.LocalPort
	}
	switch {
	case x.ServerName != "":
		text(e, "server.address", x.ServerName)
	case x.Transport == millracev1.Transport_TRANSPORT_UNIX:
		text(e, "server.address", x.UnixPath)
	default:
		textBytes(e, "server.address", c.address(address))
	}
	if x.ServerPort != 0 {
		port = x.ServerPort
	}
	c.port("server.port", port)
}

// link adds the context of a message that the exchange carried. Ids that are all zeros are none.
func (c *Encoder) link(l *millracev1.TraceContext) {
	if len(l.TraceId) != 16 || [16]byte(l.TraceId) == ([16]byte{}) || l.SpanId == 0 {
		return
	}
	link := encoder{b: c.scratch[:0]}
	appendField(&link, tagLinkTraceID, l.TraceId)
	link.fixed(tagLinkSpanID, l.SpanId)
	if l.Flags != 0 {
		link.varint(tagLinkFlags, uint64(l.Flags))
	}
	if l.Tracestate != "" {
		appendText(&link, tagLinkTracestate, l.Tracestate)
	}
	c.scratch = link.b
	appendField(&c.e, tagSpanLink, link.b)
}
