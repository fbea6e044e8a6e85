package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/dns/conversations"
	"millrace.dev/protocols/edge/edgetest"
)

// collector is a sink that writes down what ends.
type collector struct{ lines []string }

func (s *collector) New() *decode.Exchange                    { return &decode.Exchange{} }
func (s *collector) Started(*decode.Conn, *decode.Exchange)   {}
func (s *collector) Responded(*decode.Conn, *decode.Exchange) {}
func (s *collector) Free(*decode.Exchange)                    {}
func (s *collector) Finished(_ *decode.Conn, x *decode.Exchange) {
	line := fmt.Sprintf("%s #%d at %d: %d %d outcome %d error %q", x.Said.Operation, x.Stream, x.Offset, x.RequestBytes, x.ResponseBytes, x.Outcome, x.Said.ErrorType)
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		if v.IsTexts() {
			line += fmt.Sprintf(" %s=%q", n, v.Texts)
		} else {
			line += fmt.Sprintf(" %s=%s", n, v.Text)
		}
		return true
	})
	s.lines = append(s.lines, line)
}

// run decodes a conversation whose pieces are cut into parts of at most size bytes, with a restart after each.
func run(t *testing.T, pieces []edgetest.Piece, size int, client bool) []string {
	t.Helper()
	var s [2]stream.Stream
	s[0].StartAt(0)
	s[1].StartAt(0)
	sink := &collector{}
	c := &decode.Conn{Requests: &s[0], Responses: &s[1], Sink: sink, Order: protocols.ByID, Client: client}
	c.Attach()
	p := Protocol.New(decode.Options{})
	var offsets [2]uint64
	at := int64(1)
	for _, piece := range pieces {
		i := int(piece.From - protocols.Client)
		for text := piece.Bytes; text != ""; at++ {
			n := min(size, len(text))
			s[i].Push(&stream.Event{Offset: offsets[i], Length: uint32(n), Payload: []byte(text[:n]), Meta: stream.Meta{Begin: at, End: at}})
			offsets[i] += uint64(n)
			text = text[n:]
			if p.Parse(c, decode.Open) != decode.Continue {
				t.Fatal("given up")
			}
			s[0].Settle()
			s[1].Settle()
			w := &snapshot.Writer{}
			p.AppendState(c, w)
			p = Protocol.New(decode.Options{})
			r := snapshot.NewReader(w.B)
			if p.RestoreState(c, Protocol.StateVersion, r); !r.Done() {
				t.Fatal("the state does not come back")
			}
		}
	}
	c.FinishAll(decode.Closed, at)
	return sink.lines
}

func TestParser(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"pipelined, answered in another order": {
			`DNS AAAA #1 at 66: 28 28 outcome 1 error "host_not_found" dns.question.name=none.org dns.question.type=AAAA dns.response.code=NXDOMAIN`,
			`DNS A #4661 at 0: 66 129 outcome 1 error "" dns.question.name=www.example.com dns.question.type=A dns.response.code=NOERROR dns.answers=["10.0.0.7"]`,
		},
		"the length by itself": {
			`DNS A #4661 at 0: 66 129 outcome 1 error "" dns.question.name=www.example.com dns.question.type=A dns.response.code=NOERROR dns.answers=["10.0.0.7"]`,
		},
		"zone transfer": {
			`DNS AXFR #8 at 0: 21 183 outcome 1 error "" dns.question.name=z dns.question.type=AXFR dns.response.code=NOERROR dns.answers=["10.0.0.7"]`,
			`DNS AAAA #1 at 21: 28 28 outcome 1 error "host_not_found" dns.question.name=none.org dns.question.type=AAAA dns.response.code=NXDOMAIN`,
		},
	}
	for _, v := range conversations.List() {
		for size := 1; size < 200; size++ {
			got := run(t, v.Pieces, size, true)
			if strings.Join(got, "\n") != strings.Join(want[v.Name], "\n") {
				t.Fatalf("%s, in pieces of %d:\n%s\nwant\n%s", v.Name, size, strings.Join(got, "\n"), strings.Join(want[v.Name], "\n"))
			}
		}
		for _, line := range run(t, v.Pieces, 1000, false) {
			if strings.Contains(line, "host_not_found") {
				t.Errorf("a name that there is not is an error of the server: %s", line)
			}
		}
	}
}

func FuzzParser(f *testing.F) {
	f.Add(decodetest.Script(conversations.Query, conversations.Answer, conversations.Second, conversations.NotFound))
	f.Add(decodetest.Script(conversations.Transfer, conversations.ZoneBegin, "", conversations.ZoneMore+conversations.ZoneEnd))
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

func BenchmarkParser(b *testing.B) {
	var s [2]stream.Stream
	s[0].StartAt(0)
	s[1].StartAt(0)
	x := &decode.Exchange{}
	c := &decode.Conn{Requests: &s[0], Responses: &s[1], Sink: &reuse{x}, Order: protocols.ByID}
	c.Attach()
	p := Protocol.New(decode.Options{})
	var offsets [2]uint64
	b.ReportAllocs()
	b.SetBytes(int64(len(conversations.Query) + len(conversations.Answer)))
	for i := int64(1); b.Loop(); i++ {
		for way, text := range []string{conversations.Query, conversations.Answer} {
			s[way].Push(&stream.Event{Offset: offsets[way], Length: uint32(len(text)), Payload: []byte(text), Meta: stream.Meta{Begin: i, End: i}})
			offsets[way] += uint64(len(text))
			p.Parse(c, decode.Open)
			s[way].Settle()
		}
	}
}

// reuse is a sink with one exchange.
type reuse struct{ x *decode.Exchange }

func (s *reuse) New() *decode.Exchange                    { return s.x }
func (s *reuse) Started(*decode.Conn, *decode.Exchange)   {}
func (s *reuse) Responded(*decode.Conn, *decode.Exchange) {}
func (s *reuse) Finished(*decode.Conn, *decode.Exchange)  {}
func (s *reuse) Free(*decode.Exchange)                    {}
