package redact

import (
	"strings"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	known "millrace.dev/protocols/edge/edgetest/all"
	"millrace.dev/services/capture/internal/kernel"
)

func BenchmarkRequest(b *testing.B) {
	const text = "GET /api/v1/users/123456?page=2&size=10 HTTP/1.1\r\nHost: users.internal:8080\r\nUser-Agent: Go-http-client/1.1\r\n" +
		"Accept: application/json\r\nAuthorization: Bearer abcdefghij\r\nAccept-Encoding: gzip\r\n\r\n"
	benchmark(b, text)
}

func BenchmarkRedisPipeline(b *testing.B) {
	benchmark(b, strings.Repeat("*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$3\r\nxxx\r\n", 10))
}

func benchmark(b *testing.B, text string) {
	r := newRedactor(b, config.Redact{Enable: true})
	var c Connection
	k := kernel.Connection{Role: millracev1.Role_ROLE_CLIENT}
	buffer := []byte(text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	offset := uint64(0)
	for b.Loop() {
		ev := kernel.Event{Kind: kernel.Send, Connection: &k, Offset: offset, Length: uint32(len(text)), Payload: buffer}
		r.Event(&c, &ev)
		offset += uint64(len(text))
	}
}

// TestNoAllocations: an event of a connection that is recognised costs no memory.
func TestNoAllocations(t *testing.T) {
	for _, text := range []string{
		"GET /a?b=c&token=x HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nAuthorization: z\r\nContent-Length: 3\r\n\r\nabc",
		"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
	} {
		r := newRedactor(t, on)
		var c Connection
		k := kernel.Connection{Role: millracev1.Role_ROLE_CLIENT}
		buffer, offset := []byte(text), uint64(0)
		n := testing.AllocsPerRun(100, func() {
			copy(buffer, text)
			ev := kernel.Event{Kind: kernel.Send, Connection: &k, Offset: offset, Length: uint32(len(text)), Payload: buffer}
			r.Event(&c, &ev)
			offset += uint64(len(text))
		})
		if n != 0 {
			t.Errorf("%g allocations for %q", n, text)
		}
	}
}

// BenchmarkRooms passes all conversations of a room, each on a connection of its own, so that what a connection costs
// is in it.
func BenchmarkRooms(b *testing.B) {
	for name, list := range known.Conversations() {
		b.Run(name, func(b *testing.B) {
			r := newRedactor(b, on)
			events, size := 0, 0
			for i := range list {
				events += len(list[i].Pieces)
				for _, p := range list[i].Pieces {
					size += len(p.Bytes)
				}
			}
			buffer := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for i := range list {
					n := node{r: r, role: protocols.Client, k: kernel.Connection{Role: millracev1.Role_ROLE_CLIENT}}
					var offsets [2]uint64
					for _, p := range list[i].Pieces {
						buffer = append(buffer[:0], p.Bytes...)
						way := p.From - protocols.Client
						ev := kernel.Event{
							Kind: kernel.Send + kernel.Kind(way), Connection: &n.k, Offset: offsets[way], Length: uint32(len(buffer)), Payload: buffer,
						}
						r.Event(&n.c, &ev)
						offsets[way] += uint64(len(p.Bytes))
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
}
