package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	known "millrace.dev/protocols/tls"
	"millrace.dev/protocols/tls/conversations"
)

var kit = decodetest.Kit{Known: &known.Protocol, Decode: Protocol, Edge: &known.Edge}

func kitConversations() (list []decodetest.Conversation) {
	for _, c := range conversations.List() {
		list = append(list, decodetest.Conversation{Name: c.Name, Pieces: c.Pieces})
	}
	return list
}

// TestKit reads conversations in every way in which they may come.
func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, kitConversations()...)
}

func FuzzKit(f *testing.F) { kit.Fuzz(f, kitConversations()...) }
