package bus

import (
	"strings"
	"testing"

	"millrace.dev/lib/identity"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"millrace.raw.7.node-1":            RawSubject(7, "node-1"),
		"millrace.raw.0.ip-10=2E0=2E0=2E1": RawSubject(0, "ip-10.0.0.1"),
		"millrace.exchange.31":             ExchangeSubject(31),
		"millrace.link.0":                  LinkSubject(0),
		"millrace.span.3._.shop=20=3E":     SpanSubject(3, "", "shop >"),
		"millrace.span.3.=5F._":            SpanSubject(3, "_", ""),
		"millrace.sampled.3.shop._":        SampledSubject(3, "shop", ""),
		"millrace.metric.1":                MetricSubject(1),
		"millrace.kept.1":                  KeptSubject(1),
		"millrace.flow.1":                  FlowSubject(1),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	const flow = 0x0123456789abcdef
	if a, b := ConnectionPartition(flow, 32), ConnectionPartition(flow>>32|flow<<32&(1<<64-1), 32); a != b {
		t.Errorf("the directions of a connection go to partitions %d and %d", a, b)
	}
	if p := ConnectionPartition(flow, 32); p != 0xc191e5f64a3ef72a%32 {
		t.Errorf("partition %d", p)
	}
	if p := ProcessPartition(100, 32); p != 4 {
		t.Errorf("partition %d, want 4", p)
	}
	own := identity.Trace(identity.Key{Flow: flow, Offset: 7})
	if p := TracePartition(own, 32); p != ConnectionPartition(flow, 32) {
		t.Errorf("the trace that begins on a connection is in partition %d", p)
	}
	if p := TracePartition([16]byte{0xff, 7: 0x23, 15: 9}, 32); p != 3 {
		t.Errorf("partition %d, want 3", p)
	}
	if p := TracePartition([16]byte{8: 0xff, 15: 35}, 32); p != 3 {
		t.Errorf("partition %d of a 64-bit trace id, want 3", p)
	}
}

func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add("_")
	f.Add("a b.c>*")
	f.Add("ä=")
	f.Fuzz(func(t *testing.T, s string) {
		token := Token(s)
		if token == "" || strings.ContainsAny(token, " .*>\t\r\n\x00") {
			t.Fatalf("%q becomes %q", s, token)
		}
		if again := Token(s + "x"); again == token {
			t.Fatalf("%q and another share %q", s, token)
		}
		if text, ok := TokenText(token); !ok || text != s {
			t.Fatalf("%q of %q is %q, %v", token, s, text, ok)
		}
		if text, ok := TokenText(s); ok && Token(text) != s {
			t.Fatalf("%q is taken for the token of %q", s, text)
		}
	})
}
