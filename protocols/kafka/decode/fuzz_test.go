package decode

import (
	"math/rand/v2"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/kafka/conversations"
)

func FuzzParser(f *testing.F) {
	for _, v := range conversations.Talks {
		f.Add(decodetest.Script(v.Parts...))
	}
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

// Events that are missing never become an exchange that says what none said, and what follows is understood again.
func TestMissing(t *testing.T) {
	t.Parallel()
	for _, v := range conversations.Talks[:2] {
		for seed := range uint64(300) {
			r := rand.New(rand.NewPCG(seed, 1))
			hole := 1 + r.IntN(20)
			parts := append([]string{}, v.Parts...)
			for id := range 12 { // the hole is in one of them at most
				parts = append(parts, conversations.Ask(0, 2, 100+id, "app", conversations.BE(2, 1)+conversations.BE(4, 1500)+conversations.BE(4, 1)+conversations.Text("last")+conversations.BE(4, 1)+conversations.BE(4, 4)+conversations.Sized(conversations.Old(0, secret))),
					conversations.Answer(100+id, conversations.BE(4, 1)+conversations.Text("last")+conversations.BE(4, 1)+conversations.BE(4, 4)+conversations.BE(2, 0)+conversations.BE(8, 1)+conversations.BE(8, 0)+conversations.BE(4, 0)))
			}
			scan := &run{
				t: t, scan: seed&1 == 0, cut: func(n int) int { return 1 + r.IntN(min(n, 60)) }, missing: func(event int) bool { return event == hole },
			}
			if seed&2 == 0 {
				scan.cut = func(n int) int { return n }
			}
			got := scan.talk(parts)
			for _, g := range got {
				operation, _, _ := strings.Cut(g, ", ")
				switch operation {
				case "send one", "send two", "send last", "send", "poll one", "poll named", "poll", "send 66656463-6261-3938-3736-353433323130":
				default:
					t.Fatalf("%s, event %d: %q was never asked", v.Name, hole, g)
				}
			}
			if seed&2 == 0 && strings.Count(strings.Join(got, "\n"), "send last, producer: partition=4 messages=1") < 11 {
				t.Fatalf("%s, event %d: what follows is not understood: %v", v.Name, hole, got)
			}
			if strings.Contains(scan.kept.String(), secret) {
				t.Fatalf("%s, event %d: a secret left the node", v.Name, hole)
			}
		}
	}
}

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
	for _, text := range first {
		e := shipped(kafka.Edge.New(&edge.Rules{Literals: true}, true), protocols.Client, text)
		kept := e.Payload
		if len(e.Segments) > 1 {
			kept = kept[:e.Segments[1]]
		}
		if g := kafka.Protocol.Recognise(kept, protocols.Client, protocols.Opening); g != protocols.Sure {
			t.Errorf("%d for %q of %q", g, kept, text)
		}
	}
}

// What is benchmarked: a Produce request of version 9 with one record, and its response.
var (
	produceRequest = conversations.Ask(0, 9, 3, "app", "\x00"+"\x00"+conversations.BE(2, 1)+conversations.BE(4, 9)+conversations.Uvarint(2)+conversations.Compact("one")+conversations.Uvarint(2)+conversations.BE(4, 2)+
		conversations.Compact(conversations.Batch(0, 1, conversations.Record("key", strings.Repeat("v", 100), "traceparent", conversations.Parent)))+"\x00\x00\x00")
	produceResponse = conversations.Answer(3, "\x00"+conversations.Uvarint(2)+conversations.Compact("one")+conversations.Uvarint(2)+conversations.BE(4, 2)+conversations.BE(2, 0)+conversations.BE(8, 1)+conversations.BE(8, 1)+conversations.BE(8, 1)+conversations.Uvarint(1)+conversations.Uvarint(0)+"\x00\x00"+conversations.BE(4, 0)+"\x00")
)

// BenchmarkParser reads Produce requests and their responses as the node ships them.
func BenchmarkParser(b *testing.B) {
	var streams [2]stream.Stream
	s := kafka.Edge.New(&edge.Rules{Literals: true}, true)
	events := [2]stream.Event{shipped(s, protocols.Client, produceRequest), shipped(s, protocols.Server, produceResponse)}
	for i := range streams {
		streams[i].StartAt(0)
	}
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Client: true, Sink: &reuse{x: &decode.Exchange{}}}
	c.Attach()
	p := newParser()
	b.ReportAllocs()
	b.SetBytes(int64(len(produceRequest) + len(produceResponse)))
	for b.Loop() {
		for i := range events {
			e := &events[i]
			streams[i].Push(e)
			if p.Parse(c, decode.Open) != decode.Continue {
				b.Fatal("not Kafka")
			}
			streams[i].Settle()
			e.Offset += uint64(e.Length)
		}
	}
	if c.Open() > 0 {
		b.Fatal("an exchange is open")
	}
}

// shipped gives what the node ships of bytes that one call moved.
func shipped(s edge.Scanner, from protocols.End, text string) stream.Event {
	payload := []byte(text)
	var w edge.Writer
	w.Start(payload)
	w.Run(0, 0)
	s.Scan(from, payload, &w)
	kept, segments := w.Kept()
	e := stream.Event{Length: uint32(len(text)), Payload: kept, Meta: stream.Meta{Begin: 1, End: 2}}
	for _, g := range segments {
		e.Segments = append(e.Segments, g.At, g.Length)
	}
	return e
}

// reuse is a sink with one exchange.
type reuse struct{ x *decode.Exchange }

func (s *reuse) New() *decode.Exchange                  { return s.x }
func (*reuse) Started(*decode.Conn, *decode.Exchange)   {}
func (*reuse) Responded(*decode.Conn, *decode.Exchange) {}
func (*reuse) Finished(*decode.Conn, *decode.Exchange)  {}
func (*reuse) Free(*decode.Exchange)                    {}

// BenchmarkEdge scans Produce requests and their responses.
func BenchmarkEdge(b *testing.B) {
	s := kafka.Edge.New(&edge.Rules{Literals: true}, true)
	var w edge.Writer
	payload := make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(produceRequest) + len(produceResponse)))
	for b.Loop() {
		for i, text := range [2]string{produceRequest, produceResponse} {
			payload = append(payload[:0], text...)
			w.Start(payload)
			w.Run(0, 0)
			if s.Scan(protocols.End(i+1), payload, &w) != edge.Following {
				b.Fatal("lost")
			}
		}
	}
}
