package mongodb_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/conversations"
)

func TestEdge(t *testing.T) {
	t.Parallel()
	edgetest.Run(t, &mongodb.Edge, conversations.List())
}

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &mongodb.Edge, conversations.List()) }
