package elasticsearch

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/secret"
	"millrace.dev/protocols/excerpt"
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
	Body:     &edge.LayerBody{Target: IsBulk, Type: edge.OneForm(isJSON), Response: Bulk},
}

// Places of the response to a bulk request
// (https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk): in each item one member, named after
// its operation.
var (
	BulkStatus = &excerpt.Node{Literal: true}
	BulkError  = &excerpt.Node{Text: excerpt.Name}
	BulkItem   = &excerpt.Node{Others: &excerpt.Node{Fields: map[string]*excerpt.Node{
		"status": BulkStatus, "error": {Fields: map[string]*excerpt.Node{"type": BulkError}},
	}}}
	BulkItems = &excerpt.Node{Items: BulkItem}
	Bulk      = &excerpt.Node{Fields: map[string]*excerpt.Node{"items": BulkItems}}
)

// IsBulk reports whether a request is a bulk request.
func IsBulk(method, target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte{'?'})
	return (string(method) == "POST" || string(method) == "PUT") && bytes.HasSuffix(path, []byte("/_bulk"))
}

// isJSON reports whether a Content-Type is one of bulk requests or of their responses.
func isJSON(contentType []byte) bool {
	name, _, _ := bytes.Cut(bytes.ToLower(contentType), []byte{';'})
	for _, known := range []string{"application/json", "application/x-ndjson", "application/vnd.elasticsearch+json", "application/vnd.elasticsearch+x-ndjson"} {
		if string(bytes.TrimSpace(name)) == known {
			return true
		}
	}
	return false
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
