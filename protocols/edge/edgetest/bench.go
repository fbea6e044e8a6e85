package edgetest

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Benchmark scans pieces again and again. They are whole messages.
func Benchmark(b *testing.B, room *edge.Room, pieces ...Piece) {
	scanners, err := room.Scanners(&edge.Rules{Literals: true})
	if err != nil {
		b.Fatal(err)
	}
	s := scanners(true)
	var w edge.Writer
	size := 0
	for _, p := range pieces {
		size += len(p.Bytes)
	}
	payload := make([]byte, 0, size)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, p := range pieces {
			payload = append(payload[:0], p.Bytes...)
			w.Start(payload)
			w.Run(0, 0)
			if s.Scan(p.From, payload, &w) != edge.Following {
				b.Fatalf("lost in what %d sends", p.From-protocols.Client)
			}
		}
	}
}
