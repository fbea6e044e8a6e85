package kafka_test

import (
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/kafka/conversations"
)

func TestEdge(t *testing.T) {
	t.Parallel()
	edgetest.Run(t, &kafka.Edge, conversations.List())
}

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &kafka.Edge, conversations.List()) }
