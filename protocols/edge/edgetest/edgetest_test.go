package edgetest

import "testing"

func TestFramed(t *testing.T) {
	t.Parallel()
	Run(t, &FramedEdge, FramedConversations())
}

func FuzzFramed(f *testing.F) { Fuzz(f, &FramedEdge, FramedConversations()) }
