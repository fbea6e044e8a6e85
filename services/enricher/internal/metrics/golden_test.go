package metrics

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/catalog"
	"millrace.dev/lib/config"
	"millrace.dev/services/enricher/internal/join"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// published collects batches.
type published struct {
	t       testing.TB
	batches []*millracev1.MetricBatch
	bytes   []int
}

func (p *published) Publish(subject, id string, data []byte) {
	b := &millracev1.MetricBatch{}
	if err := b.UnmarshalVT(data); err != nil {
		p.t.Fatal(err)
	}
	for _, r := range b.Resources {
		attributes := map[string]string{}
		for _, kv := range r.Resource.Attributes {
			attributes[kv.Key] = kv.GetStringValue()
		}
		if want := bus.MetricSubject(bus.MetricPartition(attributes["service.namespace"], attributes["service.name"], 4)); subject != want {
			p.t.Errorf("batch of %s on %s, want %s", attributes["service.name"], subject, want)
		}
	}
	if id == "" {
		p.t.Error("a batch without an id")
	}
	p.batches = append(p.batches, b)
	p.bytes = append(p.bytes, len(data))
}

// window ends the window and gives what was published.
func window(t testing.TB, a *Aggregator) *published {
	t.Helper()
	p := &published{t: t}
	a.Advance(a.end, p)
	return p
}

// render writes deltas as text, one a line.
func render(t testing.TB, batches []*millracev1.MetricBatch) string {
	var b strings.Builder
	for _, m := range batches {
		if m.Version != 1 || m.Source != 3 || m.EpochUnixNs != 1000*second || m.EndUnixNs-m.StartUnixNs != 5*second {
			t.Errorf("head of the batch: %v", m)
		}
		fmt.Fprintf(&b, "batch %d\n", m.Sequence)
		for _, r := range m.Resources {
			fmt.Fprintf(&b, "resource%s\n", attributesText(t, r.Resource.Attributes, false))
			for _, d := range r.Deltas {
				c, found := catalog.ByName(d.Name)
				if !found || c.Unit != d.Unit {
					t.Errorf("metric %s %q is not in the catalog", d.Name, d.Unit)
				}
				fmt.Fprintf(&b, "  %s%s\n    %s\n", d.Name, attributesText(t, d.Attributes, true), valueText(d))
				for _, e := range d.Exemplars {
					fmt.Fprintf(&b, "    exemplar %v of span %d at %d\n", e.Value, e.SpanId, e.TimeUnixNs)
				}
			}
		}
	}
	return b.String()
}

func attributesText(t testing.TB, attributes []*millracev1.KeyValue, sorted bool) string {
	text, last := "", ""
	for _, kv := range attributes {
		if sorted && kv.Key <= last {
			t.Errorf("attribute %s follows %s", kv.Key, last)
		}
		last = kv.Key
		switch v := kv.Value.(type) {
		case *millracev1.KeyValue_StringValue:
			text += fmt.Sprintf(" %s=%q", kv.Key, v.StringValue)
		case *millracev1.KeyValue_IntValue:
			text += fmt.Sprintf(" %s=%d", kv.Key, v.IntValue)
		case *millracev1.KeyValue_BoolValue:
			text += fmt.Sprintf(" %s=%v", kv.Key, v.BoolValue)
		}
	}
	return text
}

func valueText(d *millracev1.MetricDelta) string {
	switch v := d.Value.(type) {
	case *millracev1.MetricDelta_Sum:
		return fmt.Sprint("sum ", v.Sum)
	case *millracev1.MetricDelta_Gauge:
		return fmt.Sprint("gauge ", v.Gauge)
	case *millracev1.MetricDelta_Histogram:
		h := v.Histogram
		text := fmt.Sprint("count ", h.Count, " sum ", h.Sum)
		for i, n := range h.Counts {
			if n == 0 {
				continue
			}
			bound := "+Inf"
			if i < len(h.Bounds) {
				bound = fmt.Sprint(h.Bounds[i])
			}
			text += fmt.Sprint(", ", n, " up to ", bound)
		}
		return text
	case *millracev1.MetricDelta_ExponentialHistogram:
		h := v.ExponentialHistogram
		return fmt.Sprint("count ", h.Count, " sum ", h.Sum, " scale ", h.Scale, " zeros ", h.ZeroCount, " from ", h.Offset, " ", h.Counts)
	}
	return "nothing"
}

// changed gives the two sides with a change to both.
func changed(change func(x *millracev1.Exchange, h *millracev1.HttpExchange)) []*join.Joined {
	c, s := pair()
	for _, j := range []*join.Joined{c, s} {
		change(j.Exchange, j.Exchange.GetHttp())
	}
	return []*join.Joined{c, s}
}

func toRedis(x *millracev1.Exchange, command, code string) {
	x.Detail = &millracev1.Exchange_Redis{Redis: &millracev1.RedisExchange{Command: command, ErrorCode: code, Database: 2}}
}

