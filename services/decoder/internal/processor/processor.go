package processor

import (
	"context"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/rawbatch"
	"millrace.dev/services/decoder/internal/stream"
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
	// ExchangeTimeout is how long a request waits for its response.
	ExchangeTimeout time.Duration
	// KeepStatements keeps literals of statements.
	KeepStatements bool
	// Metrics may be nil.
	Metrics *Metrics
	// Protocols that are looked for, in this order.
	Protocols []protocol.Protocol
}

// Event flags of raw.proto.
const (
	flagUnreadable = 2
	flagConcurrent = 8
)

// Processor decodes one partition. It implements [stage.Processor].
type Processor struct {
	options     Options
	connections map[connectionKey]*connection
	recent      connection // list of connections, most recently used first
	processes   map[uint64]*process
	nodes       map[string]*node
	closing     []*connection
	waiting     []*connection // connections with a gap that may still be filled
	free        []*protocol.Exchange
	ticks       uint64
	now         int64 // of the last Tick, Unix ns

	batch rawbatch.Batch
	event rawbatch.Event
	move  stream.Event
	index []*connection // of the batch
	node  *node         // of the batch
	out   emitter
	tally tally
}

// New makes a processor with empty state.
func New(o Options) *Processor {
	p := &Processor{options: o}
	p.clear()
	return p
}

func (p *Processor) clear() {
	p.connections = map[connectionKey]*connection{}
	p.processes = map[uint64]*process{}
	p.nodes = map[string]*node{}
	p.closing, p.waiting = nil, nil
	p.recent.next, p.recent.previous = &p.recent, &p.recent
	p.out.init(p.options.Partitions)
}

// Process implements [stage.Processor]. Batches that cannot be read are counted and skipped.
func (p *Processor) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	for i := range records {
		p.decode(records[i].Data, out)
	}
	p.finish(out)
	return nil
}

func (p *Processor) finish(out stage.Output) {
	p.out.flush(p, out)
	p.options.Metrics.add(&p.tally)
}

func (p *Processor) decode(message []byte, out stage.Output) {
	b := &p.batch
	if err := b.Read(message); err != nil {
		count(&p.tally.malformed, "batch", 1)
		return
	}
	if b.Version != Version {
		count(&p.tally.malformed, "version", 1)
		return
	}
	p.node = p.nodeOf(b)
	if !p.admit(b) {
		p.tally.batchesAgain++
		return
	}
	p.tally.batches++
	for i := range b.Losses {
		count(&p.tally.captureLost, b.Losses[i].Cause, b.Losses[i].Events)
	}
	for i := range b.Processes {
		p.processOf(b.Processes[i].ID).learn(b.Processes[i].Encoded)
	}
	p.index = p.index[:0]
	for range b.Connections {
		p.index = append(p.index, nil)
	}
	for _, m := range b.Events {
		e := &p.event
		if !e.Read(m) || int64(e.Connection) > int64(len(b.Connections)) || e.Time > 1<<62 || e.Duration > 1<<62 {
			count(&p.tally.malformed, "event", 1)
			continue
		}
		p.tally.events++
		p.node.watermark = max(p.node.watermark, int64(e.Time))
		var c *connection
		if e.Connection > 0 {
			if c = p.index[e.Connection-1]; c == nil {
				facts := &b.Connections[e.Connection-1]
				if facts.SendFlow == 0 || facts.Socket == 0 {
					count(&p.tally.malformed, "connection", 1)
					continue
				}
				c = p.connectionOf(facts)
				p.index[e.Connection-1] = c
			}
		}
		p.handle(c, e)
		p.out.spill(p, out)
	}
	// The message's memory is the stage's again, and connections may be given up from here on.
	p.evict()
}

