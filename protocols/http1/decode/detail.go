package decode

import (
	"bytes"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
)

// Field numbers of HttpExchange in exchange.proto, and of it in Exchange.
const (
	fieldMethod    = 1
	fieldTarget    = 2
	fieldHost      = 3
	fieldStatus    = 4
	fieldVersion   = 5
	fieldUserAgent = 6

	fieldDetail = 30
)

func appendText(dst []byte, field protowire.Number, v []byte) []byte {
	dst = append(dst, byte(field<<3|2))
	return protowire.AppendBytes(dst, v)
}

// appendDetail is [decode.Detail.Append]: what readers of a detail say of it is what is said of x.
func appendDetail(dst []byte, x *decode.Exchange) []byte {
	var method, original, scheme, path, query, full []byte
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		switch n {
		case attrMethod:
			method = v.Text
		case attrMethodOriginal:
			original = v.Text
		case attrStatus:
			dst = protowire.AppendVarint(append(dst, fieldStatus<<3), uint64(v.Number))
		case attrVersion:
			dst = appendText(dst, fieldVersion, v.Text)
		case attrUserAgent:
			dst = appendText(dst, fieldUserAgent, v.Text)
		case attrScheme:
			scheme = v.Text
		case attrPath:
			path = v.Text
		case attrQuery:
			query = v.Text
		case attrURL:
			full = v.Text
		}
		return true
	})
	if _, listed := methods[string(method)]; !listed {
		method = original
	}
	dst = appendText(dst, fieldMethod, method)
	var target []byte
	switch {
	case len(path) > 0 || len(query) > 0: // at a server
		if len(scheme) > 0 && string(scheme) != "http" {
			target = append(append(append(target, scheme...), aboutScheme...), x.Said.ServerName...)
		}
		if target = append(target, path...); len(query) > 0 {
			target = append(append(target, '?'), query...)
		}
	case len(full) > 0:
		target = full
	default: // of no URL
		target = x.Said.Path
	}
	dst = appendText(dst, fieldTarget, target)
	return appendText(dst, fieldHost, joinHost(x.Said.ServerName, x.Said.ServerPort))
}

// joinHost gives what splitHost takes apart.
func joinHost(host []byte, port uint32) []byte {
	if bytes.IndexByte(host, ':') >= 0 {
		host = append(append([]byte{'['}, host...), ']')
	}
	if port == 0 {
		return host
	}
	return strconv.AppendUint(append(bytes.Clone(host), ':'), uint64(port), 10)
}

// readDetail is [decode.Detail.Read]. Of a field that comes twice the last counts, as for all readers of protobuf.
func readDetail(x *decode.Exchange, b []byte, at decode.Place) {
	var method, target, host, version, userAgent []byte
	status := uint64(0)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
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
			return
		}
		b = b[n:]
		switch number {
		case fieldMethod:
			method = text
		case fieldTarget:
			target = text
		case fieldHost:
			host = text
		case fieldStatus:
			status = v
		case fieldVersion:
			version = text
		case fieldUserAgent:
			userAgent = text
		default:
		}
	}
	minor := byte(0)
	if len(version) == 3 {
		minor = version[2]
	}
	layer := x.Said
	x.Said = decode.Said{}
	sayRequest(x, at.Client, method, target[:min(len(target), maxTarget)], minor)
	if host != nil {
		sayHost(x, host)
	}
	x.Said.Attributes.Text(attrUserAgent, userAgent)
	if status != 0 {
		sayStatus(x, at.Client, uint32(status))
	}
	x.Said.Override(&layer)
}
