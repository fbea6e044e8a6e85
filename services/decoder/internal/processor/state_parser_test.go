package processor

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/stage"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	http1 "millrace.dev/protocols/http1/decode"
	redis "millrace.dev/protocols/redis/decode"
	traffic "millrace.dev/services/decoder/internal/decodertest"
)

// otherVersion is a parser that writes more than is read.
type otherVersion struct{ decode.Parser }

func (p otherVersion) AppendState(c *decode.Conn, w *snapshot.Writer) {
	p.Parser.AppendState(c, w)
	w.Text("more")
}

// A parser that cannot read its state loses its own connection: what is open there ends as lost, and it goes on as one
// that was joined. All others are as before.
func TestStateOfOneParserRefused(t *testing.T) {
	t.Parallel()
	const ping, pong = "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"
	tr := traffic.New()
	c, s := tr.Dial()
	web, _ := tr.Dial()
	traffic.Pass(c, s, ping)
	web.Send("GET / HTTP/1.1\r\n\r\n")
	first := tr.Batch(1, tr.Events)
	tr.Events = nil
	traffic.Pass(s, c, pong) // the answer to what is lost
	traffic.Pass(c, s, ping)
	traffic.Pass(s, c, pong)
	web.Receive("HTTP/1.1 204 No Content\r\n\r\n")
	second := tr.Batch(2, tr.Events)

	unknown := redis.Protocol
	unknown.Number = 99
	older := redis.Protocol
	older.New = func(o decode.Options) decode.Parser { return otherVersion{redis.Protocol.New(o)} }
	for name, lists := range map[string][2]decode.Protocol{
		"what is written is not read": {older, redis.Protocol},
		"no room reads it any more":   {redis.Protocol, unknown},
	} {
		processor := func(redis decode.Protocol) *Processor {
			o := Options{Partitions: 4, MaxStreamBytes: 1 << 20, MaxConnections: 100, ExchangeTimeout: 1e9, Metrics: NewMetrics(nil)}
			o.Protocols = []decode.Protocol{redis, http1.Protocol}
			return New(o)
		}
		before, out := processor(lists[0]), &traffic.Output{TB: t}
		process := func(p *Processor, batch []byte) {
			if err := p.Process(context.Background(), []stage.Record{{Data: batch}}, out); err != nil {
				t.Fatal(err)
			}
		}
		process(before, first)
		state, err := before.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		after := processor(lists[1])
		if err := after.Restore(state); err != nil {
			t.Fatalf("%s: the partition is refused: %v", name, err)
		}
		if n := testutil.ToFloat64(after.options.Metrics.givenUp.WithLabelValues("state version", "redis")); n != 2 {
			t.Errorf("%s: %v connections were given up, want 2", name, n)
		}
		process(after, second)
		traffic.Settle(t, after, out)
		outcomes := map[string]int{}
		for _, x := range out.Exchanges {
			outcomes[all.Of(int32(x.Protocol)).Name+" "+x.Outcome.String()]++
		}
		want := 2 // PINGs after the restart, at both ends
		if lists[1].Number == 99 {
			want = 0
		}
		if outcomes["redis OUTCOME_LOST"] != 2 || outcomes["redis OUTCOME_COMPLETE"] != want || outcomes["http OUTCOME_COMPLETE"] != 1 {
			t.Errorf("%s: %v", name, outcomes)
		}
	}
}
