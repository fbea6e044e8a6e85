package scrape

import (
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/common/expfmt"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// BenchmarkScrape answers a scrape of 100,000 series: of counters, and of histograms with 15 bounds, which are 18 lines
// each. "library" is what the messages of client_golang and expfmt's text cost, "text" what is written by hand.
func BenchmarkScrape(b *testing.B) {
	const n = 100_000
	for _, kind := range []string{"counters", "histograms"} {
		server := newServer()
		bounds := make([]float64, 15)
		for i := range bounds {
			bounds[i] = float64(i) * 0.25
		}
		for partition := range 32 {
			p := newProcessor(b, server, partition)
			r := &millracev1.ResourceDeltas{Resource: resource("service.name", fmt.Sprint("service-", partition), "service.namespace", "prod")}
			for i := range n / 32 {
				d := &millracev1.MetricDelta{
					Name: "http.server.request.duration", Unit: "s", Attributes: []*millracev1.KeyValue{
						text2("http.request.method", "GET"), text2("http.response.status_code", "200"), text2("http.route", fmt.Sprint("/api/orders/", i)),
						text2("server.address", "shop.example"), text2("url.scheme", "http"),
					},
					Value: &millracev1.MetricDelta_Histogram{Histogram: &millracev1.HistogramDelta{
						Count: 3, Sum: 1.5, Bounds: bounds, Counts: []uint64{0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
					}},
				}
				if kind == "counters" {
					d.Name, d.Value = "traces_spanmetrics_calls_total", &millracev1.MetricDelta_Sum{Sum: 3}
				}
				r.Deltas = append(r.Deltas, d)
			}
			apply(b, p, 1, r)
			p.CaughtUp(yes)
		}
		for _, format := range []struct {
			name string
			of   expfmt.FormatType
		}{{"text", expfmt.TypeTextPlain}, {"openmetrics", expfmt.TypeOpenMetrics}, {"protobuf", expfmt.TypeProtoDelim}} {
			b.Run(kind+"/"+format.name, func(b *testing.B) {
				b.ReportAllocs()
				bytes := &counting{}
				for b.Loop() {
					bytes.n = 0
					if _, err := write(bytes, expfmt.NewFormat(format.of), server.shown()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(bytes.n)/1e6, "MB")
			})
		}
		b.Run(kind+"/gzip", func(b *testing.B) {
			bytes := &counting{}
			for b.Loop() {
				bytes.n = 0
				zipped, _ := gzip.NewWriterLevel(bytes, gzip.BestSpeed)
				if _, err := write(zipped, expfmt.NewFormat(expfmt.TypeOpenMetrics), server.shown()); err != nil {
					b.Fatal(err)
				}
				_ = zipped.Close()
			}
			b.ReportMetric(float64(bytes.n)/1e6, "MB")
		})
		b.Run(kind+"/library", func(b *testing.B) {
			for b.Loop() {
				m := &messages{encoder: expfmt.NewEncoder(io.Discard, expfmt.NewFormat(expfmt.TypeOpenMetrics))}
				if _, err := m.write(gather(server.shown())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type counting struct{ n int }

func (c *counting) Write(b []byte) (int, error) {
	c.n += len(b)
	return len(b), nil
}
