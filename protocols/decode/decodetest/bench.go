package decodetest

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge/edgetest"
)

// reuse is a sink that throws exchanges away, and gives them again.
type reuse struct{ free []*decode.Exchange }

func (s *reuse) New() *decode.Exchange {
	n := len(s.free)
	if n == 0 {
		return &decode.Exchange{}
	}
	x := s.free[n-1]
	s.free = s.free[:n-1]
	return x
}
func (s *reuse) Free(x *decode.Exchange)                { s.free = append(s.free, x) }
func (*reuse) Started(*decode.Conn, *decode.Exchange)   {}
func (*reuse) Responded(*decode.Conn, *decode.Exchange) {}
func (*reuse) Finished(*decode.Conn, *decode.Exchange)  {}

// Benchmark reads pieces again and again as the node ships them, at the end that Client says. They are whole messages,
// behind which no exchange is open.
func (k *Kit) Benchmark(b *testing.B, pieces ...Piece) {
	node := edgetest.Follow(k.Edge, &k.Rules)(false, protocols.Client)
	var streams [2]stream.Stream
	var events []stream.Event
	var offsets [2]uint64
	size := 0
	for _, p := range pieces {
		way := p.From - protocols.Client
		e := stream.Event{Length: uint32(len(p.Bytes)), Meta: stream.Meta{Begin: 1, End: 2}}
		for _, kept := range node.Pass(&edgetest.Event{From: p.From, Offset: offsets[way], Length: e.Length, Bytes: []byte(p.Bytes)}) {
			e.Payload = append(e.Payload, kept.Bytes...)
			for _, s := range kept.Segments {
				e.Segments = append(e.Segments, s.At, s.Length)
			}
		}
		offsets[way] += uint64(len(p.Bytes))
		size += len(p.Bytes)
		events = append(events, e)
	}
	for i := range streams {
		streams[i].StartAt(0)
	}
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: k.Known.Order, Client: k.Client, Sink: &reuse{}}
	c.Attach()
	parser := k.Decode.New(k.Options)
	clear(offsets[:])
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		for i := range events {
			way := pieces[i].From - protocols.Client
			e := events[i]
			e.Offset = offsets[way]
			offsets[way] += uint64(e.Length)
			streams[way].Push(&e)
			if parser.Parse(c, decode.Open) != decode.Continue {
				b.Fatal("the parser gave up")
			}
			streams[way].Settle()
		}
	}
	if c.Open() > 0 {
		b.Fatal("an exchange is open")
	}
}
