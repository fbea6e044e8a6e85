package pcap_test

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// TestPostgresConformance compares the SQLSTATEs of errors with what tshark shows of them, and the number of exchanges
// with that of the messages that end them. A query whose request is not in the capture is no exchange.
func TestPostgresConformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		exchanges = clientsOf(millracev1.Protocol_PROTOCOL_POSTGRESQL, exchanges)
		if folder != "postgre" && len(exchanges) == 0 {
			return
		}
		errors, want := bag{}, bag{}
		for _, x := range exchanges {
			if x.ErrorType != "" {
				errors[x.ErrorType]++
			}
		}
		ends := 0
		ports := serverPorts(t, path, folder == "postgre", exchanges)
		for _, packet := range tshark(t, path, "pgsql", ports, true, "pgsql.frontend == 0", "pgsql.code", "pgsql.tag") {
			for _, code := range packet[0] {
				want[code]++
			}
			ends += len(packet[0]) + len(packet[1])
		}
		t.Logf("%d exchanges, %d ends of results", len(exchanges), ends)
		for _, x := range exchanges {
			t.Logf("%s %s %v", x.Operation, x.ErrorType, x.Outcome)
		}
		if invented, missed := errors.beyond(want), want.beyond(errors); len(invented)+len(missed) > 0 {
			t.Errorf("only here %q, only tshark sees %q", invented, missed)
		}
		if len(exchanges) > ends {
			t.Errorf("%d exchanges, but only %d results end", len(exchanges), ends)
		}
	})
}
