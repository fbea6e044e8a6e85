package decoder_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// TestConnectionFlood: a hundred thousand connections, each with half a request and none closed, take no more memory
// than max_connections do. What is given up is published as lost, and counted.
func TestConnectionFlood(t *testing.T) { // not parallel: it looks at the heap
	const limit, flood, perBatch = 500, 100_000, 500
	registry := prometheus.NewRegistry()
	p := decoder.New(decoder.Options{
		Partitions: 4, Config: config.Decoder{MaxConnections: limit}, Metrics: decoder.NewMetrics(registry),
	})
	metric := func(name, label string) (sum float64) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name && (label == "" || m.GetLabel()[len(m.GetLabel())-1].GetValue() == label) {
					sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
		return sum
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	request := "POST /unfinished HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 4000)
	before, most := heap(), uint64(0)
	out := &counter{t: t}
	now := time.Unix(1_700_000_000, 0)
	for i := range flood / perBatch {
		traffic := decodertest.New()
		traffic.Goroutine = uint64(i)
		for j := range perBatch {
			_, s := traffic.Dial()
			n := uint64(i*perBatch + j + 1)
			f := s.Facts()
			f.Socket, f.SendFlow, f.ReceiveFlow = n, n<<32|7, 7<<32|n
			s.Receive(request)
		}
		if err := p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(uint64(i+1), traffic.Events)}}, out); err != nil {
			t.Fatal(err)
		}
		now = now.Add(100 * time.Millisecond)
		if err := p.Tick(context.Background(), now, out); err != nil {
			t.Fatal(err)
		}
		if n := metric("millrace_decoder_connections", ""); n > limit {
			t.Fatalf("%v connections are tracked", n)
		}
		if i%40 == 39 {
			most = max(most, heap())
		}
	}
	t.Logf("heap %d KiB before, %d KiB at most", before>>10, most>>10)
	if most > before+24<<20 {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, most>>20)
	}
	if n := metric("millrace_decoder_connections_given_up_total", "table full"); n != flood-limit {
		t.Errorf("%v connections were given up, want %d", n, flood-limit)
	}
	if out.lost != flood-limit || out.others != 0 {
		t.Errorf("%d exchanges were lost, want %d; %d others", out.lost, flood-limit, out.others)
	}
}

// counter counts exchanges without keeping them.
type counter struct {
	t            *testing.T
	lost, others int
}

func (c *counter) Publish(subject, _ string, b []byte) {
	if !strings.HasPrefix(subject, "millrace.exchange.") {
		return
	}
	var batch millracev1.ExchangeBatch
	if err := batch.UnmarshalVT(b); err != nil {
		c.t.Fatal(err)
	}
	for _, x := range batch.Exchanges {
		if x.Outcome == millracev1.Outcome_OUTCOME_LOST {
			c.lost++
		} else {
			c.others++
		}
	}
}
