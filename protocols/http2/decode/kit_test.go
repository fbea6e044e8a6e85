package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	grpc "millrace.dev/protocols/grpc/conversations"
	known "millrace.dev/protocols/http2"
	"millrace.dev/protocols/http2/conversations"
)

var kit = decodetest.Kit{Known: &known.Protocol, Decode: Protocol, Edge: &known.Edge, Rules: edge.Rules{Heads: shows{}}}

func kitConversations() []decodetest.Conversation {
	request, response := talkOf(3)
	return append(append(conversations.List(), grpc.ListHTTP2()...), decodetest.Conversation{
		Name: "calls",
		Pieces: []decodetest.Piece{
			decodetest.Client(known.Preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"), decodetest.Server("\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
			decodetest.Client(string(request)), decodetest.Server(string(response)),
		},
	})
}

func TestKit(t *testing.T) { t.Parallel(); kit.Run(t, kitConversations()...) }
func FuzzKit(f *testing.F) { kit.Fuzz(f, kitConversations()...) }
