package pipeline

import (
	"fmt"
	"os"
	"slices"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/all"
	"millrace.dev/services/capture/internal/batch"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/redact"
	"millrace.dev/services/capture/internal/selection"
	"millrace.dev/services/capture/internal/send"
	"millrace.dev/services/capture/internal/targets"
)

const (
	clockInterval = time.Second
	// lossInterval is how long a loss waits for a batch that reports it before an empty batch does.
	lossInterval = time.Second
	// aliveInterval is how often a partition that follows connections of this node hears of it at least, so that what
	// is silent because nothing happens is not taken for what is gone.
	aliveInterval = 30 * time.Second
	// sweepInterval is how often connections are swept, and closedFor how long one that was closed is kept for late
	// events.
	sweepInterval = 5 * time.Second
	// servicesInterval is how often the list of services is made.
	servicesInterval = 2 * time.Second
	closedFor        = 5 * time.Second
	// unixConnections are the Unix-domain connections that the kernel side's table holds, for both ends, and as many of
	// any kind whose end is not a few seconds old.
	unixConnections = 2 * 16384
)

// Runtimes gets the processes whose runtime knows more than the kernel. It is called from one goroutine of its
// own.
type Runtimes interface {
	// Discovered gives the positions of the goroutine ids in runtime.g; zeros if they are not known.
	Discovered(pid uint32, executable string) (goid, parentGoid uint32)
	Exited(pid uint32)
}

// Output takes batches; [send.Sender] does.
type Output interface {
	Push(b send.Batch, dropped []send.Dropped) []send.Dropped
	Collect(dropped []send.Dropped) []send.Dropped
	Buffer() []byte
}

// Options say what a pipeline is made of.
type Options struct {
	Node       string
	Epoch      uint64 // start of this instance, Unix nanoseconds
	Partitions int
	Config     config.Capture
	// Layers are the protocols in exchanges of HTTP that are looked for: see [config.EBPF.Layers].
	Layers    map[string]bool
	Rules     *selection.Rules
	Inventory *process.Inventory
	Source    kernel.Source
	Output    Output
	// Tables gives what was decided about the pods of this node, the newest only. Nil: nothing ever is.
	Tables <-chan *targets.Table
	// PodWait and PodWaitBytes are as in [config.Discovery].
	PodWait      time.Duration
	PodWaitBytes int
	// MaxConnections bounds the connections that have state; beyond it those idle for longest go, which is counted, and
	// they are joined anew if they are not. 0: what the kernel side's tables hold by default.
	MaxConnections int
	// Runtimes may be nil.
	Runtimes Runtimes
	// Services gets, now and then, the selected processes that listen: process id to encoded Process message. May be nil.
	Services func(map[uint64]string)
}

// Pipeline handles events. But for [Pipeline.Counters], [Pipeline.Settled] and [Pipeline.WatchRuntimes] its methods are
// for one goroutine.
type Pipeline struct {
	Options
	redactor    *redact.Redactor
	builders    []*batch.Builder
	told        []told // by partition
	connections map[*kernel.Connection]*connection
	losses      batch.Losses
	dropped     []send.Dropped
	clockOffset int64
	held        hold
	pods        *targets.Table
	waits       map[place]*podWait
	horizon     horizon
	ringFull    uint64 // events lost for it
	lost        uint64 // times that events of whatever partition were lost
	runtimes    chan runtimeJob
	counters    Counters

	now                                             time.Time
	flushedAt, clockAt, sweptAt, lossAt, servicesAt time.Time
	aliveAt                                         time.Time
}

// New makes a pipeline.
func New(o Options) (*Pipeline, error) {
	redactor, err := redact.New(o.Config.Redact, o.Layers)
	if err != nil {
		return nil, err
	}
	offset, err := batch.ClockOffset()
	if err != nil {
		return nil, fmt.Errorf("measure the clock: %w", err)
	}
	now := time.Now()
	if o.MaxConnections == 0 {
		o.MaxConnections = 65536
	}
	o.MaxConnections += unixConnections
	return &Pipeline{
		Options: o, redactor: redactor, builders: make([]*batch.Builder, o.Partitions), told: make([]told, o.Partitions),
		connections: map[*kernel.Connection]*connection{}, clockOffset: offset, runtimes: make(chan runtimeJob, 1024),
		now: now, flushedAt: now, clockAt: now, sweptAt: now, lossAt: now, held: newHold(o.PodWaitBytes), pods: targets.New(o.Rules.PodRules()),
		waits: map[place]*podWait{},
	}, nil
}

// Start decides about all processes that the inventory knows. Call it once before events come.
func (p *Pipeline) Start() {
	p.Inventory.Each(func(proc *process.Process) { p.decide(proc, true) })
	p.counters.processes.Store(int64(p.Inventory.Len()))
}

