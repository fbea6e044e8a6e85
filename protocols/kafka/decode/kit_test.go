package decode

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/kafka/conversations"
)

var kit = decodetest.Kit{
	Known: &kafka.Protocol, Decode: Protocol, Edge: &kafka.Edge, Rules: edge.Rules{Literals: true}, Client: true, Probe: probe,
	Unnamed: regexp.MustCompile(`^poll$|^poll [0-9a-f-]{36}$`),
}

// probe is a Produce request of version 2 and its response.
func probe(n int) []decodetest.Piece {
	partition := conversations.BE(4, 1) + conversations.Text("last") + conversations.BE(4, 1) + conversations.BE(4, 4)
	return []decodetest.Piece{
		decodetest.Client(conversations.Ask(0, 2, 100+n, "app", conversations.BE(2, 1)+conversations.BE(4, 1500)+partition+
			conversations.Sized(conversations.Old(0, conversations.Secret)))),
		decodetest.Server(conversations.Answer(100+n, partition+conversations.BE(2, 0)+conversations.BE(8, 1)+conversations.BE(8, 0)+
			conversations.BE(4, 0))),
	}
}

// tokens is the conversation with tokens that have no headers.
func tokens(c decodetest.Conversation) bool { return c.Name == "tokens" }

func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, slices.DeleteFunc(conversations.List(), tokens)...)
}

// TestTokens: behind tokens without headers, a request is found at the start of an event.
func TestTokens(t *testing.T) {
	t.Parallel()
	k := kit
	k.Whole, k.Golden = true, "testdata/tokens.golden"
	k.Run(t, slices.DeleteFunc(conversations.List(), func(c decodetest.Conversation) bool { return !tokens(c) })...)
}

func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }

// TestRecognised: the decoder recognises a connection by what the node keeps of its first request, whatever that is.
func TestRecognised(t *testing.T) {
	t.Parallel()
	first := []string{
		conversations.Sized("\x00\x12\x00\x00\x00\x00\x00\x00\xff\xff"), conversations.Sized("\x00\x03\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff"),
		conversations.Sized("\x00\x12\x00\x04\x00\x00\x00\x00\xff\xff\x00\x05java\x064.1.0"), conversations.Sized("\x00\x11\x00\x01\x00\x00\x00\x00\xff\xff\x00\x05PLAIN"),
		conversations.Sized("\x00\x03\x00\x0c\x00\x00\x00\x00\xff\xff\x00\x01\x01\x01"),
	}
	for _, talk := range conversations.Talks {
		for i := 0; i < len(talk.Parts); i += 2 {
			if talk.Name != "tokens" || i == 0 {
				first = append(first, talk.Parts[i])
			}
		}
	}
	start := edgetest.Follow(&kafka.Edge, &edge.Rules{Literals: true})
	for _, text := range first {
		for _, e := range start(false, protocols.Client).Pass(&edgetest.Event{From: protocols.Client, Length: uint32(len(text)), Bytes: []byte(text)}) {
			kept := e.Bytes[:e.Segments[0].Length]
			if g := kafka.Protocol.Recognise(kept, protocols.Client, protocols.Opening); g != protocols.Sure {
				t.Errorf("%d for %q of %q", g, kept, text)
			}
		}
	}
}

// TestOldState: the state of the version before, of a response whose topics were read, comes back.
func TestOldState(t *testing.T) {
	t.Parallel()
	facts := newParser().responses.facts
	b := facts.AppendState(nil)
	if !facts.RestoreState(b[:len(b)-1]) {
		t.Error("state of version 1 is refused")
	}
}

// What is benchmarked: a Produce request of version 9 with one record, and its response.
var produced = []decodetest.Piece{
	decodetest.Client(conversations.Ask(0, 9, 3, "app", "\x00\x00"+conversations.BE(2, 1)+conversations.BE(4, 9)+conversations.Uvarint(2)+
		conversations.Compact("one")+conversations.Uvarint(2)+conversations.BE(4, 2)+
		conversations.Compact(conversations.Batch(0, 1, conversations.Record("key", strings.Repeat("v", 100), "traceparent", conversations.Parent)))+
		"\x00\x00\x00")),
	decodetest.Server(conversations.Answer(3, "\x00"+conversations.Uvarint(2)+conversations.Compact("one")+conversations.Uvarint(2)+
		conversations.BE(4, 2)+conversations.BE(2, 0)+conversations.BE(8, 1)+conversations.BE(8, 1)+conversations.BE(8, 1)+
		conversations.Uvarint(1)+conversations.Uvarint(0)+"\x00\x00"+conversations.BE(4, 0)+"\x00")),
}

func BenchmarkParser(b *testing.B) { kit.Benchmark(b, produced...) }
func BenchmarkEdge(b *testing.B)   { edgetest.Benchmark(b, &kafka.Edge, produced...) }
