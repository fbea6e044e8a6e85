package dns_test

import (
	"testing"

	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/dns/conversations"
	"millrace.dev/protocols/edge/edgetest"
)

func TestEdge(t *testing.T) { t.Parallel(); edgetest.Run(t, &dns.Edge, conversations.List()) }
func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &dns.Edge, conversations.List()) }
