package decode

import (
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge"
	known "millrace.dev/protocols/postgres"
	say "millrace.dev/protocols/postgres/conversations"
)

// nobody is a sink that reuses one exchange after another.
type nobody struct {
	free     []*decode.Exchange
	finished int
}

func (s *nobody) New() *decode.Exchange {
	if n := len(s.free); n > 0 {
		x := s.free[n-1]
		s.free = s.free[:n-1]
		return x
	}
	return &decode.Exchange{}
}
func (s *nobody) Started(*decode.Conn, *decode.Exchange)   {}
func (s *nobody) Responded(*decode.Conn, *decode.Exchange) {}
func (s *nobody) Finished(*decode.Conn, *decode.Exchange)  { s.finished++ }
func (s *nobody) Free(x *decode.Exchange)                  { s.free = append(s.free, x) }

// talks are what is measured: a request and its response.
var talks = map[string][2]string{
	"simple": {
		say.Query("SELECT id, name FROM users WHERE id = 12345 AND state = '******' LIMIT 10"),
		say.Columns("id", "name") + say.Row("12345") + say.Complete("SELECT 1") + say.Ready,
	},
	"prepared": {
		say.Bind("", "s", "12345") + say.Execute("", 0) + say.Sync,
		say.BindComplete + say.Row("12345") + say.Complete("SELECT 1") + say.Ready,
	},
}

// BenchmarkParser reads exchanges, one of each talk an iteration.
func BenchmarkParser(b *testing.B) {
	for name, talk := range talks {
		b.Run(name, func(b *testing.B) {
			var requests, responses stream.Stream
			requests.StartAt(0)
			responses.StartAt(0)
			sink := &nobody{}
			c := &decode.Conn{Requests: &requests, Responses: &responses, Sink: sink}
			c.Attach()
			p := newParser(decode.Options{})
			at, clock := [2]uint64{}, int64(0)
			push := func(i int, s *stream.Stream, bytes []byte) {
				clock += 1000
				s.Push(&stream.Event{Offset: at[i], Length: uint32(len(bytes)), Payload: bytes, Meta: stream.Meta{Begin: clock, End: clock}})
				at[i] += uint64(len(bytes))
				p.Parse(c, decode.Open)
				s.Settle()
			}
			push(0, &requests, []byte(say.Startup))
			push(1, &responses, []byte(say.Welcome))
			push(0, &requests, []byte(say.Parse("s", "SELECT id, name FROM users WHERE id = $1")+say.Sync))
			push(1, &responses, []byte(say.ParseComplete+say.Ready))
			sink.finished = 0
			ask, answer := []byte(talk[0]), []byte(talk[1])
			b.SetBytes(int64(len(ask) + len(answer)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				push(0, &requests, ask)
				push(1, &responses, answer)
			}
			if sink.finished != b.N {
				b.Fatalf("%d exchanges of %d", sink.finished, b.N)
			}
		})
	}
}

// BenchmarkScanner passes the same through the node's half.
func BenchmarkScanner(b *testing.B) {
	for name, talk := range talks {
		b.Run(name, func(b *testing.B) {
			s := known.Edge.New(&edge.Rules{Literals: true}, false)
			var w edge.Writer
			ask, answer := make([]byte, len(talk[0])), make([]byte, len(talk[1]))
			b.SetBytes(int64(len(ask) + len(answer)))
			b.ReportAllocs()
			for range b.N {
				copy(ask, talk[0])
				w.Start(ask)
				w.Run(0, 0)
				s.Scan(1, ask, &w)
				copy(answer, talk[1])
				w.Start(answer)
				w.Run(0, 0)
				s.Scan(2, answer, &w)
			}
		})
	}
}
