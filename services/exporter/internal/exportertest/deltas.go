package exportertest

import (
	"fmt"
	"testing"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Deltas are the batches of metrics that eight partitions of the enricher write about one service with a thousand
// routes, numbered as the enricher does.
type Deltas struct {
	tb        testing.TB
	sequences [sources]uint64
	calls     int
}

const (
	sources     = 8
	routes      = 1000
	perMessages = 500
)

// NewDeltas makes deltas of partition 0.
func NewDeltas(tb testing.TB) *Deltas { return &Deltas{tb: tb} }

// Next gives a record, and how many deltas are in it.
func (d *Deltas) Next() (records []stage.Record, deltas int) {
	source := d.calls / (routes / perMessages) % sources
	first := d.calls % (routes / perMessages) * perMessages
	d.calls++
	d.sequences[source]++
	r := &millracev1.ResourceDeltas{Resource: &millracev1.Resource{Attributes: []*millracev1.KeyValue{
		text("service.name", "shop"), text("service.namespace", "prod"), text("telemetry.sdk.name", "millrace"),
	}}}
	for i := range perMessages {
		r.Deltas = append(r.Deltas, duration(first+i))
	}
	data, err := (&millracev1.MetricBatch{
		Version: 1, Source: uint32(source), EpochUnixNs: 1, Sequence: d.sequences[source], Resources: []*millracev1.ResourceDeltas{r}, //nolint:gosec // Small.
	}).MarshalVT()
	if err != nil {
		d.tb.Fatal(err)
	}
	return []stage.Record{{Subject: bus.MetricSubject(0), Data: data}}, perMessages
}

// duration is a delta of a histogram as HTTP servers have it: the route tells series apart.
func duration(route int) *millracev1.MetricDelta {
	return &millracev1.MetricDelta{
		Name: "http.server.request.duration", Unit: "s",
		Attributes: []*millracev1.KeyValue{
			text("http.request.method", "GET"), number("http.response.status_code", 200), text("http.route", fmt.Sprintf("/api/v1/orders/%d/items", route)),
			text("network.protocol.version", "1.1"), text("server.address", "shop.example"), number("server.port", 8080), text("url.scheme", "http"),
		},
		Value: &millracev1.MetricDelta_Histogram{Histogram: &millracev1.HistogramDelta{
			Count: 3, Sum: 0.323, Bounds: []float64{0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
			Counts: []uint64{0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0},
		}},
	}
}
