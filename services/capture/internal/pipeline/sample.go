package pipeline

import (
	"millrace.dev/services/capture/internal/batch"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
)

// onSample finds the owner of a connection whose counters came, and routes them. The connection may be one of which
// nothing else was ever published, such as an encrypted one: then no state is kept of it.
func (p *Pipeline) onSample(ev *kernel.Event) {
	var proc *process.Process
	if c := p.connections[ev.Connection]; c != nil && c.owner != nil {
		proc = c.owner
	} else {
		proc = p.Inventory.Lookup(ev.PID)
	}
	if proc == nil {
		p.counters.samplesWithoutOwner.Add(1)
		return
	}
	if proc.Selection.State == process.Conditional {
		s, ok := p.Rules.Connection(proc, p.verdict(proc), ev.Connection)
		if !ok {
			return
		}
		p.selectedBy(proc, s)
	}
	p.route(proc, nil, ev)
}

// emitSample adds the counters of a connection to the batch of its process's partition.
func (p *Pipeline) emitSample(proc *process.Process, ev *kernel.Event) {
	b, state := p.builder(proc), &batch.Connection{}
	if c := p.connections[ev.Connection]; c != nil && c.builder != nil {
		b, state = c.builder, &c.batch
	}
	reference, first := b.Intern(state, ev.Connection, proc.ID)
	if first {
		b.Process(proc.ID, proc.Encoded())
	}
	b.Flow(ev, reference)
	p.counters.samples.Add(1)
	p.full(b)
}
