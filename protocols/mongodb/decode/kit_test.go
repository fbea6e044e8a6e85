package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/conversations"
)

type d = conversations.D

var msg = conversations.Message

var kit = decodetest.Kit{Known: &mongodb.Protocol, Decode: Protocol, Edge: &mongodb.Edge, Rules: edge.Rules{Literals: true}, Probe: probe, Gaps: true}

// probe is a find and its reply.
func probe(n int) []decodetest.Piece {
	return []decodetest.Piece{
		decodetest.Client(msg(777+n, 0, 0, d{"find", "last", "$db", "x"})), decodetest.Server(msg(1999+n, 777+n, 0, d{"ok", 1})),
	}
}

func TestKit(t *testing.T) { t.Parallel(); kit.Run(t, conversations.List()...) }
func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }

// What is benchmarked: a find and its reply.
var found = []decodetest.Piece{
	decodetest.Client(msg(2, 0, 0, d{
		"find", "users", "filter", d{"name", conversations.Secret, "age", d{"$gt", 18}}, "lsid", conversations.Session, "$db", "shop",
	})),
	decodetest.Server(msg(901, 2, 0, d{
		"cursor", d{"firstBatch", []d{{"_id", 1, "name", "x"}, {"_id", 2, "name", "y"}}, "id", int64(0), "ns", "shop.users"}, "ok", 1.0,
	})),
}

func BenchmarkParser(b *testing.B) { kit.Benchmark(b, found...) }
func BenchmarkEdge(b *testing.B)   { edgetest.Benchmark(b, &mongodb.Edge, found...) }
