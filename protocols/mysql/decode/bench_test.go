package decode

import (
	"bytes"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/mysql"
	"millrace.dev/protocols/mysql/conversations"
)

// sink throws exchanges away.
type sink struct{ free []*decode.Exchange }

func (s *sink) New() *decode.Exchange {
	if n := len(s.free); n > 0 {
		x := s.free[n-1]
		s.free = s.free[:n-1]
		return x
	}
	return &decode.Exchange{}
}
func (s *sink) Free(x *decode.Exchange)                { s.free = append(s.free, x) }
func (*sink) Started(*decode.Conn, *decode.Exchange)   {}
func (*sink) Responded(*decode.Conn, *decode.Exchange) {}
func (*sink) Finished(*decode.Conn, *decode.Exchange)  {}

// benchmark passes a conversation behind a login through the node's half and the parser of one connection end.
func benchmark(b *testing.B, ask, answer string) {
	scanners, err := mysql.Edge.Scanners(&edge.Rules{Literals: true})
	if err != nil {
		b.Fatal(err)
	}
	scanner, parser := scanners(true), Protocol.New(decode.Options{})
	var streams [2]stream.Stream
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Sink: &sink{}}
	c.Attach()
	var w edge.Writer
	var offsets [2]uint64
	var segments []uint32
	clock := int64(1)
	move := func(from protocols.End, payload []byte) {
		i := from - protocols.Client
		w.Start(payload)
		w.Run(0, 0)
		scanner.Scan(from, payload, &w)
		kept, list := w.Kept()
		segments = segments[:0]
		for _, s := range list {
			segments = append(segments, s.At, s.Length)
		}
		clock += 1000
		streams[i].Push(&stream.Event{
			Offset: offsets[i], Length: uint32(len(payload)), Payload: kept, Segments: segments, Meta: stream.Meta{Begin: clock, End: clock},
		})
		offsets[i] += uint64(len(payload))
		parser.Parse(c, decode.Open)
		streams[0].Settle()
		streams[1].Settle()
	}
	move(protocols.Server, []byte(conversations.Greeting("8.0.36")))
	move(protocols.Client, []byte(conversations.Login(conversations.Usual, "user", "proof", "shop")))
	move(protocols.Server, []byte(conversations.Packet(2, conversations.OK(0, 2, ""))))
	buffer := make([]byte, max(len(ask), len(answer)))
	b.SetBytes(int64(len(ask) + len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		move(protocols.Client, buffer[:copy(buffer, ask)])
		move(protocols.Server, buffer[:copy(buffer, answer)])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
}

// BenchmarkMySQL is a short query with one row, and one with 1,000 rows of 100 bytes.
func BenchmarkMySQL(b *testing.B) {
	query := conversations.Command(3, "SELECT id, name FROM users WHERE id = 12345")
	one := conversations.Packets(1, "\x02", conversations.Definition("id"), conversations.Definition("name"), conversations.EOF(2),
		conversations.Row("12345", "somebody"), conversations.EOF(2))
	b.Run("short", func(b *testing.B) { benchmark(b, query, one) })
	packets := []string{"\x01", conversations.Definition("name"), conversations.EOF(2)}
	for range 1000 {
		packets = append(packets, conversations.Row(string(bytes.Repeat([]byte("x"), 100))))
	}
	many := conversations.Packets(1, append(packets, conversations.EOF(2))...)
	b.Run("rows", func(b *testing.B) { benchmark(b, query, many) })
}
