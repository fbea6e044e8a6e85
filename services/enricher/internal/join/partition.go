package join

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// schemaVersion is the highest version of batches that is understood.
const schemaVersion = 1

// Settings of a partition.
type Settings struct {
	// Partitions is the number of partitions of every stream.
	Partitions int
	// Hold is how long an exchange waits for its other side.
	Hold time.Duration
	// MaxPending bounds the open entries with the questions that wait in them, and separately the entries remembered.
	MaxPending int
	// Observe is called once for every exchange, when its span is emitted: where metrics are aggregated. May be nil.
	Observe func(Joined)
}

// Joined is an exchange with what pairing found out.
type Joined struct {
	// Exchange and Process are valid during the call.
	Exchange *millracev1.Exchange
	Process  *millracev1.Process
	// Peer and PeerProcess are the other side, nil if it is not known.
	Peer        *millracev1.Exchange
	PeerProcess *millracev1.Process
	TraceID     [16]byte
	SpanID      uint64
}

// Times derived from the hold time and fixed ones.
const (
	// Where the client is known to be watched its exchange follows the server's at once, so a server span waits only this part of the
	// hold time for the facts of its peer.
	peerFraction = 4
	// A question for a trace is answered within about one hold time whatever happens, unless the partition that knows lags behind.
	// Waiting that much longer costs nothing else and keeps traces whole.
	answerHolds = 10
	// rememberFor is how long a finished exchange's trace is known to those that ask, since the last use.
	rememberFor = int64(30 * time.Second)
	// openFor is how long a request may run without being heard of.
	openFor = int64(15 * time.Minute)
	// maxBatchBytes is the size at which a span batch is published before the call ends.
	maxBatchBytes = 256 << 10
)

// Partition is the processor of one partition of the exchange stream. It implements [stage.Processor].
type Partition struct {
	settings Settings
	hold     int64
	counters *Counters

	entries map[identity.Key]*entry
	open    queue
	done    memories
	askers  int
	wheel   wheel

	// now is the stream's time as the stage tells it, nanoseconds since the Unix epoch. A backlog is so read as if live, and a hold ends
	// at the same record in a replay.
	now int64

	processes *registry
	encoder   spans.Encoder
	pages     pages
	out       stage.Output
	links     map[int]*millracev1.LinkBatch

	// Gauges of the partition.
	pendingGauge, rememberedGauge prometheus.Gauge
}

// New makes the processor of a partition with empty state. counters may be shared by partitions.
func New(partition int, settings Settings, counters *Counters) *Partition {
	label := strconv.Itoa(partition)
	return &Partition{
		settings:  settings,
		hold:      int64(settings.Hold),
		counters:  counters,
		entries:   map[identity.Key]*entry{},
		done:      memories{byKey: map[identity.Key]memory{}},
		wheel:     wheel{slots: map[int64][]*entry{}},
		processes: newRegistry(settings.Partitions),
		links:     map[int]*millracev1.LinkBatch{},

		pendingGauge:    counters.state.WithLabelValues(label, "pending"),
		rememberedGauge: counters.state.WithLabelValues(label, "remembered"),
	}
}

// Process implements [stage.Processor].
func (p *Partition) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	p.out = out
	for i := range records {
		r := &records[i]
		p.advance(r.Time.UnixNano())
		if strings.HasPrefix(r.Subject, "millrace.link.") {
			p.linkBatch(r.Data)
		} else {
			p.exchangeBatch(r.Data)
		}
	}
	p.flush()
	return nil
}

// Tick implements [stage.Processor].
func (p *Partition) Tick(_ context.Context, now time.Time, out stage.Output) error {
	p.out = out
	p.advance(now.UnixNano())
	p.flush()
	return nil
}

// advance moves the clock and does what is due.
func (p *Partition) advance(now int64) {
	if now <= p.now {
		return
	}
	p.now = now
	p.wheel.advance(now, p.due)
	p.done.trim(now-rememberFor, p.settings.MaxPending)
	p.processes.sweep(now)
	p.pendingGauge.Set(float64(p.open.length))
	p.rememberedGauge.Set(float64(len(p.done.byKey)))
}

func (p *Partition) due(e *entry) {
	if e.queue != nil { // Closed entries stay listed for a while.
		p.decide(e, false)
	}
}

