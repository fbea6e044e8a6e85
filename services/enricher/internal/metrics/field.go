package metrics

import (
	"slices"

	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// field is a fact that can be an attribute.
type field struct {
	// name of the attribute.
	name string
	// append appends the value, or that there is none.
	append func(dst []byte, f *facts) []byte
}

// fieldNamed are the fields that are more than an attribute of the exchange.
var fieldNamed = mustName(commonFields, edgeFields, pathFields)

// mustName gives the fields of all lists by their names. Two of one name are a mistake in the program, which would
// silently show one fact as another.
func mustName(lists ...[]field) map[string]*field {
	all := slices.Concat(lists...)
	named := make(map[string]*field, len(all))
	for i := range all {
		if named[all[i].name] != nil {
			panic("two fields of metrics are named " + all[i].name)
		}
		named[all[i].name] = &all[i]
	}
	return named
}

var commonFields = []field{
	{"error.type", func(dst []byte, f *facts) []byte { return appendText(dst, f.status.Type) }},
	{"server.address", func(dst []byte, f *facts) []byte {
		switch {
		case f.serverName != "":
			return appendText(dst, f.serverName)
		case f.x.Transport == millracev1.Transport_TRANSPORT_UNIX:
			return appendText(dst, f.x.UnixPath)
		}
		return appendAddress(dst, f.serverIP())
	}},
	{"server.port", func(dst []byte, f *facts) []byte {
		if f.serverPort == 0 {
			return append(dst, absent)
		}
		return appendNumber(dst, uint64(f.serverPort))
	}},
	{"client.address", func(dst []byte, f *facts) []byte { return appendAddress(dst, f.clientIP()) }},
	{"network.peer.address", func(dst []byte, f *facts) []byte {
		if peer := f.joined.Peer; peer != nil && len(peer.LocalAddress) != 0 {
			return appendAddress(dst, peer.LocalAddress)
		}
		return appendAddress(dst, f.x.RemoteAddress)
	}},
	{"network.transport", func(dst []byte, f *facts) []byte {
		switch f.x.Transport {
		case millracev1.Transport_TRANSPORT_TCP:
			return appendText(dst, "tcp")
		case millracev1.Transport_TRANSPORT_UDP:
			return appendText(dst, "udp")
		case millracev1.Transport_TRANSPORT_UNIX:
			return appendText(dst, "unix")
		default:
			return append(dst, absent)
		}
	}},
	{"peer.service", func(dst []byte, f *facts) []byte {
		if f.peer == nil {
			return append(dst, absent)
		}
		return appendText(dst, f.peer.name)
	}},
	{"service", func(dst []byte, f *facts) []byte { return appendText(dst, f.source.name) }},
	{"service.namespace", func(dst []byte, f *facts) []byte { return appendText(dst, f.source.namespace) }},
	{"span.name", func(dst []byte, f *facts) []byte {
		f.name = spans.AppendName(f.name[:0], f.x, f.route)
		return appendText(dst, f.name)
	}},
	{"span.kind", func(dst []byte, f *facts) []byte {
		return appendText(dst, spans.KindOf(f.x).String())
	}},
	{"status.code", func(dst []byte, f *facts) []byte {
		if f.status.Error {
			return appendText(dst, "STATUS_CODE_ERROR")
		}
		return appendText(dst, "STATUS_CODE_UNSET")
	}},
}
