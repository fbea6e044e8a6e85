package join

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/attribute"
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// SchemaVersion is the highest version of batches that is understood.
const SchemaVersion = 1

// Settings of a partition.
type Settings struct {
	// Partitions is the number of partitions of every stream.
	Partitions int
	// Hold is how long an exchange waits for its other side.
	Hold time.Duration
	// MaxPending bounds the open entries with the questions that wait in them, and separately the entries remembered.
	MaxPending int
	// FlowInterval is how far apart samples of a connection are, MaxFlows how many connections are remembered. Loopback:
	// those over it are counted.
	FlowInterval time.Duration
	MaxFlows     int
	Loopback     bool
	// Observer makes the observer of a partition. May be nil.
	Observer func(partition int) Observer
	// Anatomy says how spans tell where the time of a request went.
	Anatomy spans.Anatomy
	// Asker makes whom a partition asks for identities. Nil: there is nobody.
	Asker func(partition int) Asker
}

// Times derived from the hold time and fixed ones.
const (
	// A request that was served for longer than the hold time waits this part of it at its end for a client that is
	// heard of late.
	endFraction = 4
	// A question for a trace is answered within about one hold time whatever happens, unless the partition that knows
	// lags behind. Waiting that much longer costs nothing else and keeps traces whole.
	answerHolds = 10
	// rememberFor is how long a finished exchange's trace is known to those that ask, since the last use.
	rememberFor = int64(30 * time.Second)
	// openFor is how long a request may run without being heard of. Long ones are bounded by their number, see bound.
	openFor = int64(24 * time.Hour)
	// givenUpFor is how long a request that was given up may be completed.
	givenUpFor = int64(15 * time.Minute)
	// maxBatchBytes is the size at which a span batch is published before the call ends.
	maxBatchBytes = 256 << 10
)

// Partition is the processor of one partition of the exchange stream. It implements [stage.Processor].
type Partition struct {
	number   int
	settings Settings
	observer Observer
	hold     int64
	counters *Counters

	entries map[identity.Key]*entry
	open    queue
	done    memories
	askers  int
	wheel   wheel

	// now is the stream's time, nanoseconds since the Unix epoch: that of the record or of the slot of the wheel that
	// is being worked on. A backlog is so read as if live, and what is done, in which order and at what time is a
	// function of the records alone, whenever the stage told the time in between.
	now int64
	// clock is the time by which waits are measured: it falls behind now while the decoder does, see [progress.clock].
	clock    int64
	progress progress
	// begun: a record has come since the processor was made.
	begun bool

	processes *registry
	flows     flows
	names     names
	encoder   spans.Encoder
	pages     pages
	out       stage.Output
	// links under construction, encoded, by partition, and the partitions that have some.
	links   [][]byte
	telling []int

	// Memory that is used again. views are of the client's and the server's exchange of the entry that is being
	// decided, if viewed.
	batch   batch
	words   *attribute.Names // names of attributes of the message that came last
	arrived *view
	linked  *linkView
	views   [2]*view
	viewed  [2]bool
	joined  Joined
	freed   []*entry
	buffers [][]byte

	// Gauges of the partition.
	pendingGauge, rememberedGauge, heldGauge prometheus.Gauge
}

// New makes the processor of a partition with empty state. counters may be shared by partitions.
func New(partition int, settings Settings, counters *Counters) *Partition {
	label := strconv.Itoa(partition)
	if settings.MaxFlows == 0 {
		settings.MaxFlows = 20000
	}
	p := &Partition{
		number:    partition,
		settings:  settings,
		encoder:   spans.Encoder{Anatomy: settings.Anatomy},
		hold:      int64(settings.Hold),
		counters:  counters,
		entries:   map[identity.Key]*entry{},
		done:      newMemories(),
		wheel:     wheel{slots: map[int64][]*entry{}},
		processes: newRegistry(settings.Partitions),
		progress:  make(progress, settings.Partitions),
		links:     make([][]byte, settings.Partitions),
		flows:     flows{hold: int64(settings.FlowInterval) + flowHold},
		arrived:   &view{},
		linked:    &linkView{},
		views:     [2]*view{{}, {}},

		pendingGauge:    counters.state.WithLabelValues(label, "pending"),
		rememberedGauge: counters.state.WithLabelValues(label, "remembered"),
		heldGauge:       counters.held.WithLabelValues(label),
	}
	if settings.Observer != nil {
		p.observer = settings.Observer(partition)
	}
	if settings.Asker != nil {
		p.names = names{asker: settings.Asker(partition), of: map[place]*named{}}
	}
	return p
}