func (p *Partition) exchangeBatch(data []byte) {
	var batch millracev1.ExchangeBatch
	if err := batch.UnmarshalVT(data); err != nil || batch.Version > schemaVersion {
		p.counters.batchMalformed(err)
		return
	}
	for _, process := range batch.Processes {
		p.processes.put(process, p.now)
	}
	for _, x := range batch.Exchanges {
		p.exchange(x)
	}
}

func (p *Partition) linkBatch(data []byte) {
	var batch millracev1.LinkBatch
	if err := batch.UnmarshalVT(data); err != nil || batch.Version > schemaVersion {
		p.counters.batchMalformed(err)
		return
	}
	for _, link := range batch.Links {
		p.link(link)
	}
}

// exchange takes one side's view of a finished exchange.
func (p *Partition) exchange(x *millracev1.Exchange) {
	key := identity.KeyOf(x.Key)
	if key.Flow == 0 {
		p.counters.Malformed.WithLabelValues("key").Inc()
		return
	}
	var h *half
	e := p.entry(key)
	switch x.Side {
	case millracev1.Side_SIDE_CLIENT:
		h = &e.client
	case millracev1.Side_SIDE_SERVER:
		h = &e.server
	default:
		p.counters.Malformed.WithLabelValues("side").Inc()
		p.settle(e)
		return
	}
	if h.done || h.exchange != nil {
		p.counters.Duplicates.Inc()
		p.settle(e)
		return
	}
	h.exchange, h.arrivedAt = x, p.now
	h.process = p.processes.get(x.Process)
	if h == &e.client {
		p.clientStarted(e, identity.KeyOf(x.Cause), x.Context)
	} else {
		p.serverStarted(e, x.Context)
	}
	p.decide(e, false)
	p.bound()
}

// link takes a statement of the decoder or of another partition.
func (p *Partition) link(l *millracev1.Link) {
	key, cause := identity.KeyOf(l.Key), identity.KeyOf(l.Cause)
	if l.Kind == millracev1.LinkKind_LINK_KIND_ASK {
		p.ask(key, cause)
		return
	}
	if key.Flow == 0 {
		p.counters.Malformed.WithLabelValues("key").Inc()
		return
	}
	var e *entry
	switch l.Kind {
	case millracev1.LinkKind_LINK_KIND_CLIENT_STARTED:
		e = p.entry(key)
		p.clientStarted(e, cause, l.Context)
	case millracev1.LinkKind_LINK_KIND_SERVER_STARTED:
		e = p.entry(key)
		p.serverStarted(e, l.Context)
	case millracev1.LinkKind_LINK_KIND_RESOLVED:
		if len(l.TraceId) != 16 || [16]byte(l.TraceId) == ([16]byte{}) {
			p.counters.Malformed.WithLabelValues("trace_id").Inc()
			return
		}
		e = p.entry(key)
		p.resolved(e, [16]byte(l.TraceId), l.TraceFlags)
	default:
		p.counters.Malformed.WithLabelValues("kind").Inc()
		return
	}
	p.decide(e, false)
	p.bound()
}

// entry gives the open entry of key: recalled from memory, or a new one, if there is none.
func (p *Partition) entry(key identity.Key) *entry {
	e := p.entries[key]
	if e == nil {
		if m, found := p.done.take(key); found {
			e = m.recall(key)
		} else {
			e = &entry{key: key}
		}
		p.entries[key] = e
		p.open.push(e)
	}
	e.usedAt = p.now
	return e
}

func (p *Partition) forget(e *entry) {
	if e.queue != nil {
		e.queue.remove(e)
	}
	delete(p.entries, e.key)
}

// bound keeps the state within its limits: what has waited longest is decided with what is known.
func (p *Partition) bound() {
	for p.open.length+p.askers > p.settings.MaxPending && p.open.first != nil {
		e := p.open.first
		p.counters.Early.Inc()
		if e.how == unknown && !e.waiting() && len(e.askers) == 0 {
			p.forget(e) // Nobody needs a decision yet.
			continue
		}
		p.decide(e, true)
		if e.queue != nil {
			p.close(e)
		}
	}
	p.done.trim(p.now-rememberFor, p.settings.MaxPending)
}
