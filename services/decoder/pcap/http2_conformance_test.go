package pcap_test

import (
	"slices"
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// TestHTTP2Conformance compares the paths of requests and of calls over HTTP/2 with what tshark shows. A head that
// refers to a table which the capture lacks is known to neither.
func TestHTTP2Conformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, all []*millracev1.Exchange) {
		exchanges := slices.Concat(clientsOf(millracev1.Protocol_PROTOCOL_HTTP2, all), clientsOf(millracev1.Protocol_PROTOCOL_GRPC, all))
		if folder != "http" && len(exchanges) == 0 {
			return
		}
		got, want := bag{}, bag{}
		for _, x := range exchanges {
			t.Logf("%s %q %s %s, %d asked, %d answered", x.Protocol, x.Operation, x.Path, x.Outcome, x.RequestBytes, x.ResponseBytes)
			path := x.Path
			if path == "" && x.Protocol == millracev1.Protocol_PROTOCOL_GRPC {
				path = "/" + x.Operation
			}
			got[path]++
		}
		ports := serverPorts(t, path, folder == "http", all)
		for _, packet := range tshark(t, path, "http2", ports, true, "http2.headers.path", "http2.headers.path") {
			for _, target := range packet[0] {
				target, _, _ = strings.Cut(target, "?")
				want[target]++
			}
		}
		t.Logf("%d exchanges", len(exchanges))
		if invented, missed := got.beyond(want), want.beyond(got); len(invented)+len(missed) > 0 {
			t.Errorf("only here %q, only tshark sees %q", invented, missed)
		}
	})
}
