package pcap_test

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// TestMySQLConformance compares the number of exchanges with that of the commands that tshark sees that are one (text
// queries and executions of prepared statements), and the codes of errors. What is compressed is no exchange here, and
// no command there.
func TestMySQLConformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		exchanges = clientsOf(millracev1.Protocol_PROTOCOL_MYSQL, exchanges)
		if folder != "mysql" && len(exchanges) == 0 {
			return
		}
		errors, want := bag{}, bag{}
		for _, x := range exchanges {
			if x.ErrorType != "" {
				errors[x.ErrorType]++
			}
			if x.Outcome != millracev1.Outcome_OUTCOME_COMPLETE {
				t.Logf("%s is %s", x.Operation, x.Outcome)
			}
		}
		commands := 0
		ports := serverPorts(t, path, folder == "mysql", exchanges)
		for _, packet := range tshark(t, path, "mysql", ports, true, "mysql", "mysql.command", "mysql.error_code") {
			for _, command := range packet[0] {
				if command == "3" || command == "23" {
					commands++
				}
			}
			for _, code := range packet[1] {
				want[code]++
			}
		}
		if invented, missed := errors.beyond(want), want.beyond(errors); len(invented)+len(missed) > 0 {
			t.Errorf("only here %q, only tshark sees %q", invented, missed)
		}
		if t.Logf("%d exchanges", len(exchanges)); len(exchanges) != commands {
			t.Errorf("%d exchanges, tshark sees %d commands", len(exchanges), commands)
		}
	})
}
