package sampling

import (
	"context"
	"encoding/binary"
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()

const testPartitions = 4

// parse makes sampling settings of YAML.
func parse(t testing.TB, text string) *config.Sampling {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte("sampling:\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return &cfg.Sampling
}

func compile(t testing.TB, cfg *config.Sampling, partitions int) *Policies {
	t.Helper()
	p, err := Compile(cfg, nil, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newTestSampler(t testing.TB, cfg *config.Sampling) *Sampler {
	t.Helper()
	p := compile(t, cfg, testPartitions)
	m, err := NewMetrics(prometheus.NewRegistry(), p)
	if err != nil {
		t.Fatal(err)
	}
	return New(0, Settings{
		Partitions: testPartitions, Wait: cfg.DecisionWait, MaxTraces: cfg.NumTraces, MaxBytes: int(cfg.MaxBytes),
		Sampled: cfg.DecisionCache.SampledCacheSize, NotSampled: cfg.DecisionCache.NonSampledCacheSize,
	}, p, m)
}

// attributes of text, whole numbers, fractions and yes or no.
func attributes(values map[string]any) []*millracev1.KeyValue {
	var all []*millracev1.KeyValue
	for key, v := range values {
		kv := &millracev1.KeyValue{Key: key}
		switch v := v.(type) {
		case string:
			kv.Value = &millracev1.KeyValue_StringValue{StringValue: v}
		case int:
			kv.Value = &millracev1.KeyValue_IntValue{IntValue: int64(v)}
		case float64:
			kv.Value = &millracev1.KeyValue_DoubleValue{DoubleValue: v}
		case bool:
			kv.Value = &millracev1.KeyValue_BoolValue{BoolValue: v}
		case []string:
			kv.Value = &millracev1.KeyValue_StringsValue{StringsValue: &millracev1.StringList{Values: v}}
		}
		all = append(all, kv)
	}
	return all
}

// traceID makes an id of partition 0.
func traceID(n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], uint64(n+1)*testPartitions)
	binary.BigEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15+1)
	return id
}

func newSpan(trace, id int) *millracev1.Span {
	t := traceID(trace)
	return &millracev1.Span{
		TraceId: t[:], SpanId: uint64(id), Name: "GET", TraceFlags: 1, StartUnixNs: uint64(epoch), EndUnixNs: uint64(epoch) + 1e6,
	}
}

// record has spans of a service at a time after the epoch.
func record(t testing.TB, at time.Duration, service string, resource map[string]any, spans ...*millracev1.Span) stage.Record {
	t.Helper()
	resource = maps.Clone(resource)
	if resource == nil {
		resource = map[string]any{}
	}
	resource["service.name"] = service
	keys := attributes(resource)
	// In order, so that the same resource has the same bytes.
	for i := range keys {
		for j := i; j > 0 && keys[j].Key < keys[j-1].Key; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	data, err := (&millracev1.SpanBatch{Version: 1, Resource: &millracev1.Resource{Attributes: keys}, Spans: spans}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Subject: bus.SpanSubject(0, "ns", service), Time: time.Unix(0, epoch+int64(at)), Data: data}
}

// sink takes what a sampler publishes.
type sink struct {
	t testing.TB
	// spans by id with the subject, and how often each came.
	spans map[uint64]*millracev1.Span
	times map[uint64]int
	where map[uint64]string
	// kept traces by metric partition.
	kept     map[int]map[[16]byte]bool
	messages int
}

func newSink(t testing.TB) *sink {
	return &sink{
		t: t, spans: map[uint64]*millracev1.Span{}, times: map[uint64]int{}, where: map[uint64]string{},
		kept: map[int]map[[16]byte]bool{},
	}
}

func (s *sink) Publish(subject, id string, data []byte) {
	s.messages++
	if id != "" {
		s.t.Errorf("message id %q", id)
	}
	for q := range testPartitions {
		if subject != bus.KeptSubject(q) {
			continue
		}
		var notice millracev1.KeptTraces
		if err := notice.UnmarshalVT(data); err != nil || notice.Version != 1 || len(notice.TraceIds) == 0 {
			s.t.Errorf("notice %x: %v", data, err)
		}
		if s.kept[q] == nil {
			s.kept[q] = map[[16]byte]bool{}
		}
		for _, trace := range notice.TraceIds {
			s.kept[q][[16]byte(trace)] = true
		}
		return
	}
	var batch millracev1.SpanBatch
	if err := batch.UnmarshalVT(data); err != nil || batch.Version != 1 || len(batch.Spans) == 0 {
		s.t.Fatalf("batch %x: %v", data, err)
	}
	service := ""
	for _, kv := range batch.Resource.Attributes {
		if kv.Key == "service.name" {
			service = kv.GetStringValue()
		}
	}
	if want := bus.SampledSubject(0, "ns", service); subject != want {
		s.t.Errorf("subject %s, want %s", subject, want)
	}
	for _, span := range batch.Spans {
		if before, found := s.spans[span.SpanId]; found && (!proto.Equal(before, span) || s.where[span.SpanId] != service) {
			s.t.Errorf("span %d came again as another", span.SpanId)
		}
		s.spans[span.SpanId], s.where[span.SpanId] = span, service
		s.times[span.SpanId]++
	}
}

func process(t testing.TB, s *Sampler, out stage.Output, records ...stage.Record) {
	t.Helper()
	if err := s.Process(context.Background(), records, out); err != nil {
		t.Fatal(err)
	}
}

func tick(t testing.TB, s *Sampler, out stage.Output, at time.Duration) {
	t.Helper()
	if err := s.Tick(context.Background(), time.Unix(0, epoch+int64(at)), out); err != nil {
		t.Fatal(err)
	}
}

// ids are those of the spans that came, in order.
func (s *sink) ids() map[uint64]int { return s.times }

func equal[K comparable](t testing.TB, got map[K]int, want ...K) {
	t.Helper()
	expected := map[K]int{}
	for _, k := range want {
		expected[k] = 1
	}
	if !maps.Equal(got, expected) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// snapshotRestore gives a sampler with the state of s.
func snapshotRestore(t testing.TB, s *Sampler, cfg *config.Sampling) *Sampler {
	t.Helper()
	b, err := s.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	restored := newTestSampler(t, cfg)
	if err := restored.Restore(b); err != nil {
		t.Fatal(err)
	}
	return restored
}