// Handle takes one event. It is the handler of [kernel.Source.Run].
func (p *Pipeline) Handle(ev *kernel.Event) {
	p.counters.events.Add(1)
	if ev.Kind <= kernel.Reset && ev.Connection != nil {
		p.counters.bytes.Add(uint64(len(ev.Payload) + len(ev.Restated)))
		p.onConnection(ev)
		return
	}
	if ev.Kind == kernel.Sample {
		p.onSample(ev)
		return
	}
	ev.Connection = nil
	switch ev.Kind {
	case kernel.ProcessFork:
		parent := p.Inventory.Known(ev.ParentPID)
		if child := p.Inventory.Fork(ev.PID, ev.ParentPID, ev.TimeNS); child != nil {
			if parent != nil {
				child.MadeBy(parent, process.Maker{
					Process: parent.ID, Thread: ev.ParentThread, Goroutine: ev.ParentGoroutine, TimeNS: ev.TimeNS,
				})
			}
			p.inherits(child, parent)
		}
	case kernel.ProcessExec:
		if ev.PID == 0 {
			return
		}
		old := p.Inventory.Known(ev.PID)
		if old != nil {
			p.leaveRuntime(old)
		}
		proc := p.Inventory.Exec(ev.PID, string(ev.Payload), ev.TimeNS)
		if old != nil && proc != old {
			proc.Continue(old)
		}
		p.decide(proc, true)
	case kernel.ProcessExit:
		p.onExit(ev)
	default:
		ev.Payload, ev.Segments = nil, nil
		if proc := p.Inventory.Lookup(ev.PID); proc != nil {
			p.route(proc, nil, ev)
		}
	}
}

func (p *Pipeline) onExit(ev *kernel.Event) {
	proc := p.Inventory.Exit(ev.PID)
	if proc == nil {
		return
	}
	ev.Payload, ev.Segments = nil, nil
	p.route(proc, nil, ev)
	p.leaveRuntime(proc)
}

// route sends an event of a process to its batch, holds it, or leaves it.
func (p *Pipeline) route(proc *process.Process, c *connection, ev *kernel.Event) {
	switch proc.Selection.State {
	case process.Selected:
		p.emit(proc, c, ev)
	case process.Undecided:
		p.hold(proc, c, ev)
	case process.Ignored, process.Conditional: // Not watched, or not yet.
	}
}

// emit adds an event to the batch of its process's partition. Events about tasks matter once the process has acted on a
// connection: before that there is no request that a task could work for, and most processes of a node never get there.
func (p *Pipeline) emit(proc *process.Process, c *connection, ev *kernel.Event) {
	if ev.Kind == kernel.Sample {
		p.emitSample(proc, ev)
		return
	}
	if c == nil && !proc.Active {
		return
	}
	if c == nil {
		b := p.builder(proc)
		b.Process(proc.ID, proc.Encoded())
		b.Event(ev, nil, 0, proc.ID)
		p.full(b)
		return
	}
	p.activate(proc, p.builder(proc))
	proc.Serves = proc.Serves || isServed(c, ev)
	facts := c.facts(ev)
	if c.builder == nil {
		c.builder = p.builder(proc)
		p.wantPorts(c, ev)
	}
	b := c.builder
	reference, first := b.Intern(&c.batch, facts, proc.ID)
	if first {
		b.Process(proc.ID, proc.Encoded())
	}
	actor := uint64(0)
	if ev.PID != proc.PID && ev.PID != 0 && ev.Kind <= kernel.Receive {
		if acting := p.Inventory.Lookup(ev.PID); acting != nil {
			actor = acting.ID
			p.activate(acting, b)
			b.Process(actor, acting.Encoded())
		}
	}
	b.Event(ev, &c.batch, reference, actor)
	p.full(b)
}

// activate notes that a process acts on a connection, and at first tells who made it.
func (p *Pipeline) activate(proc *process.Process, b *batch.Builder) {
	if proc.Active {
		return
	}
	proc.Active = true
	for i := range proc.Makers {
		m := &proc.Makers[i]
		b.Process(proc.ID, proc.Encoded())
		b.Made(proc.ID, &kernel.Event{
			Kind: kernel.ProcessFork, Thread: proc.PID, ParentThread: m.Thread, ParentGoroutine: m.Goroutine, TimeNS: m.TimeNS,
		}, m.Process)
	}
}

// isServed reports whether an event brought bytes of what may be a request.
func isServed(c *connection, ev *kernel.Event) bool {
	k := ev.Connection
	if ev.Kind != kernel.Receive || k.Role == millracev1.Role_ROLE_CLIENT {
		return false
	}
	p := all.Of(int32(k.Hint))
	if k.Hint == millracev1.Protocol_PROTOCOL_UNSPECIFIED {
		p = c.redact.Taken() // what it begins with fits several, so the kernel side left it to the redactor
	}
	return p != nil && p.Decoded
}

func (p *Pipeline) builder(proc *process.Process) *batch.Builder {
	return p.builderOf(bus.ProcessPartition(proc.Home(), p.Partitions))
}

func (p *Pipeline) builderOf(partition int) *batch.Builder {
	if p.builders[partition] == nil {
		p.builders[partition] = batch.NewBuilder(p.Node, p.Epoch, partition)
	}
	return p.builders[partition]
}

func (p *Pipeline) full(b *batch.Builder) {
	if b.Size() >= int(p.Config.BatchBytes) {
		p.flush(b)
	}
}

