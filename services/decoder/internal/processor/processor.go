package processor

import (
	"context"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/decode"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// Version of the schemas that are read and written.
const Version = 1

// Options of a processor.
type Options struct {
	// Partitions of every stream.
	Partitions int
	// MaxStreamBytes bounds the bytes held of one direction of one connection.
	MaxStreamBytes int
	// MaxConnections bounds the connection ends tracked; beyond it the least recently used is given up.
	MaxConnections int
	// ExchangeTimeout is how long a request waits since its response may have been missed.
	ExchangeTimeout time.Duration
	// KeepStatements keeps literals of statements.
	KeepStatements bool
	// PreparedStatements is how many prepared statements of a connection are remembered, by protocol; absent: as many
	// as the room says.
	PreparedStatements map[millracev1.Protocol]int
	// Metrics may be nil.
	Metrics *Metrics
	// Pool of the process; nil: one core.
	Pool *Pool
	// Protocols that are decoded.
	Protocols []decode.Protocol
	// Details: protocols that have a [decode.Detail] publish that in place of attributes.
	Details bool
	// Layers are offered the exchanges of HTTP; nil: there are none.
	Layers *decode.Layers

	byNumber []*decode.Protocol
	// known gives what every stage knows of the protocol with a number; a test may put another in its place.
	known func(number int32) *protocols.Protocol
	// speaking are the protocols as which connections are recognised; likewise.
	speaking []*protocols.Protocol
}

// Event flags of raw.proto.
const (
	flagUnreadable = 2
	flagConcurrent = 8
	flagPart       = 64
)

// maxTime bounds times, so that sums of them do not overflow.
const maxTime = 1 << 62

// Processor decodes one partition. It implements [stage.Processor] and [stage.Watermarker].
type Processor struct {
	options     Options
	connections map[connectionKey]*connection
	recent      connection // list of connections, most recently used first
	processes   map[uint64]*process
	nodes       map[string]*node
	progress    progress // of nodes, also those without events here
	closing     []*connection
	waiting     []*connection // connections with a gap that may still be filled
	ticks       uint64        // steps of the stream's time that have passed
	now         int64         // the stream's time, Unix ns, in whole steps
	batches     uint64        // that were decoded

	// What is held, in bytes: of connections, tasks, processes, nodes. See bound.
	held, tasksHeld, factsHeld, nodesHeld int

	batch rawbatch.Batch
	event rawbatch.Event
	index []*connection // of the batch
	node  *node         // of the batch
	round *round        // during a call
	out   emitter
	flows flows // of the call
	tally tally
	// parserState is memory for the state of one parser.
	parserState []byte
}

// New makes a processor with empty state.
func New(o Options) *Processor {
	if o.Pool == nil {
		o.Pool = NewPool(1)
	}
	o.known, o.speaking = all.Of, all.Speaking()
	o.indexProtocols()
	p := &Processor{options: o}
	p.clear()
	return p
}

func (p *Processor) clear() {
	p.connections = map[connectionKey]*connection{}
	p.processes = map[uint64]*process{}
	p.nodes = map[string]*node{}
	p.progress = newProgress()
	p.closing, p.waiting = nil, nil
	p.held, p.tasksHeld, p.factsHeld, p.nodesHeld, p.batches = 0, 0, 0, 0, 0
	p.recent.next, p.recent.previous = &p.recent, &p.recent
	p.out.init(p.options.Partitions)
}

// Process implements [stage.Processor]. Batches that cannot be read are counted and skipped.
func (p *Processor) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	defer p.enter(out)()
	for i := range records {
		p.advance(records[i].Time.UnixNano())
		if records[i].Subject == bus.WatermarkSubject {
			p.progress.agree(&records[i], p.options.Partitions, &p.tally)
		} else {
			p.decode(&records[i])
		}
	}
	p.finish()
	return nil
}

// enter prepares for a call; what it gives is to be called at its end.
func (p *Processor) enter(out stage.Output) (leave func()) {
	p.round, p.out.to = p.options.Pool.enter(), out
	return func() {
		r := p.round
		p.round, p.out.to = nil, nil
		if len(r.items) > 0 || r.used > 0 { // a panic: nobody knows what state it is in
			r = nil
		}
		p.options.Pool.leave(r)
	}
}

func (p *Processor) finish() {
	p.run()
	p.emitFlows()
	p.out.flush()
	p.options.Metrics.add(&p.tally)
	p.tellWorkers()
}

