package metrics

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"google.golang.org/protobuf/proto"

	"millrace.dev/lib/config"
	"millrace.dev/services/enricher/internal/detail"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const second = uint64(1e9)

// pair gives the two sides of an HTTP request from one service to another.
func pair() (client, server *join.Joined) {
	detail := func() *millracev1.Exchange_Http {
		return &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{
			Method: "GET", Target: "/orders/17?full=1", Host: "shop.example:8080", Status: 200, Version: "1.1",
		}}
	}
	c := &millracev1.Exchange{
		Side: millracev1.Side_SIDE_CLIENT, Outcome: millracev1.Outcome_OUTCOME_COMPLETE, Transport: millracev1.Transport_TRANSPORT_TCP,
		LocalAddress: []byte{10, 0, 0, 1}, LocalPort: 50000, RemoteAddress: []byte{10, 96, 0, 9}, RemotePort: 80,
		StartUnixNs: 1000 * second, EndUnixNs: 1001 * second, RequestBytes: 300, ResponseBytes: 5000, RequestBodyBytes: 120,
		ResponseBodyBytes: 4096, Detail: detail(),
	}
	s := &millracev1.Exchange{
		Side: millracev1.Side_SIDE_SERVER, Outcome: millracev1.Outcome_OUTCOME_COMPLETE, Transport: millracev1.Transport_TRANSPORT_TCP,
		LocalAddress: []byte{10, 0, 0, 2}, LocalPort: 8080, RemoteAddress: []byte{10, 0, 7, 7}, RemotePort: 41000,
		StartUnixNs: 1000*second + 2e8, EndUnixNs: 1000*second + 9e8, RequestBytes: 300, ResponseBytes: 5000, RequestBodyBytes: 120,
		ResponseBodyBytes: 4096, Detail: detail(),
	}
	// Of the second that the request takes, it is in the network for 220 ms, and waits in the server's socket for 51.
	c.RequestEndNs, c.ResponseEndNs, c.LastArrivedNs = new(int64(10e6)), new(int64(1000e6)), new(int64(980e6))
	s.RequestEndNs, s.ResponseEndNs, s.LastArrivedNs = new(int64(1e6)), new(int64(700e6)), new(int64(-50e6))
	web := &resource.Identity{Process: &millracev1.Process{Id: 1, Node: "a", Pid: 11, RuleServiceName: "web", RuleServiceNamespace: "shop"}}
	orders := &resource.Identity{Process: &millracev1.Process{Id: 2, Node: "b", Pid: 22, RuleServiceName: "orders", RuleServiceNamespace: "shop"}}
	trace := [16]byte{1, 15: 2}
	client = &join.Joined{
		Exchange: c, Process: web, Peer: s, PeerProcess: orders, TraceID: trace, SpanID: 7, Flags: 1, ClientSeen: true,
	}
	server = &join.Joined{
		Exchange: s, Process: orders, Peer: c, PeerProcess: web, TraceID: trace, SpanID: 8, Flags: 1, ClientSeen: true,
	}
	return client, server
}

// observe observes an exchange that has a detail.
func observe(a *Aggregator, j *join.Joined) join.Decision { return a.Observe(converted(j)) }

// converted gives an exchange that has a detail the form that the aggregator knows.
func converted(j *join.Joined) *join.Joined {
	made := *j
	made.Exchange = proto.CloneOf(j.Exchange)
	made.Attributes = (&detail.Converter{}).Append(j.Attributes, made.Exchange)
	if j.Peer != nil {
		made.Peer = proto.CloneOf(j.Peer)
		(&detail.Converter{}).Append(nil, made.Peer)
	}
	return &made
}

func aggregator(t testing.TB, cfg *config.Config) *Aggregator {
	t.Helper()
	counters, err := NewCounters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	a := New(3, NewSettings(cfg, 4), counters)
	a.Begin(int64(1000 * second))
	a.Advance(int64(1001*second), nil)
	return a
}

func allFeatures() *config.Config {
	cfg := config.Default()
	cfg.Metrics.Features = []string{"application", "application_host", "application_process", "application_span", "application_service_graph"}
	return cfg
}

// BenchmarkObserve is what one exchange costs when its series are there. The two sides of a pair take turns.
func BenchmarkObserve(b *testing.B) {
	for name, cfg := range map[string]*config.Config{
		"application": config.Default(),
		"all":         allFeatures(),
		"exponential": func() *config.Config {
			cfg := config.Default()
			cfg.Metrics.HistogramAggregation = config.ExponentialBuckets
			return cfg
		}(),
		"none": func() *config.Config {
			cfg := config.Default()
			cfg.Metrics.Features = []string{}
			return cfg
		}(),
	} {
		b.Run(name, func(b *testing.B) {
			a := aggregator(b, cfg)
			client, server := pair()
			sides := [2]*join.Joined{converted(client), converted(server)}
			b.ReportAllocs()
			i := 0
			began := cpuTime(b)
			for b.Loop() {
				a.Observe(sides[i&1])
				i++
			}
			// On a machine that others use as well, this is what it costs.
			b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// A Host that is passed on is chosen by whoever asks the proxy, so it names neither series nor nodes of the graph.
func TestForwardedHost(t *testing.T) {
	t.Parallel()
	for forwarded, want := range map[bool]int{true: 1, false: 50} {
		a := aggregator(t, allFeatures())
		for i := range 50 {
			c, _ := pair()
			c.Peer, c.PeerProcess = nil, nil
			c.Exchange.HostForwarded = forwarded
			c.Exchange.GetHttp().Host = fmt.Sprintf("scan%d.example:%d", i, 1000+i)
			observe(a, c)
		}
		_, _, series, _ := window(t, a).totals()
		for _, metric := range []string{"http.client.request.duration", "traces_service_graph_request_total"} {
			if series[metric] != want {
				t.Errorf("passed on %v: %d series of %s, want %d", forwarded, series[metric], metric, want)
			}
		}
	}
}
