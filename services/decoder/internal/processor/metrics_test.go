package processor

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
)

// TestEveryProtocolHasItsCount: no protocol and no outcome of the schema is counted as another.
func TestEveryProtocolHasItsCount(t *testing.T) {
	t.Parallel()
	var c tally
	for number := range millracev1.Protocol_name {
		c.ended(millracev1.Protocol(number), decode.Complete)
	}
	for outcome := range millracev1.Outcome_name {
		c.ended(0, decode.Outcome(outcome))
	}
	for number := range millracev1.Protocol_name {
		if got := c.exchanges[number][decode.Complete]; number != 0 && got != 1 {
			t.Errorf("protocol %d: %d", number, got)
		}
	}
	for outcome := range millracev1.Outcome_name {
		if want := uint64(1); decode.Outcome(outcome) != decode.Complete && c.exchanges[0][outcome] != want {
			t.Errorf("outcome %d: %d", outcome, c.exchanges[0][outcome])
		}
	}
	for _, number := range []millracev1.Protocol{8, 9, maxProtocols - 1, maxProtocols, -1, 1 << 30} {
		before := c.exchanges
		c.ended(number, decode.Closed)
		want := number
		if number < 0 || number >= maxProtocols {
			want = 0
		}
		if c.exchanges[want][decode.Closed] != before[want][decode.Closed]+1 {
			t.Errorf("protocol %d counts as another", number)
		}
	}
}