// tellWorkers adds what the workers have counted to the metrics.
func (p *Processor) tellWorkers() {
	for _, w := range p.round.workers[:p.round.used] {
		p.options.Metrics.add(&w.tally)
	}
	p.round.used = 0
}

func (p *Processor) decode(record *stage.Record) {
	b := &p.batch
	if err := b.Read(record.Data); err != nil {
		count(&p.tally.malformed, "batch", 1)
		return
	}
	if b.Version != Version {
		count(&p.tally.malformed, "version", 1)
		return
	}
	if len(b.Node) > maxNodeName {
		count(&p.tally.malformed, "node", 1)
		return
	}
	if b.HasProgress {
		p.progress.hear(b, record, &p.tally)
		return
	}
	p.node = p.nodeOf(b)
	if !p.admit(b) {
		p.tally.batchesAgain++
		return
	}
	p.tally.batches++
	for i := range b.Losses {
		switch b.Losses[i].Cause {
		case millracev1.LossCause_LOSS_CAUSE_RING_FULL, millracev1.LossCause_LOSS_CAUSE_SEND_BUFFER_FULL:
			p.lose(p.node)
		default: // Nothing that was followed is missing.
		}
	}
	for i := range b.Processes {
		p.learn(&b.Processes[i])
	}
	p.index = p.index[:0]
	for range b.Connections {
		p.index = append(p.index, nil)
	}
	for _, m := range b.Events {
		p.route(b, m)
	}
	for _, m := range b.Flows {
		p.flow(b, m)
	}
	p.evict()
	if p.batches++; p.batches%boundEvery == 0 {
		p.run()
		p.bound()
	}
}

// route hands an event to who handles it.
func (p *Processor) route(b *rawbatch.Batch, m []byte) {
	now := len(p.round.items) == 0 && p.options.Pool.busy()
	e := &p.event
	var h rawbatch.Head
	ok := false
	if now {
		ok = e.Read(m)
		h = rawbatch.Head{Kind: e.Kind, Connection: e.Connection, Time: e.Time}
	} else {
		ok = h.Read(m)
	}
	if !ok || int64(h.Connection) > int64(len(b.Connections)) || h.Time > maxTime {
		count(&p.tally.malformed, "event", 1)
		return
	}
	p.node.watermark = max(p.node.watermark, int64(h.Time))
	var c *connection
	if h.Connection > 0 {
		if c = p.index[h.Connection-1]; c == nil {
			facts := &b.Connections[h.Connection-1]
			if facts.SendFlow == 0 || facts.Socket == 0 {
				count(&p.tally.malformed, "connection", 1)
				return
			}
			c = p.connectionOf(facts)
			p.index[h.Connection-1] = c
		}
	}
	switch {
	case c == nil || !isData(h.Kind):
		p.other(c, &h, m)
	case now:
		w := p.seat(c)
		w.data(c, e)
		p.unseat(w)
	default:
		p.queue(item{c: c, message: m, clock: p.node.clockOffset, reference: h.Connection})
	}
}

// other handles an event that does not move data.
func (p *Processor) other(c *connection, h *rawbatch.Head, m []byte) {
	e := &p.event
	if !e.Read(m) || e.Connection != h.Connection || e.Kind != h.Kind || isData(e.Kind) {
		count(&p.tally.malformed, "event", 1)
		return
	}
	p.tally.events++
	p.handle(c, e, m)
}

func isData(k millracev1.EventKind) bool {
	return k == millracev1.EventKind_EVENT_KIND_SEND || k == millracev1.EventKind_EVENT_KIND_RECEIVE
}

func (p *Processor) handle(c *connection, e *rawbatch.Event, m []byte) {
	switch e.Kind {
	case millracev1.EventKind_EVENT_KIND_OPEN:
	case millracev1.EventKind_EVENT_KIND_CLOSE:
		if c != nil {
			p.closeLater(c, decode.Closed, int64(e.Time))
		}
	case millracev1.EventKind_EVENT_KIND_RESET:
		if c != nil {
			p.closeLater(c, decode.Reset, int64(e.Time))
		}
	case millracev1.EventKind_EVENT_KIND_END_OF_CAPTURE:
		if c != nil {
			p.closeLater(c, decode.Lost, int64(e.Time))
		}
	case millracev1.EventKind_EVENT_KIND_PROCESS_EXIT:
		if q := p.ownerOf(c, e); q != nil {
			p.exit(q, int64(e.Time))
		}
	default:
		if it := (item{c: c, message: m, task: true}); len(p.round.items) == 0 {
			p.task(&it)
		} else {
			p.queue(it)
		}
	}
}
