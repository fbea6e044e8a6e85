package http1_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/http1/conversations"
)

func TestEdge(t *testing.T) { t.Parallel(); edgetest.Run(t, &http1.Edge, conversations.List()) }

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &http1.Edge, conversations.List()) }