func (p *Processor) handle(c *connection, e *rawbatch.Event) {
	switch e.Kind {
	case millracev1.EventKind_EVENT_KIND_SEND, millracev1.EventKind_EVENT_KIND_RECEIVE:
		if c == nil {
			count(&p.tally.malformed, "event", 1)
			return
		}
		p.data(c, e)
	case millracev1.EventKind_EVENT_KIND_OPEN:
	case millracev1.EventKind_EVENT_KIND_CLOSE:
		if c != nil {
			p.closeLater(c, protocol.Closed, int64(e.Time))
		}
	case millracev1.EventKind_EVENT_KIND_RESET:
		if c != nil {
			p.closeLater(c, protocol.Reset, int64(e.Time))
		}
	case millracev1.EventKind_EVENT_KIND_END_OF_CAPTURE:
		if c != nil {
			p.closeLater(c, protocol.Lost, int64(e.Time))
		}
	default:
		p.task(c, e)
	}
}

// data handles a send or a receive.
func (p *Processor) data(c *connection, e *rawbatch.Event) {
	m := &p.move
	m.Offset, m.Length, m.Payload, m.Segments = e.Offset, e.Length, e.Payload, e.Segments
	m.Unreadable = e.Flags&flagUnreadable != 0
	m.Meta.End, m.Meta.Begin = int64(e.Time), int64(e.Time)
	m.Meta.Actor = stream.Actor{Process: c.owner.id, Goroutine: e.Goroutine, Parent: e.ParentGoroutine, Thread: e.Thread}
	if e.Process != 0 {
		m.Meta.Actor.Process = e.Process
	}
	if e.SRTT != 0 {
		c.srtt = e.SRTT
	}
	c.retransmits = max(c.retransmits, e.Retransmits)
	c.lastData = p.now
	c.acted(p, &m.Meta.Actor, m.Meta.End)
	if c.opaque {
		return
	}
	s := &c.receive
	if e.Kind == millracev1.EventKind_EVENT_KIND_SEND {
		s = &c.send
		m.Meta.Begin = max(0, int64(e.Time)-int64(e.Duration))
	} else if e.Length == 0 {
		c.ended, c.endOffset, c.endTime = true, e.Offset, int64(e.Time)
	}
	if e.Flags&flagConcurrent != 0 {
		s.Concurrent = true
	}
	if !s.Push(m) && !c.ended {
		if s.Waiting() {
			p.await(c)
		}
		return
	}
	p.parse(c)
	if s.Waiting() {
		p.await(c)
	}
}

// parse lets the parser of c see what is new.
func (p *Processor) parse(c *connection) {
	if c.parser == nil {
		p.infer(c)
	}
	if c.parser != nil {
		ending := protocol.Open
		if c.noMoreResponses() {
			ending = protocol.Ended
		}
		switch c.parser.Parse(&c.conn, ending) {
		case protocol.GiveUp:
			p.giveUp(c)
		case protocol.Opaque:
			c.conn.FinishAll(protocol.Closed, c.conn.Responses.Last().End)
			c.turnOpaque()
		default:
			if ending == protocol.Ended && c.conn.Open() > 0 {
				c.conn.FinishAll(protocol.Closed, c.endTime)
			}
		}
	}
	for _, s := range [2]*stream.Stream{&c.send, &c.receive} {
		if s.Buffered() > p.options.MaxStreamBytes {
			s.Forget()
			count(&p.tally.givenUp, "buffer", 1)
		}
		s.Settle()
		p.tally.duplicateBytes += s.Duplicates
		p.tally.lostBytes += s.Missing
		if s.Malformed > 0 {
			count(&p.tally.malformed, "data", s.Malformed)
		}
		s.Duplicates, s.Missing, s.Malformed = 0, 0, 0
	}
}

// Tick implements [stage.Processor].
func (p *Processor) Tick(_ context.Context, now time.Time, out stage.Output) error {
	p.ticks++
	p.now = now.UnixNano()
	p.fillGaps()
	p.closeNow()
	if p.ticks%10 == 0 {
		p.expire()
	}
	if p.ticks%100 == 0 {
		p.forgetProcesses()
	}
	p.finish(out)
	return nil
}