// Process implements [stage.Processor].
func (p *Partition) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	p.out = out
	for i := range records {
		r := &records[i]
		at := r.Time.UnixNano()
		if !p.begun && p.observer != nil {
			p.observer.Begin(at)
		}
		p.begun = true
		p.advance(at)
		switch {
		case r.Subject == bus.ProgressSubject:
			p.progressBatch(r.Data)
		case strings.HasPrefix(r.Subject, "millrace.link."):
			p.linkBatch(r.Data)
		default:
			p.exchangeBatch(r.Data)
		}
	}
	p.flush(false)
	return nil
}

// Tick implements [stage.Processor].
func (p *Partition) Tick(_ context.Context, now time.Time, out stage.Output) error {
	p.out = out
	p.advance(now.UnixNano())
	p.flush(true)
	return nil
}

// Finish implements [stage.Finisher]. When the decoder has ended as well, what waits for it is decided with what is
// known, in the order in which it came.
func (p *Partition) Finish(_ context.Context, final bool, out stage.Output) error {
	p.out = out
	if final {
		var waiting []*entry
		for e := p.open.first; e != nil; e = e.next {
			if e.waiting() || len(e.askers) > 0 {
				waiting = append(waiting, e)
			}
		}
		for _, e := range waiting {
			p.decide(e, true)
		}
	}
	if final {
		p.finishFlows()
	}
	p.flush(true)
	if p.observer != nil {
		p.observer.Finish(out)
	}
	return nil
}

// Forget implements [stage.Forgetter]. Spans that come twice readers drop by their ids; what was counted they cannot
// tell apart.
func (p *Partition) Forget() {
	if p.observer != nil {
		p.observer.Forget()
	}
}

// advance moves the clock and does what is due.
func (p *Partition) advance(now int64) {
	if now <= p.now {
		return
	}
	p.release(now)
	p.done.trim(p.clock-rememberFor, p.settings.MaxPending)
	p.processes.sweep(now)
	p.names.sweep(now)
	p.pendingGauge.Set(float64(p.open.length))
	p.rememberedGauge.Set(float64(p.done.len()))
}

// reach tells the time before anything happens at it.
func (p *Partition) reach(now int64) {
	p.reachFlows(now)
	p.tellTime(now)
}

func (p *Partition) tellTime(now int64) {
	p.now = now
	if p.observer != nil {
		p.observer.Advance(now, p.out)
	}
}

// due looks at an entry when the clock has come to a time.
func (p *Partition) due(clock int64, e *entry) {
	p.clock = clock
	if at := p.progress.reaches(clock, p.hold); at > p.now {
		p.reach(at)
	}
	if e.queue != nil { // Closed entries stay listed for a while.
		p.decide(e, false)
	}
}

func (p *Partition) exchangeBatch(data []byte) {
	if !p.batch.read(data, 3) || p.batch.version > SchemaVersion {
		p.counters.batchMalformed(p.batch.version)
		return
	}
	for _, process := range p.batch.processes {
		if !p.put(process) {
			p.counters.batchMalformed(0)
		}
	}
	p.words = p.words.For(p.batch.names)
	for _, encoded := range p.batch.records {
		if !p.arrived.read(encoded, p.words) {
			p.counters.batchMalformed(0)
			continue
		}
		if p.arrived.malformed > 0 {
			p.counters.Malformed.WithLabelValues("attribute").Add(float64(p.arrived.malformed))
		}
		p.exchange(&p.arrived.x, encoded)
	}
	for _, encoded := range p.batch.flows {
		p.flow(encoded)
	}
}

