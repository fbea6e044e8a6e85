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
)

func FuzzParser(f *testing.F) {
	for _, v := range conversations {
		f.Add(decodetest.Script(v.parts...))
	}
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

// Events that are missing never become an exchange that says what none said, and what follows is understood again.
func TestMissing(t *testing.T) {
	t.Parallel()
	for _, v := range conversations[:2] {
		for seed := range uint64(300) {
			r := rand.New(rand.NewPCG(seed, 1))
			hole := 1 + r.IntN(20)
			parts := append([]string{}, v.parts...)
			for id := range 12 { // the hole is in one of them at most
				parts = append(parts, ask(0, 2, 100+id, "app", be(2, 1)+be(4, 1500)+be(4, 1)+s("last")+be(4, 1)+be(4, 4)+sized(old(0, secret))),
					answer(100+id, be(4, 1)+s("last")+be(4, 1)+be(4, 4)+be(2, 0)+be(8, 1)+be(8, 0)+be(4, 0)))
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
					t.Fatalf("%s, event %d: %q was never asked", v.name, hole, g)
				}
			}
			if seed&2 == 0 && strings.Count(strings.Join(got, "\n"), "send last, producer: partition=4 messages=1") < 11 {
				t.Fatalf("%s, event %d: what follows is not understood: %v", v.name, hole, got)
			}
			if strings.Contains(scan.kept.String(), secret) {
				t.Fatalf("%s, event %d: a secret left the node", v.name, hole)
			}
		}
	}
}

// What is benchmarked: a Produce request of version 9 with one record, and its response.
var (
	produceRequest = ask(0, 9, 3, "app", "\x00"+"\x00"+be(2, 1)+be(4, 9)+u(2)+c("one")+u(2)+be(4, 2)+
		c(batch(0, 1, record("key", strings.Repeat("v", 100), "traceparent", parent)))+"\x00\x00\x00")
	produceResponse = answer(3, "\x00"+u(2)+c("one")+u(2)+be(4, 2)+be(2, 0)+be(8, 1)+be(8, 1)+be(8, 1)+u(1)+u(0)+"\x00\x00"+be(4, 0)+"\x00")
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
