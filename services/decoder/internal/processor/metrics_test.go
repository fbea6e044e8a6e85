package processor

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/protocol"
)

// TestEveryProtocolHasItsCount: no protocol and no outcome of the schema is counted as another.
func TestEveryProtocolHasItsCount(t *testing.T) {
	t.Parallel()
	var c tally
	for number := range millracev1.Protocol_name {
		c.ended(millracev1.Protocol(number), protocol.Complete)
	}
	for outcome := range millracev1.Outcome_name {
		c.ended(0, protocol.Outcome(outcome))
	}
	for number := range millracev1.Protocol_name {
		if got := c.exchanges[number][protocol.Complete]; number != 0 && got != 1 {
			t.Errorf("protocol %d: %d", number, got)
		}
	}
	for outcome := range millracev1.Outcome_name {
		if want := uint64(1); protocol.Outcome(outcome) != protocol.Complete && c.exchanges[0][outcome] != want {
			t.Errorf("outcome %d: %d", outcome, c.exchanges[0][outcome])
		}
	}
	for _, number := range []millracev1.Protocol{8, 9, maxProtocols - 1, maxProtocols, -1, 1 << 30} {
		before := c.exchanges
		c.ended(number, protocol.Closed)
		want := number
		if number < 0 || number >= maxProtocols {
			want = 0
		}
		if c.exchanges[want][protocol.Closed] != before[want][protocol.Closed]+1 {
			t.Errorf("protocol %d counts as another", number)
		}
	}
}
