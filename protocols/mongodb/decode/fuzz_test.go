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
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/conversations"
)

func FuzzParser(f *testing.F) {
	for _, v := range conversations.Talks {
		f.Add(decodetest.Script(v.Parts...))
	}
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

// Events that are missing, duplicated or damaged never become an exchange that says what none said, and what follows
// them is understood again.
func TestMissing(t *testing.T) {
	t.Parallel()
	for _, v := range conversations.Talks {
		known := map[string]bool{"find": true, "insert": true, "mongodb": true}
		for _, w := range wants[v.Name] {
			operation, _, _ := strings.Cut(w, " ")
			known[strings.TrimSuffix(operation, ":")] = true
		}
		for seed := range uint64(200) {
			r := rand.New(rand.NewPCG(seed, 1))
			hole := 1 + r.IntN(20)
			parts := append([]string{}, v.Parts...)
			for id := range 12 { // the hole is in one of them at most
				parts = append(parts, msg(77+id, 0, 0, d{"find", "last", "$db", "x"}), msg(999+id, 77+id, 0, d{"ok", 1}))
			}
			scan := &run{
				t: t, scan: seed&1 == 0, cut: func(n int) int { return 1 + r.IntN(min(n, 60)) }, missing: func(event int) bool { return event == hole },
			}
			if seed&2 == 0 {
				scan.cut = func(n int) int { return n }
			}
			got := scan.talk(parts)
			for _, g := range got {
				operation, _, _ := strings.Cut(strings.TrimSuffix(g, ":"), " ")
				if operation = strings.TrimSuffix(operation, ":"); !known[operation] {
					t.Fatalf("%s, event %d: %q was never asked", v.Name, hole, g)
				}
			}
			if seed&2 == 0 && strings.Count(strings.Join(got, "\n"), "find last:") < 11 {
				t.Fatalf("%s, event %d: what follows is not understood: %v", v.Name, hole, got)
			}
			if strings.Contains(scan.kept.String(), secret) {
				t.Fatalf("%s, event %d: a secret left the node", v.Name, hole)
			}
		}
	}
}

// BenchmarkParser reads finds and their replies as the node ships them.
func BenchmarkParser(b *testing.B) {
	request := msg(2, 0, 0, d{"find", "users", "filter", d{"name", secret, "age", d{"$gt", 18}}, "lsid", lsid, "$db", "shop"})
	reply := msg(901, 2, 0, d{"cursor", d{"firstBatch", []d{{"_id", 1, "name", "x"}, {"_id", 2, "name", "y"}}, "id", int64(0), "ns", "shop.users"}, "ok", 1.0})
	var streams [2]stream.Stream
	events := [2]stream.Event{shipped(protocols.Client, request), shipped(protocols.Server, reply)}
	for i := range streams {
		streams[i].StartAt(0)
	}
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Sink: &reuse{x: &decode.Exchange{}}}
	c.Attach()
	p := newParser()
	b.ReportAllocs()
	b.SetBytes(int64(len(request) + len(reply)))
	for b.Loop() {
		for i := range events {
			e := &events[i]
			streams[i].Push(e)
			if p.Parse(c, decode.Open) != decode.Continue {
				b.Fatal("not MongoDB")
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
func shipped(from protocols.End, text string) stream.Event {
	payload := []byte(text)
	var w edge.Writer
	w.Start(payload)
	w.Run(0, 0)
	mongodb.Edge.New(&edge.Rules{Literals: true}, true).Scan(from, payload, &w)
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

// BenchmarkEdge scans finds and their replies.
func BenchmarkEdge(b *testing.B) {
	request := msg(2, 0, 0, d{"find", "users", "filter", d{"name", secret, "age", d{"$gt", 18}}, "lsid", lsid, "$db", "shop"})
	reply := msg(901, 2, 0, d{"cursor", d{"firstBatch", []d{{"_id", 1, "name", "x"}, {"_id", 2, "name", "y"}}, "id", int64(0), "ns", "shop.users"}, "ok", 1.0})
	s := mongodb.Edge.New(&edge.Rules{Literals: true}, true)
	var w edge.Writer
	payload := make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(request) + len(reply)))
	for b.Loop() {
		for i, text := range [2]string{request, reply} {
			payload = append(payload[:0], text...)
			w.Start(payload)
			w.Run(0, 0)
			if s.Scan(protocols.End(i+1), payload, &w) != edge.Following {
				b.Fatal("lost")
			}
		}
	}
}
