package decoder_test

import (
	"testing"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/lib/stage/stagebench"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// BenchmarkStage is the stage's cost of a one-sided exchange, from raw batches of a service's 50 connections as capture
// sends them every 100 ms or sooner.
func BenchmarkStage(b *testing.B) {
	const connections, perBatch = 50, 200
	for _, c := range []struct{ name, request, response string }{
		{
			"http",
			"GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 13\r\n\r\n{\"hello\":\"w\"}",
		},
		{"redis", resp("SET", "key:000012345678", "xxx"), "+OK\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			traffic := decodertest.New()
			var servers []*decodertest.End
			for range connections {
				_, s := traffic.Dial()
				servers = append(servers, s)
			}
			sequence, started := uint64(0), time.Time{}
			stagebench.Run(b, decoder.New(decoder.Options{Partitions: 32}), stagebench.Load{
				Next: func(at time.Time) ([]stage.Record, int) {
					if started.IsZero() {
						started = at
					}
					traffic.Clock = 1_000_000 + uint64(at.Sub(started))
					traffic.Events = traffic.Events[:0]
					for i := range perBatch {
						servers[i%connections].Receive(c.request)
						servers[i%connections].Send(c.response)
					}
					sequence++
					return []stage.Record{{Data: traffic.Batch(sequence, traffic.Events)}}, perBatch
				},
				Warm: time.Second,
			})
		})
	}
}
