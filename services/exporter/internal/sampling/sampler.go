package sampling

import (
	"context"
	"strconv"
	"strings"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/otlp"
)

// schemaVersion is the highest version of batches that is understood, and that of those made.
const schemaVersion = 1

// grid is what decision times are multiples of: traces that are decided on together share the batches of their spans.
const grid = int64(100 * time.Millisecond)

// Settings of all samplers.
type Settings struct {
	// Partitions of the streams.
	Partitions int
	// Wait is how long after its first span a trace is decided on.
	Wait time.Duration
	// MaxTraces and MaxBytes bound what waits in a partition.
	MaxTraces, MaxBytes int
	// Sampled and NotSampled are how many decisions are remembered of each kind, at least.
	Sampled, NotSampled int
}

// MaxSnapshotBytes bounds a snapshot: waiting traces, two generations of each kind of decision, and some for names.
func (s *Settings) MaxSnapshotBytes() int {
	return s.MaxBytes + 2*traceIDBytes*2*(s.Sampled+s.NotSampled) + 16<<20
}

// Sampler decides about the traces of one partition of the span stream. It implements [stage.Processor].
type Sampler struct {
	partition int
	settings  Settings
	policies  *Policies
	metrics   *Metrics
	// prefix of the subjects of the partition.
	prefix string

	// recorded is the time of the newest record, told that of the newest record or tick, nanoseconds since the Unix
	// epoch.
	recorded, told int64
	waiting        waiting
	resources      resources
	buckets        []bucket
	// kept and dropped are decisions; nil where none are remembered.
	kept, dropped *stage.Dedup[[16]byte]
	memory        memory
	emitter       emitter
	shown         shown

	// Memory that is used again.
	batch otlp.Batch
	span  span
}

// New makes the sampler of a partition with empty state.
func New(partition int, settings Settings, policies *Policies, metrics *Metrics) *Sampler {
	s := &Sampler{
		partition: partition, settings: settings, policies: policies, metrics: metrics,
		prefix: "millrace.span." + strconv.Itoa(partition) + ".", memory: policies.conditions.newMemory(),
		emitter: newEmitter(settings.Partitions),
	}
	s.clear()
	return s
}

// clear empties the state.
func (s *Sampler) clear() {
	s.recorded, s.told = 0, 0
	s.waiting = waiting{byID: map[[16]byte]*trace{}}
	s.resources = resources{byKey: map[string]*resource{}}
	s.buckets = make([]bucket, len(s.policies.buckets))
	s.kept, s.dropped = newDecisions(s.settings.Sampled), newDecisions(s.settings.NotSampled)
}

// newDecisions remembers at least the last size traces.
func newDecisions(size int) *stage.Dedup[[16]byte] {
	if size == 0 {
		return nil
	}
	return stage.NewDedup[[16]byte](2 * size)
}

// Process implements [stage.Processor].
func (s *Sampler) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	for i := range records {
		r := &records[i]
		s.recorded = max(s.recorded, r.Time.UnixNano())
		s.advance(s.recorded, out)
		s.take(r, out)
		s.bound(out)
	}
	s.emitter.flush(&s.resources, out)
	s.show()
	return nil
}

// Tick implements [stage.Processor].
func (s *Sampler) Tick(_ context.Context, now time.Time, out stage.Output) error {
	s.advance(now.UnixNano(), out)
	s.emitter.flush(&s.resources, out)
	s.show()
	return nil
}

// Finish implements [stage.Finisher]. When the enricher has ended as well, no more spans come, and every trace is
// decided on.
func (s *Sampler) Finish(_ context.Context, final bool, out stage.Output) error {
	for final && s.waiting.first != nil {
		s.decide(s.told, out)
	}
	s.emitter.flush(&s.resources, out)
	s.show()
	return nil
}

// Close lets go of the sampler's part of the metrics.
func (s *Sampler) Close() error {
	s.metrics.show(&s.shown, shown{})
	return nil
}

