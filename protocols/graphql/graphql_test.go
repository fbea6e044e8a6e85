package graphql

import (
	"testing"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/graphql/conversations"
	"millrace.dev/protocols/http1"
)

// TestEdge: what the conversations call secret stays on the node, however they are cut.
func TestEdge(t *testing.T) {
	t.Parallel()
	rules := edge.Rules{Enable: true, Literals: true, Layers: []*edge.Layer{&Edge}}
	edgetest.RunOn(t, edgetest.Follow(&http1.Edge, &rules), true, conversations.List())
}

// TestOff: without the layer nothing of a body leaves the node.
func TestOff(t *testing.T) {
	t.Parallel()
	list := conversations.List()
	for i := range list {
		list[i].Secrets = append(list[i].Secrets, "\"operationName\"", "\"query\":", "NOT_FOUND", "FORBIDDEN")
		list[i].Kept = nil
	}
	edgetest.RunOn(t, edgetest.Follow(&http1.Edge, &edge.Rules{Enable: true, Literals: true}), true, list)
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"/graphql": true, "/api/v1/graphql?x=1": true, "/gql": true, "/graphql/admin": true, "/graphqlx": false, "/": false, "/a?b=/graphql": false,
	} {
		if Target([]byte("POST"), []byte(target)) != want {
			t.Errorf("%s: %v", target, !want)
		}
	}
	if Target([]byte("GET"), []byte("/graphql")) {
		t.Error("GET has no body")
	}
}
