package http2_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http2"
	"millrace.dev/protocols/http2/conversations"
)

func TestEdge(t *testing.T) { t.Parallel(); edgetest.Run(t, &http2.Edge, conversations.List()) }
func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &http2.Edge, conversations.List()) }
