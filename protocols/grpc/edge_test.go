package grpc_test

import (
	"testing"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/grpc"
	"millrace.dev/protocols/grpc/conversations"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/http2"
)

// TestEdge: what the conversations call secret stays on the node, however they are cut.
func TestEdge(t *testing.T) {
	t.Parallel()
	rules := edge.Rules{Enable: true, Literals: true, Layers: []*edge.Layer{&grpc.Edge}}
	edgetest.RunOn(t, edgetest.Follow(&http1.Edge, &rules), true, conversations.List())
}

// TestEdgeHTTP2 is the same over HTTP/2.
func TestEdgeHTTP2(t *testing.T) {
	t.Parallel()
	rules := edge.Rules{Enable: true, Literals: true}
	heads, err := http1.NewHeads(&rules)
	if err != nil {
		t.Fatal(err)
	}
	rules.Heads = heads
	edgetest.RunOn(t, edgetest.Follow(&http2.Edge, &rules), true, conversations.ListHTTP2())
}
