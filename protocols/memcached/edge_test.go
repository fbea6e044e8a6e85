package memcached_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/memcached"
	"millrace.dev/protocols/memcached/conversations"
)

func TestEdge(t *testing.T) {
	t.Parallel()
	edgetest.Run(t, &memcached.Edge, conversations.List())
}

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &memcached.Edge, conversations.List()) }
