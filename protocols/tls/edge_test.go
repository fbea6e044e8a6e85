package tls_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/tls"
	"millrace.dev/protocols/tls/conversations"
)

func TestEdge(t *testing.T) {
	t.Parallel()
	edgetest.Run(t, &tls.Edge, conversations.List())
}

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &tls.Edge, conversations.List()) }