func (p *Partition) linkBatch(data []byte) {
	if !p.batch.read(data, 2) || p.batch.version > SchemaVersion {
		p.counters.batchMalformed(p.batch.version)
		return
	}
	for _, encoded := range p.batch.records {
		if !p.linked.read(encoded) {
			p.counters.batchMalformed(0)
			continue
		}
		p.link(&p.linked.l)
	}
	for _, encoded := range p.batch.identities {
		if !p.identity(encoded) {
			p.counters.Malformed.WithLabelValues("identity").Inc()
		}
	}
	for _, encoded := range p.batch.names {
		if !p.takenUp(encoded) {
			p.counters.Malformed.WithLabelValues("identity").Inc()
		}
	}
}

// exchange takes one side's view of a finished exchange, which it copies from its encoded form.
func (p *Partition) exchange(x *millracev1.Exchange, encoded []byte) {
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
	if h.exchange != nil || h.done || x.Completes {
		if !h.givenUp || !x.Completes { // also what completes an exchange that is not remembered
			p.counters.Duplicates.Inc()
			p.settle(e)
			return
		}
		h.again = h.done
		h.done = false
	}
	h.givenUp = x.GivenUp
	h.exchange, h.arrivedAt = append(p.bufferOf(h), encoded...), p.now
	h.names = nil
	if len(p.arrived.attributes) > 0 {
		h.names = p.words
	}
	h.process = p.processes.get(x.Process)
	if p.names.asker != nil && !e.other(h).started {
		p.names.find(peerPlace(x), p.now, 0)
	}
	if h == &e.client {
		p.clientStarted(e, identity.KeyOf(x.Cause), x.CauseUnknown, x.Context, x.ContextUnknown)
	} else {
		p.serverStarted(e, x.Context, x.ContextUnknown)
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
		p.clientStarted(e, cause, l.CauseUnknown, l.Context, l.ContextUnknown)
	case millracev1.LinkKind_LINK_KIND_SERVER_STARTED:
		e = p.entry(key)
		p.serverStarted(e, l.Context, l.ContextUnknown)
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
			e = m.recall(p.newEntry())
		} else {
			e = p.newEntry()
			e.key = key
		}
		p.entries[key] = e
		p.open.push(e)
	}
	e.usedAt = p.now
	return e
}

// Memory of this much is kept for another use.
const (
	maxFreed       = 4096
	maxBufferBytes = 4 << 10
)

func (p *Partition) newEntry() *entry {
	if n := len(p.freed); n > 0 {
		e := p.freed[n-1]
		p.freed = p.freed[:n-1]
		return e
	}
	return &entry{}
}

// free takes an entry back that nothing but the wheel refers to. A listing there is void unless the entry is meant to
// be looked at then.
func (p *Partition) free(e *entry) {
	for _, h := range []*half{&e.client, &e.server} {
		if h.exchange != nil && cap(h.exchange) <= maxBufferBytes && len(p.buffers) < maxFreed {
			p.buffers = append(p.buffers, h.exchange[:0])
		}
	}
	*e = entry{}
	if len(p.freed) < maxFreed {
		p.freed = append(p.freed, e)
	}
}

// bufferOf gives an empty buffer for the exchange of h: the one it has, if it has one.
func (p *Partition) bufferOf(h *half) []byte {
	if h.exchange != nil {
		return h.exchange[:0]
	}
	return p.buffer()
}

// buffer gives an empty buffer for an exchange.
func (p *Partition) buffer() []byte {
	if n := len(p.buffers); n > 0 {
		b := p.buffers[n-1]
		p.buffers = p.buffers[:n-1]
		return b
	}
	return make([]byte, 0, 512)
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
			p.free(e)
			continue
		}
		p.decide(e, true)
		if e.queue != nil {
			p.close(e)
		}
	}
	p.done.trim(p.clock-rememberFor, p.settings.MaxPending)
}
