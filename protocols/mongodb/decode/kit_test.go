package decode

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/conversations"
)

type d = conversations.D

var msg = conversations.Message

var kit = decodetest.Kit{
	Known: &mongodb.Protocol, Decode: Protocol, Edge: &mongodb.Edge, Rules: edge.Rules{Literals: true}, Probe: probe,
	Unnamed: regexp.MustCompile("^mongodb$"), // compressed
}

// probe is a find and its reply.
func probe(n int) []decodetest.Piece {
	return []decodetest.Piece{
		decodetest.Client(msg(777+n, 0, 0, d{"find", "last", "$db", "x"})), decodetest.Server(msg(1999+n, 777+n, 0, d{"ok", 1})),
	}
}

func TestKit(t *testing.T) { t.Parallel(); kit.Run(t, conversations.List()...) }

// TestLargePacked: of a large compressed message the beginning is read, of which the command is, and what of it ends in
// the part that is there. Sizes are those on the wire.
func TestLargePacked(t *testing.T) {
	t.Parallel()
	documents := make([]d, 8000) // more than is read of what is compressed, in each way
	random := rand.New(rand.NewPCG(1, 2))
	for i := range documents {
		documents[i] = d{"_id", i, "name", fmt.Sprintf("%016x", random.Uint64())}
	}
	k := kit
	k.Whole, k.Golden = true, "testdata/packed.golden"
	var all []decodetest.Conversation
	for i, name := range []string{"noop", "snappy", "zlib", "zstd"} {
		ask := conversations.Pack(i, msg(1, 0, 0, d{"insert", "orders", "documents", documents, "$db", "shop"}))
		answer := conversations.Pack(i, msg(900, 1, 0, d{"cursor", d{"firstBatch", documents, "id", int64(1), "ns", "shop.orders"}, "ok", 1.0}))
		c := decodetest.Conversation{Name: name}
		for _, p := range []decodetest.Piece{decodetest.Client(ask), decodetest.Server(answer)} {
			for len(p.Bytes) > 10_000 { // as a receiver reads them
				c.Pieces = append(c.Pieces, decodetest.Piece{From: p.From, Bytes: p.Bytes[:10_000]})
				p.Bytes = p.Bytes[10_000:]
			}
			c.Pieces = append(c.Pieces, p)
		}
		all = append(all, c)
	}
	k.Run(t, all...)
}

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