// told is what a partition was told last.
type told struct {
	at   time.Time
	lost uint64 // Pipeline.lost
}

// flush hands a batch to the output.
func (p *Pipeline) flush(b *batch.Builder) {
	message := send.Batch{
		Subject:   bus.RawSubject(b.Partition(), p.Node),
		ID:        fmt.Sprintf("%s-%d-%d-%d", p.Node, p.Epoch, b.Partition(), b.Sequence()),
		Partition: b.Partition(),
		Events:    b.Events(),
		Since:     p.horizon.since,
	}
	if p.losses.Pending() {
		message.Losses = slices.Clone(p.losses.Take())
		p.lossAt = p.now
	}
	told := &p.told[b.Partition()]
	if told.lost != p.lost && !slices.ContainsFunc(message.Losses, func(l batch.Loss) bool { return l.Cause == millracev1.LossCause_LOSS_CAUSE_RING_FULL }) {
		message.Losses = append(message.Losses, batch.Loss{Cause: millracev1.LossCause_LOSS_CAUSE_RING_FULL}) // counted elsewhere
	}
	told.at, told.lost = p.now, p.lost
	message.Data = b.Finish(p.Output.Buffer(), p.clockOffset, message.Losses)
	p.counters.batches.Add(1)
	p.dropped = p.Output.Push(message, p.dropped[:0])
	p.takeDropped()
}

// takeDropped counts the batches that the output gave up.
func (p *Pipeline) takeDropped() {
	for _, d := range p.dropped {
		p.builderOf(d.Partition).Lost()
		p.lose(millracev1.LossCause_LOSS_CAUSE_SEND_BUFFER_FULL, uint64(d.Events), uint64(d.Bytes))
		for _, loss := range d.Losses {
			p.losses.Add(loss.Cause, loss.Events, loss.Bytes) // Still to be reported; counted already.
		}
	}
	p.dropped = p.dropped[:0]
}

func (p *Pipeline) lose(cause millracev1.LossCause, events, bytes uint64) {
	p.losses.Add(cause, events, bytes)
	p.counters.lose(cause, events, bytes)
}

// Idle does what is due. It is the idle function of [kernel.Source.Run].
func (p *Pipeline) Idle(drained bool) {
	p.now = time.Now()
	p.horizon.look(drained, batch.Monotonic())
	p.Inventory.Poll(p.factsChanged)
	p.pollPods()
	p.held.expire(p.now, func(proc *process.Process) {
		// The worker did not get to its program. Without it, rules by language do not match; all else holds.
		proc.Inspected = true
		p.decide(proc, false)
	})
	if p.now.Sub(p.clockAt) >= clockInterval {
		p.clockAt = p.now
		if offset, err := batch.ClockOffset(); err == nil {
			p.clockOffset = offset
		}
		p.counters.processes.Store(int64(p.Inventory.Len()))
		p.counters.connections.Store(int64(len(p.connections)))
		p.countPods()
	}
	if p.now.Sub(p.flushedAt) >= p.Config.FlushInterval {
		p.readLosses()
		p.flushAll()
	}
	if p.Services != nil && p.now.Sub(p.servicesAt) >= servicesInterval {
		p.servicesAt = p.now
		p.Services(p.services())
	}
	if p.now.Sub(p.sweptAt) >= sweepInterval || len(p.connections) > p.MaxConnections {
		p.sweep()
	}
	p.horizon.settle(&p.held, p.now)
}

// flushAll publishes all that was collected since the last time.
func (p *Pipeline) flushAll() {
	p.flushedAt = p.now
	p.dropped = p.Output.Collect(p.dropped[:0])
	p.takeDropped()
	for _, b := range p.builders {
		switch {
		case b == nil:
		case b.Events() > 0, p.told[b.Partition()].lost != p.lost:
			p.flush(b)
		default:
			b.Release() // Idle for a whole interval.
		}
	}
	p.horizon.flushed()
	p.sayAlive()
	if p.losses.Pending() && p.now.Sub(p.lossAt) >= lossInterval {
		// Nothing was published that could report them.
		p.flush(p.builderOf(os.Getpid() % p.Partitions))
	}
}

// sayAlive sends an empty batch to partitions that follow connections of this node and have heard nothing for long.
func (p *Pipeline) sayAlive() {
	if p.now.Sub(p.aliveAt) < aliveInterval/4 {
		return
	}
	p.aliveAt = p.now
	for _, c := range p.connections {
		if b := c.builder; b != nil && p.now.Sub(p.told[b.Partition()].at) >= aliveInterval*3/4 {
			p.flush(b)
		}
	}
}

// readLosses takes over the kernel side's counters.
func (p *Pipeline) readLosses() {
	if losses, err := p.Source.Losses(); err == nil {
		if full := losses[millracev1.LossCause_LOSS_CAUSE_RING_FULL].Events; full != p.ringFull {
			p.ringFull = full
			p.lost++
		}
		p.losses.Update(losses)
		p.counters.kernel(losses)
	}
}

// Finish publishes what is left. Call it after the source's Run has returned; it does not use the source.
func (p *Pipeline) Finish() {
	p.now = time.Now()
	p.flushAll()
	close(p.runtimes)
}
