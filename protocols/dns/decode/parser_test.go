package decode

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/dns/conversations"
)

var kit = decodetest.Kit{Known: &dns.Protocol, Decode: Protocol, Edge: &dns.Edge}

func TestKit(t *testing.T) { t.Parallel(); kit.Run(t, conversations.List()...) }
func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }

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
