package elasticsearch

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/secret"
)

// Protocol is Elasticsearch and OpenSearch. It has no first bytes of its own: it is spoken in exchanges of HTTP.
var Protocol = protocols.Protocol{
	Number: millracev1.Protocol_PROTOCOL_ELASTICSEARCH,
	Name:   "elasticsearch",
}

// Headers by which a server says what it is.
const (
	HeaderElastic    = "x-elastic-product"    // "Elasticsearch", since version 7.14
	HeaderOpenSearch = "x-opensearch-version" // since version 2.13
)

// Edge is the node's half.
var Edge = edge.Layer{
	Protocol: &Protocol,
	Headers:  []edge.LayerHeader{{Name: HeaderElastic, Screen: edge.All(product)}, {Name: HeaderOpenSearch, Screen: edge.All(product)}},
}

// product reports whether a value is a server as it names itself: "Elasticsearch", "OpenSearch/2.19.0 (opensearch)".
func product(value []byte) bool {
	for _, c := range value {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '/', c == '.', c == ' ', c == '(', c == ')', c == '-', c == '_':
		default:
			return false
		}
	}
	return len(value) <= 64 && !secret.Text(value)
}
