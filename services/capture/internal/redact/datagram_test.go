package redact

import (
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	dns "millrace.dev/protocols/dns/conversations"
	"millrace.dev/services/capture/internal/kernel"
)

// Datagrams are judged one by one: what is none of a protocol does not leave, and ends the pair.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	query, answer := dns.Query[2:], dns.Answer[2:]
	h := newClient(t, on)
	h.k.Transport = millracev1.Transport_TRANSPORT_UDP
	got := h.event(kernel.Send, query, nil, uint32(len(query)))
	h.offsets[0] += 100 // one was missed
	got += h.event(kernel.Send, query, nil, uint32(len(query)))
	got += h.event(kernel.Receive, answer[:60], nil, uint32(len(answer)))
	if strings.Contains(got, "Secret") || strings.Count(got, dns.Question) != 3 || !strings.Contains(got, "\x0a\x00\x00\x07") {
		t.Errorf("%q left the node", got)
	}
	if h.flags != FlagRedacted || h.c.Taken() == nil || h.c.Taken().Name != "dns" {
		t.Errorf("flags %d, taken for %v", h.flags, h.c.Taken())
	}
	if got := h.event(kernel.Send, "GET / HTTP/1.1\r\nCookie: Secret\r\n\r\n", nil, 36); strings.Trim(got, "~") != "" || h.c.GivenUp() != CauseBroken {
		t.Errorf("%q left the node, given up: %v", got, h.c.GivenUp())
	}
	h = newClient(t, on)
	h.k.Transport = millracev1.Transport_TRANSPORT_UDP
	if got := h.event(kernel.Receive, query, nil, uint32(len(query))); strings.Trim(got, "~") != "" || h.c.GivenUp() != CauseUnknown {
		t.Errorf("a query of a server: %q left the node, given up: %v", got, h.c.GivenUp())
	}
}
