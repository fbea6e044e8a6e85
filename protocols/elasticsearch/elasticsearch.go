package elasticsearch

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
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
