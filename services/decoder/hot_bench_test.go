package decoder_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// BenchmarkHotProcess decodes one partition whose traffic is one process with 50 connections, as it comes when the
// partition has fallen behind: ten batches a call. Compare -cpu 1,2,4.
func BenchmarkHotProcess(b *testing.B) {
	for name, texts := range map[string][2]string{
		"http": {
			"GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"hello\":\"w\"}",
		},
		"redis": {resp("SET", "key:000012345678", "xxx"), "+OK\r\n"},
	} {
		b.Run(name, func(b *testing.B) {
			const connections, perBatch, perCall = 50, 500, 10
			traffic := decodertest.New()
			var servers []*decodertest.End
			for range connections {
				_, s := traffic.Dial()
				servers = append(servers, s)
			}
			p := decoder.New(decoder.Options{Partitions: 32, Pool: decoder.NewPool(runtime.GOMAXPROCS(0))})
			out := &discard{}
			records := make([]stage.Record, perCall)
			var spent time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += perBatch * perCall {
				b.StopTimer()
				for i := range records {
					traffic.Events = traffic.Events[:0]
					for j := range perBatch {
						s := servers[j%connections]
						s.Receive(texts[0])
						s.Send(texts[1])
					}
					records[i].Data = traffic.Batch(0, traffic.Events)
				}
				began := cpuTime(b)
				b.StartTimer()
				if err := p.Process(context.Background(), records, out); err != nil {
					b.Fatal(err)
				}
				spent += cpuTime(b) - began
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/exchange")
		})
	}
}

// BenchmarkSnapshot takes and compresses the state of a partition of 2,000 connection ends with an open exchange each,
// as every 5 s for a checkpoint.
func BenchmarkSnapshot(b *testing.B) {
	traffic := decodertest.New()
	for range 1000 {
		c, s := traffic.Dial()
		decodertest.Pass(c, s, "GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\n\r\n")
	}
	p := decoder.New(decoder.Options{Partitions: 32})
	if err := p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(1, traffic.Events)}}, &discard{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var state, compressed []byte
	var err error
	began := cpuTime(b)
	for b.Loop() {
		if state, err = p.Snapshot(state[:0]); err != nil {
			b.Fatal(err)
		}
		compressed = s2.Encode(compressed[:0], state)
	}
	spent := cpuTime(b) - began
	b.ReportMetric(float64(len(state)), "bytes")
	b.ReportMetric(float64(len(compressed)), "stored-bytes")
	b.ReportMetric(100*spent.Seconds()/float64(b.N)/5, "%-of-a-core")
}
