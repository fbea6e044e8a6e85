package mongodb

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/mongodb/conversations"
)

// TestSnappy reads what another implementation compressed, whole, up to a limit, and of a part.
func TestSnappy(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for size := range 400 {
		text := make([]byte, size*size)
		for i := range text {
			text[i] = "abcdefgh"[r.IntN(1+size%8)]
			if i > 100 && r.IntN(50) == 0 {
				copy(text[i:], text[r.IntN(i):])
			}
		}
		b := s2.EncodeSnappy(nil, text)
		if got := unsnap(nil, b, len(text)+10); !bytes.Equal(got, text) {
			t.Fatalf("%d of %d bytes", len(got), len(text))
		}
		if got := unsnap(nil, b, len(text)/2); !bytes.Equal(got, text[:len(text)/2]) {
			t.Fatalf("%d of %d bytes, the limit is %d", len(got), len(text), len(text)/2)
		}
		if got := unsnap(nil, b[:len(b)/2], len(text)); !bytes.HasPrefix(text, got) {
			t.Fatalf("another beginning of %d bytes", len(text))
		}
	}
}

func FuzzSnappy(f *testing.F) {
	f.Add(s2.EncodeSnappy(nil, bytes.Repeat([]byte("abcdefg"), 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := unsnap(nil, b, 1000)
		if want, err := s2.Decode(nil, b); err == nil && len(b) > 0 && len(want) < 1000 && !bytes.HasPrefix(want, got) {
			t.Fatalf("%q, want %q", got, want)
		}
		if len(got) > 1000 {
			t.Fatalf("%d bytes", len(got))
		}
	})
}

// TestBombs: of a message that holds far more than it is long, no more is read than of any other.
func TestBombs(t *testing.T) {
	t.Parallel()
	text := conversations.Message(1, 0, 0, conversations.D{"insert", strings.Repeat("x", 40_000_000), "$db", "shop"})
	scanners, err := Edge.Scanners(&edge.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	for kind := conversations.Snappy; kind <= conversations.Zstd; kind++ {
		packet := conversations.Pack(kind, text)
		s := scanners(true)
		var w edge.Writer
		b := []byte(packet)
		w.Start(b)
		w.Run(0, 0)
		if status := s.Scan(protocols.Client, b, &w); status != edge.Following {
			t.Errorf("compressor %d: status %d", kind, status)
		}
		kept, _ := w.Kept()
		restated, _ := w.Restated()
		if len(kept)+len(restated) > 200 {
			t.Errorf("compressor %d: %d bytes leave the node", kind, len(kept)+len(restated))
		}
		if u := s.(*scanner).unpacker; cap(u.snapped) > 2*maxInflated {
			t.Errorf("compressor %d: %d bytes of memory", kind, cap(u.snapped))
		}
	}
}

// BenchmarkPacked scans compressed inserts of 100 documents and their replies.
func BenchmarkPacked(b *testing.B) {
	var documents []conversations.D
	for i := range 100 {
		documents = append(documents, conversations.D{"_id", i, "name", strings.Repeat("x", i)})
	}
	for i, name := range []string{"noop", "snappy", "zlib", "zstd"} {
		b.Run(name, func(b *testing.B) {
			edgetest.Benchmark(b, &Edge,
				edgetest.Client(conversations.Pack(i, conversations.Message(1, 0, 0, conversations.D{"insert", "c", "documents", documents, "$db", "d"}))),
				edgetest.Server(conversations.Pack(i, conversations.Message(2, 1, 0, conversations.D{"n", 100, "ok", 1.0}))))
		})
	}
}
