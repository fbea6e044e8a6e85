package identity_test

import (
	"encoding/hex"
	"testing"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// The known answers were computed by an independent implementation of XXH64. They are a wire format: a change of one of
// them breaks pairing between versions.

func TestConnectionKnownAnswers(t *testing.T) {
	t.Parallel()
	for flow, want := range map[uint64]uint64{
		0:                  0xc82d61792fcd9103,
		1:                  0x150906aac4c643a0,
		0x0123456789abcdef: 0xc191e5f64a3ef72a,
		0x89abcdef01234567: 0xc191e5f64a3ef72a,
		0xffffffffffffffff: 0x43d22f7df27f6c22,
	} {
		if got := identity.Connection(flow); got != want {
			t.Errorf("Connection(%#x) = %#x, want %#x", flow, got, want)
		}
	}
}

func TestExchangeKnownAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key            identity.Key
		client, server uint64
		trace          string
	}{
		{identity.Key{}, 0x55dbb87bde53163b, 0xa55ad4149c4971d7, "c82d61792fcd9103d0eafc9d2620d182"},
		{identity.Key{Flow: 1, Offset: 2, Stream: 3}, 0xf6868c9edae97a37, 0x9d0bc3f9094185c9, "150906aac4c643a0d48ae110212f93ad"},
		{identity.Key{Flow: 0x0123456789abcdef, Offset: 4096}, 0xfdd57d3ac474bd5e, 0xcfd296e45c9bbd36, "c191e5f64a3ef72a1e7778cd57158de2"},
		{
			identity.Key{Flow: 0x89abcdef01234567, Offset: 1 << 40, Stream: 1<<64 - 1},
			0x544080d62dce27d9, 0x69fbe12ab2b3ca11, "c191e5f64a3ef72a390c761f0bfd1295",
		},
	} {
		if got := identity.Span(tt.key, millracev1.Side_SIDE_CLIENT); got != tt.client {
			t.Errorf("client span of %+v: %#x, want %#x", tt.key, got, tt.client)
		}
		if got := identity.Span(tt.key, millracev1.Side_SIDE_SERVER); got != tt.server {
			t.Errorf("server span of %+v: %#x, want %#x", tt.key, got, tt.server)
		}
		trace := identity.Trace(tt.key)
		if got := hex.EncodeToString(trace[:]); got != tt.trace {
			t.Errorf("trace of %+v: %s, want %s", tt.key, got, tt.trace)
		}
	}
}

func TestProcessKnownAnswers(t *testing.T) {
	t.Parallel()
	const boot = "5b2c1e0a-8f3d-4c55-9d07-1b2a3c4d5e6f"
	for _, tt := range []struct {
		boot  string
		pid   uint32
		start uint64
		want  uint64
	}{
		{"", 0, 0, 0x7b43c9fa0cd3073c},
		{boot, 1234, 567890, 0x6814010ce3cfa622},
		{boot, 1235, 567890, 0xab33e73d06196f9a},
	} {
		if got := identity.Process(tt.boot, tt.pid, tt.start); got != tt.want {
			t.Errorf("Process(%q, %d, %d) = %#x, want %#x", tt.boot, tt.pid, tt.start, got, tt.want)
		}
	}
}

// TestBothEnds plays a connection: what one end calls local, the other calls remote.
func TestBothEnds(t *testing.T) {
	t.Parallel()
	for _, isn := range [][2]uint32{{1, 2}, {0, 0xffffffff}, {0x80000000, 0x7fffffff}, {7, 7}, {0xdeadbeef, 0}} {
		client := uint64(isn[0])<<32 | uint64(isn[1])
		server := uint64(isn[1])<<32 | uint64(isn[0])
		if identity.Reverse(client) != server || identity.Reverse(server) != client {
			t.Errorf("%x: the flows are not each other's reverse", isn)
		}
		if identity.Connection(client) != identity.Connection(server) {
			t.Errorf("%x: the ends disagree about the connection", isn)
		}
		// The client sends a request on its send flow, which is the server's receive flow.
		atClient := identity.Key{Flow: client, Offset: 100, Stream: 5}
		atServer := identity.Key{Flow: identity.Reverse(server), Offset: 100, Stream: 5}
		if atClient != atServer {
			t.Errorf("%x: the ends disagree about the exchange", isn)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	key := identity.Key{Flow: 1, Offset: 2, Stream: 3}
	if got := identity.KeyOf(key.Proto()); got != key {
		t.Errorf("%+v became %+v", key, got)
	}
	if got := identity.KeyOf(nil); !got.IsZero() || key.IsZero() {
		t.Errorf("zero: %+v", got)
	}
}

func FuzzConnection(f *testing.F) {
	f.Add(uint64(0x0123456789abcdef))
	f.Fuzz(func(t *testing.T, flow uint64) {
		if identity.Connection(flow) != identity.Connection(identity.Reverse(flow)) {
			t.Fatalf("the directions of %#x disagree", flow)
		}
		if identity.Reverse(identity.Reverse(flow)) != flow {
			t.Fatalf("%#x reversed twice is another", flow)
		}
	})
}

func BenchmarkSpan(b *testing.B) {
	b.ReportAllocs()
	key := identity.Key{Flow: 0x0123456789abcdef, Offset: 4096}
	for b.Loop() {
		key.Offset += identity.Span(key, millracev1.Side_SIDE_SERVER) & 1
	}
}
