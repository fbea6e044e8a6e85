package exportertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// A set of [Spans] is that of 20 traces of five spans, one at each of five services, in a record for each service.
const (
	Services  = 5
	PerRecord = 20
)

// Spans are records of a partition as the enricher makes them. Trace ids, span ids and times are put in by Renew.
type Spans struct {
	Records    []stage.Record
	partitions int
	start      time.Time
	// places of trace ids and span ids in the records.
	traces, spans [Services][PerRecord]int
}

// NewSpans makes spans that begin at start, in partition 0 of that many.
func NewSpans(tb testing.TB, partitions int, start time.Time) *Spans {
	s := &Spans{partitions: partitions, start: start}
	for service := range Services {
		batch := &millracev1.SpanBatch{Version: 1, Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{
			text("container.id", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"), text("host.name", "node-1"),
			text("process.executable.path", "/usr/local/bin/shop"), number("process.pid", 4711),
			text("service.instance.id", "0123456789abcdef"), text("service.name", fmt.Sprint("service-", service)),
			text("service.namespace", "ns"), text("telemetry.sdk.language", "go"), text("telemetry.sdk.name", "millrace"),
		}}}
		for i := range PerRecord {
			batch.Spans = append(batch.Spans, span(fmt.Appendf(nil, "trace-%04d-%05d", service, i), marker(service, i), start))
		}
		data, err := batch.MarshalVT()
		if err != nil {
			tb.Fatal(err)
		}
		for i, x := range batch.Spans {
			s.traces[service][i] = bytes.Index(data, x.TraceId)
			s.spans[service][i] = bytes.Index(data, binary.LittleEndian.AppendUint64(nil, x.SpanId))
		}
		s.Records = append(s.Records, stage.Record{Subject: bus.SpanSubject(0, "ns", fmt.Sprint("service-", service)), Time: start, Data: data})
	}
	return s
}

// marker is a span id that is found in the record.
func marker(service, i int) uint64 { return 0xabcdef0123450000 + uint64(service*PerRecord+i) }

func span(trace []byte, id uint64, start time.Time) *millracev1.Span {
	return &millracev1.Span{
		TraceId: trace, SpanId: id, ParentSpanId: 7, Kind: millracev1.SpanKind_SPAN_KIND_SERVER, Name: "GET /orders/*", TraceFlags: 1,
		StartUnixNs: uint64(start.UnixNano()), EndUnixNs: uint64(start.UnixNano()) + 1e6,
		Attributes: []*millracev1.KeyValue{
			text("client.address", "192.0.2.7"), number("client.port", 40000), text("http.request.method", "GET"),
			number("http.response.status_code", 200),
			{Key: "millrace.tcp.srtt", Value: &millracev1.KeyValue_DoubleValue{DoubleValue: 0.00025}},
			text("network.peer.address", "192.0.2.7"), number("network.peer.port", 40000), text("network.protocol.name", "http"),
			text("network.protocol.version", "1.1"), text("network.transport", "tcp"), text("network.type", "ipv4"),
			text("peer.service", "front"), text("server.address", "shop.example"), number("server.port", 8080), text("url.path", "/orders/17"),
			text("url.scheme", "http"), text("user_agent.original", "curl/8.0"),
		},
	}
}

// Renew makes the records, in place, those of the n-th set of traces, stored at the given time after the start.
func (s *Spans) Renew(n int, at time.Duration) {
	for i := range s.Records {
		for j := range PerRecord {
			trace := n*PerRecord + j
			data := s.Records[i].Data
			binary.BigEndian.PutUint64(data[s.traces[i][j]:], uint64(trace+1)*uint64(s.partitions))
			binary.BigEndian.PutUint64(data[s.traces[i][j]+8:], uint64(trace)*0x9e3779b97f4a7c15+1)
			binary.LittleEndian.PutUint64(data[s.spans[i][j]:], uint64(trace*len(s.Records)+i+1))
		}
		s.Records[i].Time = s.start.Add(at)
	}
}

// Next gives a copy of the n-th set of records, and how many spans are in them.
func (s *Spans) Next(n int) (records []stage.Record, spans int) {
	s.Renew(n, 0)
	for _, r := range s.Records {
		r.Data = bytes.Clone(r.Data)
		records = append(records, r)
	}
	return records, Services * PerRecord
}

func text(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

func number(key string, value int64) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_IntValue{IntValue: value}}
}