// inPods gives a pair of two pods, a client of the one alone that asks a Service, and a server of the other alone.
func inPods() []*join.Joined {
	said := func(name, zone string) *millracev1.Identity {
		text := func(key, value string) *millracev1.KeyValue {
			return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
		}
		return &millracev1.Identity{Attributes: []*millracev1.KeyValue{
			text("k8s.namespace.name", "store"), text("k8s.deployment.name", name), text("k8s.pod.name", name+"-5d8c"),
			text("cloud.availability_zone", zone), text("k8s.pod.label.team", "not asked for"),
		}}
	}
	c, s := pair()
	client, server := *c.Process, *s.Process
	client.Cluster, server.Cluster = said("frontend", "a"), said("api", "b")
	c.Process, c.PeerProcess, s.Process, s.PeerProcess = &client, &server, &server, &client
	asking, _ := pair()
	asking = alone(asking)
	asking.Process, asking.PeerAddress = &client, said("mail", "c")
	_, asked := pair()
	asked = alone(asked)
	asked.Process = &server
	return []*join.Joined{c, s, asking, asked}
}

// onMachine gives a pair on a machine that says what it is, of which the cluster says something else.
func onMachine() []*join.Joined {
	pods := inPods()[:2]
	for _, j := range pods {
		j.Process.Process.Host = &millracev1.Host{Id: "i-0abc", Arch: "arm64", OsType: "linux", CloudProvider: "aws", CloudAvailabilityZone: "eu-1a"}
	}
	return pods
}

// alone takes the other side away.
func alone(j *join.Joined) *join.Joined {
	j.Peer, j.PeerProcess = nil, nil
	j.ClientSeen = j.Exchange.Side == millracev1.Side_SIDE_CLIENT
	return j
}

// What is published of exchanges, as golden files. Run with -update after a change that is meant.
func TestGolden(t *testing.T) {
	t.Parallel()
	c, s := pair()
	outsider, _ := pair()
	outsider = alone(outsider)
	outsider.Exchange.GetHttp().Host = ""
	_, inside := pair()
	inside = alone(inside)
	_, internet := pair()
	internet = alone(internet)
	internet.Exchange.RemoteAddress = []byte{203, 0, 113, 9}
	named, _ := pair()
	named = alone(named)
	graph := func(cfg *config.Config) { cfg.Metrics.Features = []string{"application_service_graph"} }
	spans := func(cfg *config.Config) { cfg.Metrics.Features = []string{"application", "application_span"} }
	for name, test := range map[string]struct {
		config    func(*config.Config)
		exchanges []*join.Joined
	}{
		"application": {nil, []*join.Joined{c, s}},
		"all":         {func(cfg *config.Config) { cfg.Metrics.Features = allFeatures().Metrics.Features }, []*join.Joined{c, s}},
		"exponential": {func(cfg *config.Config) {
			cfg.Metrics.HistogramAggregation = config.ExponentialBuckets
			cfg.Metrics.Features = []string{"application", "application_host"}
		}, []*join.Joined{c, s, c}},
		"select": {func(cfg *config.Config) {
			cfg.Attributes.Select = map[string]config.AttributeSelection{
				"http_server_request_duration_seconds": {Include: []string{"http.*", "url_path"}, Exclude: []string{"http_request_method"}},
				"*":                                    {Exclude: []string{"*"}},
				"http.client.*":                        {Exclude: []string{"server.*", "url_*"}},
			}
		}, []*join.Joined{c, s}},
		"error": {spans, changed(func(_ *millracev1.Exchange, h *millracev1.HttpExchange) { h.Status = 404 })},
		"reset": {spans, changed(func(x *millracev1.Exchange, h *millracev1.HttpExchange) {
			x.Outcome, h.Status, x.ResponseBodyBytes = millracev1.Outcome_OUTCOME_RESET, 0, 0
		})},
		"lost": {spans, changed(func(x *millracev1.Exchange, h *millracev1.HttpExchange) {
			x.Outcome, h.Status, x.ResponseBodyBytes = millracev1.Outcome_OUTCOME_LOST, 0, 0
		})},
		"one_way": {
			func(cfg *config.Config) { cfg.Metrics.Features = allFeatures().Metrics.Features },
			changed(func(x *millracev1.Exchange, _ *millracev1.HttpExchange) {
				x.Outcome = millracev1.Outcome_OUTCOME_ONE_WAY
				toRedis(x, "SUBSCRIBE", "")
			}),
		},
		"redis": {func(cfg *config.Config) {
			cfg.Metrics.Features = []string{"application", "application_service_graph"}
			cfg.Attributes.Select = map[string]config.AttributeSelection{"db.client.operation.duration": {Include: []string{"db.*", "error.type"}}}
		}, changed(func(x *millracev1.Exchange, _ *millracev1.HttpExchange) { toRedis(x, "GET", "WRONGTYPE") })},
		"graph_ends": {func(cfg *config.Config) {
			graph(cfg)
			cfg.Attributes.Select = map[string]config.AttributeSelection{
				"traces_service_graph_request_total": {Include: []string{"client", "server", "*_k8s_*", "*_zone"}, Exclude: []string{"*_pod_name"}},
				"*":                                  {Exclude: []string{"*"}},
			}
		}, inPods()},
		"hosts": {func(cfg *config.Config) {
			cfg.Metrics.Features = []string{"application_host"}
			cfg.Attributes.Select = map[string]config.AttributeSelection{"http.*": {Exclude: []string{"*"}}}
		}, onMachine()},
		"graph_unpaired": {graph, []*join.Joined{outsider, inside, internet, named}},
		"none":           {func(cfg *config.Config) { cfg.Metrics.Features = []string{} }, []*join.Joined{c, s}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			if test.config != nil {
				test.config(cfg)
			}
			a := aggregator(t, cfg)
			for _, j := range test.exchanges {
				observe(a, j)
			}
			got := render(t, window(t, a).batches)
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
