package decoder_test

import (
	"context"
	"fmt"
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

// TestExchangeTimeout: what gets no response on a connection that stays open expires, no earlier than the timeout and
// not much later. A response that comes after all is not taken for that of another request.
func TestExchangeTimeout(t *testing.T) {
	t.Parallel()
	const (
		get      = "GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
		httpOK   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
		interval = 100 * time.Millisecond
	)
	tests := []struct {
		name    string
		timeout time.Duration // 0: the default
		request string
		late    string // comes after it
		next    [2]string
		want    string // of each side; empty: nothing expires
		after   string // of each side, at the end
	}{
		{
			"http", 5 * time.Second, fmt.Sprintf(get, "/slow"), httpOK,
			[2]string{fmt.Sprintf(get, "/next"), "HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n"},
			"GET /slow 0 EXPIRED req=31/0 resp=0/0", "GET /next 404 COMPLETE req=31/0 resp=37/0",
		},
		{
			"default", 0, fmt.Sprintf(get, "/slow"), httpOK,
			[2]string{fmt.Sprintf(get, "/next"), httpOK},
			"GET /slow 0 EXPIRED req=31/0 resp=0/0", "GET /next 200 COMPLETE req=31/0 resp=40/2",
		},
		{
			"half a head", 5 * time.Second, "GET /slow HTTP/1.1\r\nHo", "",
			[2]string{},
			"GET /slow 0 EXPIRED req=22/0 resp=0/0", "",
		},
		{
			"redis", 5 * time.Second, resp("GET", "k"), "$1\r\nv\r\n",
			[2]string{resp("INCR", "n"), "-WRONGTYPE x\r\n"},
			"GET|GET k db0 EXPIRED", "INCR|INCR n db0 COMPLETE WRONGTYPE(WRONGTYPE x)",
		},
		{
			"half a command", 5 * time.Second, "*2\r\n$3\r\nGET\r\n$1", "", [2]string{}, "GET|GET db0 EXPIRED", "",
		},
		{
			"a command that waits does not expire", 5 * time.Second, resp("BLPOP", "k", "0"), "*-1\r\n",
			[2]string{},
			"", "BLPOP|BLPOP k 0 db0 COMPLETE",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			traffic := decodertest.New()
			c, s := traffic.Dial()
			p := decoder.New(decoder.Options{Partitions: 4, Config: config.Decoder{ExchangeTimeout: tt.timeout}})
			out := &decodertest.Output{TB: t}
			sequence := uint64(0)
			process := func() {
				sequence++
				if err := p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(sequence, traffic.Events)}}, out); err != nil {
					t.Fatal(err)
				}
				traffic.Events = nil
			}
			now := time.Unix(1_700_000_000, 0)
			pass := func(d time.Duration) {
				for range d / interval {
					now = now.Add(interval)
					traffic.Clock += uint64(interval)
					if err := p.Tick(context.Background(), now, out); err != nil {
						t.Fatal(err)
					}
				}
			}
			check := func(when, want string) {
				t.Helper()
				for _, side := range []millracev1.Side{client, server} {
					var got []string
					for _, x := range out.Of(side) {
						if x.GetHttp() != nil {
							got = append(got, decodertest.HTTP(x))
						} else {
							got = append(got, decodertest.Redis(x))
						}
					}
					if g := strings.Join(got, "; "); g != want {
						t.Errorf("%s, %v: got %q, want %q", when, side, g, want)
					}
				}
				out.Exchanges = nil
			}
			timeout := tt.timeout
			if timeout == 0 {
				timeout = config.Default().Decoder.ExchangeTimeout
			}
			pass(interval)
			decodertest.Pass(c, s, tt.request)
			process()
			pass(timeout - interval)
			check("before the timeout", "")
			pass(3 * time.Second)
			check("after the timeout", tt.want)
			if tt.late != "" {
				decodertest.Pass(s, c, tt.late)
			}
			if tt.next[0] != "" {
				decodertest.Pass(c, s, tt.next[0])
				decodertest.Pass(s, c, tt.next[1])
			}
			process()
			pass(3 * time.Second)
			check("at the end", tt.after)
		})
	}
}

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
