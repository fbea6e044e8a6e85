package processor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	traffic "millrace.dev/services/decoder/internal/decodertest"
)

// pingsProcessor decodes a made-up protocol of datagrams.
func pingsProcessor() *Processor {
	p := New(Options{
		Partitions: 4, MaxStreamBytes: 1 << 20, MaxConnections: 100, ExchangeTimeout: time.Minute,
		Protocols: []decode.Protocol{decodetest.Pings},
	})
	p.options.known = func(int32) *protocols.Protocol { return &decodetest.KnownPings }
	p.options.speaking = []*protocols.Protocol{&decodetest.KnownPings}
	return p
}

// Datagrams are exchanges with the key that their request names at both ends, answered in any order; those that are
// lost or come twice spoil no others; one that is not answered ends in time; and a pair that is idle is forgotten.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	tr := traffic.New()
	c, s := tr.Dial()
	for _, e := range []*traffic.End{c, s} {
		e.Facts().Transport = millracev1.Transport_TRANSPORT_UDP
		e.Facts().OpenedNs = 0
	}
	s.Facts().SendFlow, s.Facts().ReceiveFlow = 77, 88 // ports and addresses are translated on the way
	traffic.Pass(c, s, "?aone")
	c.Send("?btwo")
	c.Send("?clost")
	s.Receive("?btwo")
	s.Lose(0, 6)
	traffic.Pass(s, c, "!bTWO")
	traffic.Pass(s, c, "!bTWO")
	c.Send("nothing known")
	traffic.Pass(s, c, "!aONE.")
	for _, restart := range []bool{false, true} {
		p, out := pingsProcessor(), &traffic.Output{TB: t}
		at := time.Unix(1_700_000_000, 0)
		for i, e := range tr.Events {
			if restart {
				state, err := p.Snapshot(nil)
				if err != nil {
					t.Fatal(err)
				}
				if p = pingsProcessor(); p.Restore(state) != nil {
					t.Fatal("not restored")
				}
			}
			if err := p.Process(context.Background(), []stage.Record{{Time: at, Data: tr.Batch(uint64(i+1), []*millracev1.Event{e})}}, out); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			at = at.Add(100 * time.Millisecond)
			if err := p.Tick(context.Background(), at, out); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		keys := map[uint64]int{}
		for _, x := range out.Exchanges {
			got = append(got, fmt.Sprintf("%v %s %v %s %d/%d", x.Side, x.Operation, x.Outcome, x.ErrorType, x.RequestBytes, x.ResponseBytes))
			if keys[x.Key.Flow]++; x.Key.Offset != 0 || x.Key.Stream != 1 {
				t.Errorf("key %v", x.Key)
			}
		}
		slices.Sort(got)
		want := []string{
			"SIDE_CLIENT lost OUTCOME_EXPIRED timeout 6/0",
			"SIDE_CLIENT one OUTCOME_COMPLETE  5/6",
			"SIDE_CLIENT two OUTCOME_COMPLETE  5/5",
			"SIDE_SERVER one OUTCOME_COMPLETE  5/6",
			"SIDE_SERVER two OUTCOME_COMPLETE  5/5",
		}
		if !slices.Equal(got, want) {
			t.Errorf("restart %v: got\n%s", restart, strings.Join(got, "\n"))
		}
		if len(keys) != 3 {
			t.Errorf("%d keys, want 3: both ends have the same", len(keys))
		}
		for _, l := range out.Links {
			if keys[l.Key.Flow] == 0 {
				t.Errorf("a link of %v", l.Key)
			}
		}
		if len(p.connections) != 0 {
			t.Errorf("%d pairs are remembered", len(p.connections))
		}
	}
}
