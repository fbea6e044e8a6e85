// Package decode describes exchanges of HTTP that are requests of GraphQL.
package decode

import (
	"bytes"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/excerpt"
	"millrace.dev/protocols/graphql"
)

// Layer reads exchanges of HTTP.
var Layer = decode.Layer{
	Protocol: &graphql.Protocol,
	Target:   graphql.Target,
	Wants: func(h *decode.Head) protocols.Guess {
		if graphql.Target(h.Method, h.Target) && graphql.IsJSON(h.RequestType) {
			return protocols.Sure
		}
		return protocols.No
	},
	Bodies: bodies,
}

// Attributes, https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/, and our own.
var (
	attrName  = decode.Attribute("graphql.operation.name")
	attrType  = decode.Attribute("graphql.operation.type")
	attrBatch = decode.Attribute("millrace.graphql.batch.size")
)

// request is what the body of a request says.
type request struct {
	operations []operation // of one document
	wanted     string      // operationName
	persisted  bool
}

type operation struct{ kind, name string }

// chosen gives the operation that a request asks for.
func (q *request) chosen() (o operation, ok bool) {
	for _, o := range q.operations {
		if len(q.operations) == 1 || o.name == q.wanted {
			return o, true
		}
	}
	return operation{name: q.wanted}, q.persisted && len(q.operations) == 0
}

// maxRequests is how many requests of a batch, and how many operations of a document are looked at.
const maxRequests = 64

func readRequests(body []byte) (list []request) {
	var q *request
	excerpt.New(graphql.Request, nil, func(e excerpt.Event) {
		switch {
		case e.Kind == excerpt.Open && len(list) < maxRequests && isRequest(e.Node):
			list = append(list, request{})
			q = &list[len(list)-1]
		case q == nil:
		case e.Kind == excerpt.Operation && len(q.operations) < maxRequests:
			q.operations = append(q.operations, operation{string(e.Text), string(e.Name)})
		case e.Kind == excerpt.Value && e.Node == graphql.Name:
			q.wanted = string(e.Text)
		case e.Kind == excerpt.Open && e.Node == graphql.Persisted:
			q.persisted = true
		}
	}).Read(body)
	return list
}

// isRequest reports whether a place is a request: the body as an object, or an element of it as an array.
func isRequest(n *excerpt.Node) bool { return n == graphql.Request || n == graphql.Request.Items }

// readErrors counts the errors of a response, and gives the code of the first that has one.
func readErrors(body []byte) (count int, code []byte) {
	excerpt.New(graphql.Response, nil, func(e excerpt.Event) {
		switch {
		case e.Kind == excerpt.Open && e.Node == graphql.Error:
			count++
		case e.Kind == excerpt.Value && e.Node == graphql.Code && code == nil:
			code = bytes.Clone(e.Text)
		}
	}).Read(body)
	return count, code
}

// bodies says what the bodies tell. A body that says nothing of GraphQL leaves the exchange to HTTP.
func bodies(x *decode.Exchange, h *decode.Head, asked, answered []byte) bool {
	list := readRequests(asked)
	if isBatch := len(asked) > 0 && asked[0] == '['; isBatch && len(list) > 0 {
		list = list[1:] // the array itself
	}
	if len(list) == 0 {
		return false
	}
	first, ok := list[0].chosen()
	if !ok {
		return false
	}
	same := true
	for i := range list[1:] {
		other, known := list[i+1].chosen()
		same = same && known && other.kind == first.kind
	}
	s := &x.Said
	s.Family, s.Path = decode.HTTP, s.Path[:0] // the name of the span has no route
	s.Operation = append(s.Operation[:0], "GraphQL Operation"...)
	if same && first.kind != "" {
		s.Operation = append(s.Operation[:0], first.kind...)
		s.Attributes.String(attrType, first.kind)
	}
	if len(list) > 1 {
		s.Attributes.Number(attrBatch, int64(len(list)))
	} else if first.name != "" {
		if first.kind != "" {
			s.Operation = append(append(s.Operation, ' '), first.name...)
		}
		s.Attributes.String(attrName, first.name)
	}
	if count, code := readErrors(answered); count > 0 && (h.Client || h.Status < 400) {
		if code == nil {
			code = []byte("_OTHER")
		}
		s.ErrorType = append(s.ErrorType[:0], code...)
	}
	return true
}
