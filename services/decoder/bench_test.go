package decoder_test

import (
	"context"
	"testing"

	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

type discard struct{ bytes int }

func (d *discard) Publish(_, _ string, data []byte) { d.bytes += len(data) }

// benchmark decodes one-sided exchanges (a server's, as most are) from raw batches of 1,000 to encoded output. The batch is made again for
// each round with new offsets outside the clock.
func benchmark(b *testing.B, request, response string) {
	const connections, perBatch = 50, 1000
	traffic := decodertest.New()
	var servers []*decodertest.End
	for range connections {
		_, s := traffic.Dial()
		servers = append(servers, s)
	}
	p := decoder.New(decoder.Options{Partitions: 32})
	out := &discard{}
	var batches [][]byte
	refill := func() {
		batches = batches[:0]
		for range 100 {
			traffic.Events = traffic.Events[:0]
			for i := range perBatch {
				s := servers[i%connections]
				s.Receive(request)
				s.Send(response)
			}
			batches = append(batches, traffic.Batch(0, traffic.Events))
		}
	}
	records := make([]stage.Record, 1)
	b.ReportAllocs()
	b.ResetTimer()
	size := 0
	for n := 0; n < b.N; n += perBatch {
		if len(batches) == 0 {
			b.StopTimer()
			refill()
			b.StartTimer()
		}
		records[0].Data, batches = batches[0], batches[1:]
		size += len(records[0].Data)
		if err := p.Process(context.Background(), records, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
	b.ReportMetric(float64(size)/float64(b.N), "rawB/exchange")
	b.ReportMetric(float64(out.bytes)/float64(b.N), "outB/exchange")
}

func BenchmarkRedis(b *testing.B) {
	benchmark(b, resp("SET", "key:000012345678", "xxx"), "+OK\r\n")
}

func BenchmarkHTTP(b *testing.B) {
	benchmark(b, "GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 13\r\n\r\n{\"hello\":\"w\"}")
}
