package postgres_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/postgres"
	"millrace.dev/protocols/postgres/conversations"
)

func TestEdge(t *testing.T) {
	t.Parallel()
	edgetest.Run(t, &postgres.Edge, conversations.List())
}

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &postgres.Edge, conversations.List()) }
