package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/test/internal/traffic"
)

// exportInterval is how far apart points are, interval how long the windows of deltas.
const exportInterval, interval = time.Second, 2 * time.Second

// features of metrics that every deployment here has.
var features = fmt.Sprintf("metrics:\n  features: [application, application_service_graph]\n  interval: %v\n  export_interval: %v\n", interval, exportInterval)

// measured is what a series has added up to: the number of measurements, or of requests, and their sum in seconds.
type measured struct {
	count uint64
	sum   float64
}

// red says what the metrics of traffic must add up to. Series are named by metric, service or services, and status.
func red(truth []traffic.Span) map[string]measured {
	series := map[string]measured{}
	add := func(seconds float64, name ...any) {
		key := strings.TrimSpace(fmt.Sprintln(name...))
		m := series[key]
		series[key] = measured{m.count + 1, m.sum + seconds}
	}
	servers := map[string]*traffic.Span{}
	for i := range truth {
		if s := &truth[i]; s.Kind == traffic.Server {
			servers[s.Parent] = s
		}
	}
	for i := range truth {
		s := &truth[i]
		seconds := float64(s.End-s.Start) / 1e9
		switch {
		case s.Target == "" && s.Kind == traffic.Client:
			add(seconds, "db.client.operation.duration", s.Service)
		case s.Kind == traffic.Client:
			add(seconds, "http.client.request.duration", s.Service, s.Status)
		case s.Target != "":
			add(seconds, "http.server.request.duration", s.Service, s.Status)
		}
		if s.Kind != traffic.Client {
			add(float64(s.Queue)/1e9, "millrace.server.queue.duration", s.Service)
			continue
		}
		server := servers[s.ID]
		serving := float64(server.End-server.Start) / 1e9
		add(0, "traces_service_graph_request_total", s.Service, s.Peer)
		add(seconds, "traces_service_graph_request_client", s.Service, s.Peer)
		add(serving, "traces_service_graph_request_server", s.Service, s.Peer)
		add(float64(s.Network)/1e9, "traces_service_graph_request_network", s.Service, s.Peer)
		if s.Status >= 400 {
			add(0, "traces_service_graph_request_failed_total", s.Service, s.Peer)
		}
	}
	return series
}

// deltas adds up what enrichers have published, each batch once by its number. missing is how many numbers are left
// out.
func (d *deployment) deltas() (series map[string]measured, batches, repeated, missing int, err error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	stream, err := d.conn.JetStream().Stream(ctx, bus.StreamMetric)
	if err != nil {
		return nil, 0, 0, 0, err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"millrace.metric.>"}})
	if err != nil {
		return nil, 0, 0, 0, err
	}
	type source struct {
		subject string
		source  uint32
		epoch   uint64
	}
	highest := map[source]uint64{}
	series = map[string]measured{}
	for {
		fetched, err := consumer.Fetch(1000, jetstream.FetchMaxWait(500*time.Millisecond))
		if err != nil {
			return nil, 0, 0, 0, err
		}
		n := 0
		for msg := range fetched.Messages() {
			n++
			data, err := bus.Decompress(msg.Headers().Get(bus.HeaderEncoding), nil, msg.Data(), 64<<20)
			if err != nil {
				return nil, 0, 0, 0, err
			}
			var b millracev1.MetricBatch
			if err := b.UnmarshalVT(data); err != nil {
				return nil, 0, 0, 0, err
			}
			of := source{msg.Subject(), b.Source, b.EpochUnixNs}
			if b.Sequence <= highest[of] {
				repeated++
				continue
			}
			missing += int(b.Sequence - highest[of] - 1)
			highest[of] = b.Sequence
			batches++
			for _, r := range b.Resources {
				for _, delta := range r.Deltas {
					addDelta(series, r.Resource, delta)
				}
			}
		}
		if n == 0 {
			return series, batches, repeated, missing, errors.Join(fetched.Error())
		}
	}
}

func addDelta(series map[string]measured, resource *millracev1.Resource, delta *millracev1.MetricDelta) {
	attributes := map[string]string{}
	for _, kv := range slices.Concat(resource.Attributes, delta.Attributes) {
		attributes[kv.Key] = kv.GetStringValue()
		if kv.GetIntValue() != 0 {
			attributes[kv.Key] = fmt.Sprint(kv.GetIntValue())
		}
	}
	key := seriesName(delta.Name, func(key string) string { return attributes[key] })
	m := series[key]
	switch v := delta.Value.(type) {
	case *millracev1.MetricDelta_Histogram:
		m.count, m.sum = m.count+v.Histogram.Count, m.sum+v.Histogram.Sum
	case *millracev1.MetricDelta_Sum:
		m.count += uint64(v.Sum)
	default:
		return // Gauges say what there is, not how often.
	}
	series[key] = m
}

// seriesName names a series as [red] does.
func seriesName(metric string, attribute func(key string) string) string {
	name := metric
	graph := strings.HasPrefix(metric, "traces_service_graph")
	for _, key := range []string{"service.name", "http.response.status_code", "client", "server"} {
		if value := attribute(key); value != "" && graph == (key == "client" || key == "server") {
			name += " " + value
		}
	}
	return name
}

// unlike gives the names of the series that differ.
func unlike(want, got map[string]measured) (names []string) {
	for name, w := range want {
		if g := got[name]; g.count != w.count || math.Abs(g.sum-w.sum) > 1e-6*math.Max(1, w.sum) {
			names = append(names, name)
		}
	}
	for name := range got {
		if _, found := want[name]; !found && !strings.Contains(name, ".size ") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// metrics compares the deltas with the truth and waits a little for the last window.
func (d *deployment) metrics(v *comparison, want map[string]measured) {
	var got map[string]measured
	var batches, repeated, missing int
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Second) {
		var err error
		if got, batches, repeated, missing, err = d.deltas(); err != nil { // A cluster may still be moving leaders.
			if time.Now().After(end) {
				d.t.Fatal(err)
			}
			continue
		}
		if d.ignore != nil {
			maps.DeleteFunc(got, func(name string, _ measured) bool { _, found := want[name]; return !found })
		}
		if len(unlike(want, got)) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, name := range unlike(want, got) {
		v.note("wrong metric", "%s: %+v, want %+v", name, got[name], want[name])
	}
	if missing > 0 {
		v.note("missing metric batches", "%d", missing)
	}
	v.metrics = fmt.Sprintf("%d series in %d batches, %d repeated", len(want), batches, repeated)
}
