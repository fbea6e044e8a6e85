package decode

import (
	"slices"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/kafka/conversations"
)

var kit = decodetest.Kit{Known: &kafka.Protocol, Decode: Protocol, Edge: &kafka.Edge, Rules: edge.Rules{Literals: true}}

func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, slices.DeleteFunc(conversations.List(), func(c decodetest.Conversation) bool {
		return c.Name == "tokens" // behind tokens without headers, a request is found at the start of an event
	})...)
}

func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }
