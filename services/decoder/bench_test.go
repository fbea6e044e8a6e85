package decoder_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// batchesPerRefill is how many batches are made at once.
const batchesPerRefill = 50

// cpuTime is what the process has used up to now.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

type discard struct{ bytes int }

func (d *discard) Publish(_, _ string, data []byte) { d.bytes += len(data) }

// benchmark decodes one-sided exchanges (a server's, as most are) from raw batches of 1,000 to encoded output. The
// batch is made again for each round with new offsets outside the clock.
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
		for range batchesPerRefill {
			traffic.Events = traffic.Events[:0]
			for i := range perBatch {
				s := servers[i%connections]
				s.Receive(request)
				s.Send(response)
			}
			batches = append(batches, traffic.Batch(0, traffic.Events))
		}
	}
	measure(b, p, out, perBatch, refill, &batches)
}

// measure hands batches of perBatch exchanges to p; refill makes more of them outside the clock.
func measure(b *testing.B, p stage.Processor, out *discard, perBatch int, refill func(), batches *[][]byte) {
	records := make([]stage.Record, 1)
	b.ReportAllocs()
	b.ResetTimer()
	size, rounds := 0, 0
	var spent, least time.Duration // of CPU: in sum, and in the cheapest run of batches, which is what a busy machine disturbs least
	var began time.Duration
	for n := 0; n < b.N; n += perBatch {
		if len(*batches) == 0 {
			b.StopTimer()
			if rounds > 0 {
				took := cpuTime(b) - began
				spent += took
				if rounds == 1 || took < least {
					least = took
				}
			}
			refill()
			rounds++
			b.StartTimer()
			began = cpuTime(b)
		}
		records[0].Data, *batches = (*batches)[0], (*batches)[1:]
		size += len(records[0].Data)
		if err := p.Process(context.Background(), records, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
	if perRound := perBatch * batchesPerRefill; rounds > 1 {
		b.ReportMetric(float64(spent.Nanoseconds())/float64((rounds-1)*perRound), "cpu-ns/exchange")
		b.ReportMetric(float64(perRound)/least.Seconds(), "exchanges/cpu-s")
	}
	b.ReportMetric(float64(size)/float64(b.N), "rawB/exchange")
	b.ReportMetric(float64(out.bytes)/float64(b.N), "outB/exchange")
}

// BenchmarkExchangesCause decodes a service in the middle: each of 50 goroutines serves a request with a trace context
// and calls another service nine times while it does, so that nine of ten exchanges are a client's, whose cause is
// looked up.
func BenchmarkExchangesCause(b *testing.B) {
	const tasks, calls, perBatch = 50, 9, 1000
	const response = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"hello\":\"w\"}"
	traffic := decodertest.New()
	var in, out [tasks]*decodertest.End
	for i := range tasks {
		_, in[i] = traffic.Dial()
		out[i], _ = traffic.Dial()
		out[i].Facts().Process = decodertest.ServerProcess // one process serves and calls
	}
	p := decoder.New(decoder.Options{Partitions: 32})
	published := &discard{}
	var batches [][]byte
	refill := func() {
		batches = batches[:0]
		for range batchesPerRefill {
			traffic.Events = traffic.Events[:0]
			for round := range perBatch / (calls + 1) {
				i := round % tasks
				traffic.Goroutine, traffic.Parent = uint64(100+i), 1
				in[i].Receive("GET /in HTTP/1.1\r\nHost: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
				for range calls {
					out[i].Send("GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\n\r\n")
					out[i].Receive(response)
				}
				in[i].Send(response)
			}
			batches = append(batches, traffic.Batch(0, traffic.Events))
		}
	}
	// That causes are found is part of what is measured.
	refill()
	check := &decodertest.Output{TB: b}
	if err := p.Process(context.Background(), []stage.Record{{Data: batches[0]}}, check); err != nil {
		b.Fatal(err)
	}
	caused := 0
	for _, x := range check.Exchanges {
		if x.CauseKind == millracev1.CauseKind_CAUSE_KIND_SAME_TASK {
			caused++
		}
	}
	if len(check.Exchanges) != perBatch || caused != perBatch/(calls+1)*calls {
		b.Fatalf("%d exchanges, %d with a cause", len(check.Exchanges), caused)
	}
	batches = batches[1:]
	measure(b, p, published, perBatch, refill, &batches)
}

func BenchmarkExchangesRedis(b *testing.B) {
	benchmark(b, resp("SET", "key:000012345678", "xxx"), "+OK\r\n")
}

func BenchmarkExchangesHTTP(b *testing.B) {
	benchmark(b, "GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 13\r\n\r\n{\"hello\":\"w\"}")
}
