package enricher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/stage/stagebench"
	"millrace.dev/services/enricher"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// BenchmarkStage is the stage's cost of one side of an exchange: pairing, traces, metrics and spans. Clients call
// servers over kept connections, and both sides come, each with the link of its start, as a decoder publishes them.
func BenchmarkStage(b *testing.B) { benchmarkStage(b, false) }

// BenchmarkStageSaid is the same with exchanges that say themselves what they are, as those of all protocols but HTTP/1
// and Redis do.
func BenchmarkStageSaid(b *testing.B) { benchmarkStage(b, true) }

func benchmarkStage(b *testing.B, says bool) {
	const perBatch = 100
	factory, err := enricher.Processors(config.Default(), bus.DefaultPartitions, prometheus.NewRegistry(), nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := factory(0)
	if err != nil {
		b.Fatal(err)
	}
	made := calls{says: says}
	stagebench.Run(b, p, stagebench.Load{
		Next: func(at time.Time) ([]stage.Record, int) {
			pair := made.batches % pairs
			made.batches++
			var records []stage.Record
			for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
				records = append(records, made.batch(b, pair, side, at, perBatch)...)
			}
			made.requests[pair] += perBatch
			return records, 2 * perBatch
		},
		// What is finished is remembered for half a minute.
		Warm: 40 * time.Second,
	})
}

// pairs of a client process and a server process.
const pairs = 16

// calls are between pairs of processes.
type calls struct {
	says     bool
	batches  int
	requests [pairs]uint64
}

// batch makes what a decoder publishes of one side of a pair's next requests.
func (c *calls) batch(tb testing.TB, pair int, side millracev1.Side, at time.Time, n uint64) []stage.Record {
	const connections, requestBytes, took = 4, 97, 5 * time.Millisecond
	process := &millracev1.Process{
		Id: uint64(1000 + 2*pair + int(side)), Node: fmt.Sprint("node-", side), Pid: uint32(1000 + pair), Command: fmt.Sprintf("service%d", pair%8),
		ExecutablePath: "/usr/local/bin/service", Language: "go",
	}
	links, exchanges := &millracev1.LinkBatch{Version: 1}, &millracev1.ExchangeBatch{Version: 1, Processes: []*millracev1.Process{process}}
	kind, local, remote := millracev1.LinkKind_LINK_KIND_CLIENT_STARTED, byte(1), byte(2)
	if side == millracev1.Side_SIDE_SERVER {
		kind, local, remote = millracev1.LinkKind_LINK_KIND_SERVER_STARTED, 2, 1
	}
	for i := range n {
		number := c.requests[pair] + i
		connection := uint64(pair)*connections + number%connections
		key := &millracev1.ExchangeKey{Flow: (connection+1)<<32 | (connection + 1_000_000), Offset: number / connections * requestBytes}
		start := uint64(at.Add(-100*time.Millisecond + time.Duration(i)*took/10).UnixNano())
		links.Links = append(links.Links, &millracev1.Link{Kind: kind, Key: key, StartUnixNs: start})
		exchanges.Exchanges = append(exchanges.Exchanges, &millracev1.Exchange{
			Key: key, Side: side, Protocol: millracev1.Protocol_PROTOCOL_HTTP1, Outcome: millracev1.Outcome_OUTCOME_COMPLETE, Process: process.Id,
			Transport: millracev1.Transport_TRANSPORT_TCP, LocalAddress: []byte{10, 0, 0, local}, LocalPort: 8080,
			RemoteAddress: []byte{10, 0, 0, remote}, RemotePort: 40000, StartUnixNs: start, ResponseUnixNs: start + uint64(took), EndUnixNs: start + uint64(took),
			RequestBytes: requestBytes, ResponseBytes: 88, ResponseBodyBytes: 13, SrttUs: 90, Task: 7,
			Detail: &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{
				Method: "GET", Target: "/api/items/42?x=1", Host: "service.local:8080", Status: 200, Version: "1.1",
				UserAgent: "Go-http-client/1.1", ResponseContentType: "application/json",
			}},
		})
	}
	if c.says {
		for _, x := range exchanges.Exchanges {
			say(exchanges, x)
		}
	}
	l, err := links.MarshalVT()
	if err != nil {
		tb.Fatal(err)
	}
	x, err := exchanges.MarshalVT()
	if err != nil {
		tb.Fatal(err)
	}
	return []stage.Record{{Subject: bus.LinkSubject(0), Data: l}, {Subject: bus.ExchangeSubject(0), Data: x}}
}

// say describes the exchange of batch by attributes.
func say(batch *millracev1.ExchangeBatch, x *millracev1.Exchange) {
	h := x.GetHttp()
	x.Detail, x.Family, x.Operation, x.Path = nil, millracev1.Family_FAMILY_HTTP, h.Method, "/api/items/42"
	x.ServerName, x.ServerPort = "service.local", 8080
	texts := []string{"http.request.method", h.Method, "network.protocol.name", "http", "network.protocol.version", h.Version, "user_agent.original", h.UserAgent}
	if x.Side == millracev1.Side_SIDE_CLIENT {
		texts = append(texts, "url.full", "http://service.local:8080/api/items/42?x=1")
	} else {
		texts = append(texts, "url.scheme", "http", "url.path", x.Path, "url.query", "x=1")
	}
	batch.Names = batch.Names[:0]
	for i := 0; i < len(texts); i += 2 {
		x.Attributes = append(x.Attributes, &millracev1.Attribute{Name: uint32(i / 2), Value: &millracev1.Attribute_Text{Text: texts[i+1]}})
		batch.Names = append(batch.Names, texts[i])
	}
	x.Attributes = append(x.Attributes, &millracev1.Attribute{
		Name: uint32(len(batch.Names)), Value: &millracev1.Attribute_Number{Number: int64(h.Status)},
	})
	batch.Names = append(batch.Names, "http.response.status_code")
}
