package processor

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge/edgetest"
	traffic "millrace.dev/services/decoder/internal/decodertest"
)

// framed is a parser of [edgetest.Framed]: a query is answered by rows; everything else is passed over.
type framed struct{}

func (framed) Parse(c *decode.Conn, _ decode.Ending) decode.Status {
	for {
		n, kind := frameAt(c.Requests)
		if n == 0 {
			break
		}
		if kind != 'Q' {
			c.Requests.Skip(n)
			continue
		}
		x := c.Begin()
		c.Requests.Skip(n)
		c.Started(x)
		c.EndRequest(x)
	}
	for {
		n, kind := frameAt(c.Responses)
		if n == 0 {
			return decode.Continue
		}
		x, orphan := c.Match()
		switch {
		case kind == 'G' || orphan || x == nil && !c.Synced():
			c.Responses.Skip(n)
		case x == nil:
			return decode.Continue
		default:
			c.BeginResponse(x)
			c.Responses.Skip(n)
			c.EndResponse(x)
		}
	}
}

// frameAt gives the length and kind of the frame at the position of s; 0 if it has not come.
func frameAt(s *stream.Stream) (n uint64, kind byte) {
	b := s.Bytes()
	if len(b) < 4 || len(b) < 4+int(binary.BigEndian.Uint16(b[2:])) {
		return 0, 0
	}
	return 4 + uint64(binary.BigEndian.Uint16(b[2:])), b[1]
}

func (framed) AppendState(*decode.Conn, *snapshot.Writer)          {}
func (framed) RestoreState(*decode.Conn, uint64, *snapshot.Reader) {}
func (framed) Held() int                                           { return 0 }

func framedProcessor() *Processor {
	p := New(Options{
		Partitions: 4, MaxStreamBytes: 1 << 20, MaxConnections: 100, ExchangeTimeout: 1e9, Metrics: NewMetrics(nil),
		Protocols: []decode.Protocol{{Number: edgetest.Framed.Number, New: func(decode.Options) decode.Parser { return framed{} }}},
	})
	p.options.speaking = append(slices.Clone(p.options.speaking), &edgetest.Framed)
	return p
}

// What either end says tells what a connection speaks: the greeting of a server that speaks first, and on connections
// that were joined whatever comes first. Where the socket does not say who connected, it also tells that.
func TestEitherEndTells(t *testing.T) {
	t.Parallel()
	greeting, query, rows := edgetest.Frame('G', "framed 1.0"), edgetest.Frame('Q', "FIND"), edgetest.Frame('R', "x")
	for name, test := range map[string]struct {
		joined, noRole bool
		said           []string // '>' by the client
		want           int      // exchanges at each end
	}{
		"a greeting":                         {said: []string{"<" + greeting, ">" + query, "<" + rows}, want: 1},
		"a greeting that comes in two":       {said: []string{"<" + greeting[:1], "<" + greeting[1:], ">" + query, "<" + rows}, want: 1},
		"joined before a query":              {joined: true, said: []string{">" + query, "<" + rows}, want: 1},
		"joined before rows":                 {joined: true, said: []string{"<" + rows, ">" + query, "<" + rows}, want: 1},
		"joined in what is none":             {joined: true, said: []string{">FIND", "<xx", "<" + rows, ">" + query, "<" + rows}, want: 1},
		"a socket without role":              {joined: true, noRole: true, said: []string{">" + query, "<" + rows}, want: 1},
		"a socket without role, rows first":  {joined: true, noRole: true, said: []string{"<" + rows, ">" + query, "<" + rows}, want: 1},
		"a server that greets as none does":  {said: []string{"<hello\r\n", ">" + query, "<" + rows}, want: 0},
		"a client that does not wait for it": {said: []string{">" + query, "<" + greeting + rows}, want: 1},
	} {
		for _, batch := range []int{1, 100} {
			tr := traffic.New()
			c, s := tr.Dial()
			for _, e := range []*traffic.End{c, s} {
				if test.joined {
					e.JoinAt(100, 100)
				}
				if test.noRole {
					e.Facts().Role = millracev1.Role_ROLE_UNSPECIFIED
				}
			}
			for _, text := range test.said {
				if text[0] == '>' {
					traffic.Pass(c, s, text[1:])
				} else {
					traffic.Pass(s, c, text[1:])
				}
			}
			p := framedProcessor()
			out := traffic.Run(t, p, tr, batch)
			var got []string
			for _, x := range out.Exchanges {
				got = append(got, fmt.Sprintf("%v %v by %d", x.Side, x.Outcome, x.Process))
			}
			slices.Sort(got)
			var want []string
			if test.want > 0 {
				want = []string{"SIDE_CLIENT OUTCOME_COMPLETE by 11", "SIDE_SERVER OUTCOME_COMPLETE by 22"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %s", name, strings.Join(got, ", "))
			}
			if n := testutil.ToFloat64(p.options.Metrics.givenUp.WithLabelValues("unknown protocol", "none")); (n == 2) != (test.want == 0) {
				t.Errorf("%s: %v connections are counted as given up", name, n)
			}
		}
	}
}

// A connection that ends before its first bytes tell anything is counted.
func TestEndedUnknown(t *testing.T) {
	t.Parallel()
	tr := traffic.New()
	c, s := tr.Dial()
	traffic.Pass(c, s, "GE")
	c.End(millracev1.EventKind_EVENT_KIND_CLOSE)
	s.End(millracev1.EventKind_EVENT_KIND_CLOSE)
	p := framedProcessor()
	traffic.Run(t, p, tr, 1)
	if n := testutil.ToFloat64(p.options.Metrics.givenUp.WithLabelValues("ended", "none")); n != 2 {
		t.Errorf("%v connections are counted, want 2", n)
	}
}
