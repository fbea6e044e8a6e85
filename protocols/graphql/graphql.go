package graphql

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/excerpt"
)

// Protocol is GraphQL. It has no first bytes of its own: it is spoken in exchanges of HTTP.
var Protocol = protocols.Protocol{
	Number: millracev1.Protocol_PROTOCOL_GRAPHQL,
	Name:   "graphql",
}

// Places of a request: the members of a request, or of each one of a batch.
var (
	Document  = &excerpt.Node{Text: excerpt.Document}
	Name      = &excerpt.Node{Text: excerpt.Name}
	Persisted = &excerpt.Node{Fields: map[string]*excerpt.Node{}}
	Request   = withItems(&excerpt.Node{Fields: map[string]*excerpt.Node{
		"query": Document, "operationName": Name, "extensions": {Fields: map[string]*excerpt.Node{"persistedQuery": Persisted}},
	}})
)

// Places of a response, likewise.
var (
	Code     = &excerpt.Node{Text: excerpt.Name}
	Error    = &excerpt.Node{Fields: map[string]*excerpt.Node{"extensions": {Fields: map[string]*excerpt.Node{"code": Code}}}}
	Response = withItems(&excerpt.Node{Fields: map[string]*excerpt.Node{"errors": {Items: Error}}})
)

// withItems makes a batch of what n is a place in.
func withItems(n *excerpt.Node) *excerpt.Node {
	n.Items = &excerpt.Node{Fields: n.Fields}
	return n
}

// Edge is the node's half. Of requests the types and names of operations leave the node, of responses that there are
// errors, and their codes.
var Edge = edge.Layer{
	Protocol: &Protocol,
	Body:     &edge.LayerBody{Target: Target, Type: edge.OneForm(IsJSON), Request: Request, Response: Response},
}

// Target reports whether a request may be one of GraphQL: POST to a path with a segment "graphql" or "gql".
func Target(method, target []byte) bool {
	if string(method) != "POST" {
		return false
	}
	path, _, _ := bytes.Cut(target, []byte{'?'})
	for len(path) > 0 {
		var segment []byte
		segment, path, _ = bytes.Cut(path, []byte{'/'})
		if string(segment) == "graphql" || string(segment) == "gql" {
			return true
		}
	}
	return false
}

// IsJSON reports whether a content type is one of requests and responses of GraphQL.
func IsJSON(contentType []byte) bool {
	name, _, _ := bytes.Cut(contentType, []byte{';'})
	switch string(bytes.ToLower(bytes.TrimSpace(name))) {
	case "application/json", "application/graphql-response+json", "application/graphql+json":
		return true
	}
	return false
}