// advance decides about the traces that are due.
func (s *Sampler) advance(now int64, out stage.Output) {
	s.told = max(s.told, now)
	for t := s.waiting.first; t != nil; t = s.waiting.first {
		due := s.due(t)
		if due > now {
			return
		}
		s.decide(due, out)
	}
}

func (s *Sampler) due(t *trace) int64 {
	return (t.first + int64(s.settings.Wait) + grid - 1) / grid * grid
}

// bound decides about the oldest traces while there are too many.
func (s *Sampler) bound(out stage.Output) {
	for s.waiting.first != nil {
		switch {
		case len(s.waiting.byID) > s.settings.MaxTraces:
			s.metrics.earlyTraces.Inc()
		case s.waiting.bytes+s.resources.bytes > s.settings.MaxBytes:
			s.metrics.earlyBytes.Inc()
		default:
			return
		}
		s.decide(s.recorded, out)
	}
}

// take sorts the spans of a record.
func (s *Sampler) take(record *stage.Record, out stage.Output) {
	if s.batch.Read(record.Data) != nil {
		s.metrics.malformed.WithLabelValues("batch").Inc()
		return
	}
	if s.batch.Version > schemaVersion {
		s.metrics.malformed.WithLabelValues("version").Inc()
		return
	}
	service, found := strings.CutPrefix(record.Subject, s.prefix)
	r := s.resources.find(service, s.batch.Resource)
	if r == nil {
		if found {
			r = s.newResource(service, string(s.batch.Resource))
		}
		if r == nil {
			s.metrics.malformed.WithLabelValues("subject").Inc()
			return
		}
		s.resources.put(r)
	}
	for _, encoded := range s.batch.Spans {
		if !s.span.read(encoded, &s.policies.conditions, s.memory) {
			s.metrics.malformed.WithLabelValues("span").Inc()
			continue
		}
		s.place(r, encoded, out)
	}
	s.resources.release(r)
}

// place puts the span that was read where it belongs: to its waiting trace, or where the decision about its trace says.
func (s *Sampler) place(r *resource, encoded []byte, out stage.Output) {
	t, found := s.waiting.byID[s.span.trace]
	if !found {
		switch {
		case s.kept != nil && s.kept.Contains(s.span.trace):
			s.kept.Seen(s.span.trace) // Used just now.
			s.metrics.lateKept.Inc()
			s.metrics.spansKept.Inc()
			s.emitter.span(r, encoded, out)
			s.emitter.notice(r, s.span.trace, out)
			return
		case s.dropped != nil && s.dropped.Contains(s.span.trace):
			s.dropped.Seen(s.span.trace)
			s.metrics.lateDropped.Inc()
			s.metrics.spansDropped.Inc()
			return
		}
		t = &trace{id: s.span.trace, first: s.recorded}
		s.waiting.add(t)
	}
	before := t.size()
	added := t.put(&s.span, r.number, encoded)
	s.waiting.bytes += t.size() - before
	if !added {
		s.metrics.duplicates.Inc()
		return
	}
	t.hits.join(&r.hits)
	r.spans++
}

// decide decides about the oldest trace at a time of the stream, publishes or drops it, and remembers the decision.
func (s *Sampler) decide(at int64, out stage.Output) {
	t := s.waiting.take()
	subject := subject{facts: &t.facts, trace: t.id, at: at, buckets: s.buckets}
	v := s.policies.decide(&subject, s.metrics.heard)
	s.metrics.decision(v, t, s.told)
	switch {
	case v.kept && s.kept != nil:
		s.kept.Seen(t.id)
	case !v.kept && s.dropped != nil:
		s.dropped.Seen(t.id)
	}
	for data := t.data; len(data) > 0; {
		number, encoded, rest, ok := nextSpan(data)
		if !ok {
			break // Made by put, or checked by Restore.
		}
		data = rest
		r := s.resources.byNumber[number]
		r.spans--
		if v.kept {
			s.emitter.span(r, encoded, out)
			s.emitter.notice(r, t.id, out)
		} else {
			s.resources.release(r)
		}
	}
}
