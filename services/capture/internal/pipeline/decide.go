package pipeline

import (
	"context"
	"strconv"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
)

// policyFor is what the kernel side does with a process, by its state.
func (p *Pipeline) policyFor(proc *process.Process, state process.State) kernel.Policy {
	switch state {
	case process.Ignored:
		return kernel.Policy{Ignore: true, IgnorePeers: p.Rules.Own(proc)}
	case process.Conditional:
		return kernel.Policy{Conditional: true}
	case process.Selected, process.Undecided:
	}
	return kernel.Policy{}
}

// inherits decides about a new process, which has its parent's policy.
func (p *Pipeline) inherits(child, parent *process.Process) {
	if parent != nil && parent.Selection.State == process.Conditional && p.Rules.Decide(child, p.verdict(child)).State == process.Conditional {
		// The kernel side may have selected it meanwhile by a connection whose events are still to come.
		child.Select(process.Selection{State: process.Conditional})
		p.replay(child)
		return
	}
	p.decide(child, false)
}

// decide applies the rules to a process whose facts are new. fresh: the process has a new program or was never decided
// about, so that the kernel side must be told in any case; else only a change is told.
func (p *Pipeline) decide(proc *process.Process, fresh bool) {
	s := p.Rules.Decide(proc, p.verdict(proc))
	if proc.Selection.State == process.Selected && s.State == process.Conditional {
		return // One of its connections selected it before.
	}
	p.become(proc, s, fresh)
}

// become gives a process the state that was decided.
func (p *Pipeline) become(proc *process.Process, s process.Selection, fresh bool) {
	before := proc.Selection.State
	if policy := p.policyFor(proc, s.State); fresh || policy != p.policyFor(proc, before) {
		p.setPolicy(proc, policy)
	}
	switch s.State {
	case process.Ignored:
		proc.Select(s)
		p.drop(proc)
	case process.Selected:
		p.selected(proc, s)
	case process.Conditional:
		proc.Select(s)
		p.replay(proc)
	default:
		proc.Select(s)
		if s.Pod {
			p.await(proc)
		}
	}
}

// selectedBy begins to watch a process because of one of its connections.
func (p *Pipeline) selectedBy(proc *process.Process, s process.Selection) {
	p.setPolicy(proc, kernel.Policy{}) // All of its connections count from now on.
	p.selected(proc, s)
}

// selected begins to watch a process.
func (p *Pipeline) selected(proc *process.Process, s process.Selection) {
	before := proc.Selection.State
	proc.Select(s)
	if before != process.Selected && proc.Program.Language == "go" {
		p.tellRuntimes(runtimeJob{pid: proc.PID}) // A policy with its layout follows.
	}
	p.replay(proc)
}

// replay passes on what was held of a process.
func (p *Pipeline) replay(proc *process.Process) {
	p.horizon.release(p.held.since(proc, p.now))
	waited := p.held.waited(proc)
	shipped := uint64(0)
	events := p.held.take(proc)
	for i := range events {
		h := &events[i]
		ev := &h.event
		if h.connection == nil {
			if proc.Selection.State == process.Selected {
				p.emit(proc, nil, ev)
				shipped++
			}
			continue
		}
		if proc.Selection.State == process.Conditional {
			s, ok := p.Rules.Connection(proc, p.verdict(proc), ev.Connection)
			if !ok {
				h.connection.leave(ev)
				continue
			}
			p.selectedBy(proc, s)
		}
		p.emit(proc, h.connection, ev) // Redacted already.
		shipped++
	}
	lost := p.held.takeLost(proc)
	if lost.Events > 0 && proc.Selection.State == process.Selected {
		p.lose(millracev1.LossCause_LOSS_CAUSE_TABLE_FULL, lost.Events, lost.Bytes)
	}
	if waited {
		p.counters.heldFor[Shipped].Add(shipped)
		p.counters.heldFor[Refused].Add(uint64(len(events)) - shipped)
		p.counters.heldFor[NoRoom].Add(lost.Events)
	}
}

// factsChanged looks again at a process about which the inventory learned something.
func (p *Pipeline) factsChanged(proc *process.Process) {
	if proc.Exited && proc.Selection.State != process.Undecided {
		return
	}
	p.decide(proc, false)
}

func (p *Pipeline) setPolicy(proc *process.Process, policy kernel.Policy) {
	if !proc.Exited { // Its pid may be another's by now.
		p.policy(proc.PID, policy)
	}
}

// policy is safe for concurrent use.
func (p *Pipeline) policy(pid uint32, policy kernel.Policy) {
	if err := p.Source.SetPolicy(pid, policy); err != nil {
		// The table is full, or the process is gone: more than wanted is reported by the kernel side, and left out
		// here.
		p.counters.policyErrors.Add(1)
	}
}

// runtimeJob tells the goroutine of WatchRuntimes about a process.
type runtimeJob struct {
	pid    uint32
	exited bool
}

// leaveRuntime notes that a process does not run its program any more.
func (p *Pipeline) leaveRuntime(proc *process.Process) {
	if proc.Selection.State == process.Selected && proc.Program.Language == "go" {
		p.tellRuntimes(runtimeJob{pid: proc.PID, exited: true})
	}
}

func (p *Pipeline) tellRuntimes(j runtimeJob) {
	if p.Runtimes == nil {
		return
	}
	select {
	case p.runtimes <- j:
	default:
		p.counters.runtimesMissed.Add(1)
	}
}

// WatchRuntimes tells Runtimes about processes and the kernel side what it learns, until ctx ends or [Pipeline.Finish].
func (p *Pipeline) WatchRuntimes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j, open := <-p.runtimes:
			switch {
			case !open:
				return
			case j.exited:
				p.Runtimes.Exited(j.pid)
			default:
				goid, parent := p.Runtimes.Discovered(j.pid, "/proc/"+strconv.FormatUint(uint64(j.pid), 10)+"/exe")
				if goid != 0 || parent != 0 {
					p.policy(j.pid, kernel.Policy{GoidOffset: goid, ParentGoidOffset: parent})
				}
			}
		}
	}
}
