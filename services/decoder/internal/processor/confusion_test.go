package processor

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/all/confusion"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	traffic "millrace.dev/services/decoder/internal/decodertest"
)

// silent is a parser that reads nothing.
type silent struct{}

func (silent) Parse(*decode.Conn, decode.Ending) decode.Status     { return decode.Continue }
func (silent) AppendState(*decode.Conn, *snapshot.Writer)          {}
func (silent) RestoreState(*decode.Conn, uint64, *snapshot.Reader) {}
func (silent) Held() int                                           { return 0 }

// confusionMetrics are those of all cases, because making them takes longer than reading a connection.
var confusionMetrics = NewMetrics(nil)

// taken gives what the decoder takes a connection for at one of its ends, and whether it still waits.
func taken(t *testing.T, list []decode.Protocol, c *confusion.Case, role protocols.End) (number millracev1.Protocol, waits bool) {
	t.Helper()
	p := New(Options{
		Partitions: 1, MaxStreamBytes: 1 << 20, MaxConnections: 100, ExchangeTimeout: 1e9, Metrics: confusionMetrics, Protocols: list,
	})
	tr := traffic.New()
	client, server := tr.Dial()
	if c.Way == confusion.Joined {
		client.JoinAt(1000, 1000)
		server.JoinAt(1000, 1000)
	}
	say := func(from protocols.End, text string) {
		switch {
		case text == "":
		case from == role && role == protocols.Client:
			client.Send(text)
		case from == role:
			server.Send(text)
		case role == protocols.Client:
			client.Receive(text)
		default:
			server.Receive(text)
		}
	}
	say(c.From, c.Bytes)
	say(protocols.Client+protocols.Server-c.From, c.Answer)
	traffic.Run(t, p, tr, 100)
	for _, x := range p.connections {
		number, waits = x.protocol, x.parser == nil && !x.opaque
	}
	return number, waits
}

// TestConfusions: the decoder takes connections for what the table of confusions says, at both ends.
func TestConfusions(t *testing.T) {
	t.Parallel()
	var list []decode.Protocol
	for _, p := range all.Speaking() {
		if p.Decoded {
			list = append(list, decode.Protocol{Number: p.Number, New: func(decode.Options) decode.Parser { return silent{} }})
		}
	}
	for i, c := range confusion.Cases() {
		want, guess := c.Judge()
		role := protocols.Client + protocols.End(i%2)
		got, waits := taken(t, list, &c, role)
		if want == nil && got != 0 || want != nil && got != want.Number {
			t.Errorf("%s %q of %q, answered %q, is taken for %v at %d, want %q", c.Way, c.Bytes, c.Of, c.Answer, got, role, nameOf(want))
		}
		if c.Way != confusion.Joined && waits != (guess == protocols.More) {
			t.Errorf("%s %q, answered %q: waits %v, want guess %d", c.Way, c.Bytes, c.Answer, waits, guess)
		}
	}
}

func nameOf(p *protocols.Protocol) string {
	if p == nil {
		return ""
	}
	return p.Name
}
