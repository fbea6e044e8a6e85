package pipeline

import (
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/batch"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/targets"
)

// maxAwaited bounds the containers whose pods are waited for; a node has a few hundred.
const maxAwaited = 4096

// place is a container of a pod.
type place struct{ pod, container string }

// podWait is the wait for what is to be decided about a container of a pod.
type podWait struct {
	since time.Time
	bytes int  // held meanwhile
	over  bool // nobody decided in time; kept, so that later processes do not wait again
}

func placeOf(facts *millracev1.Process) place { return place{facts.PodUid, facts.ContainerId} }

// verdict is what was decided about the pod of a process.
func (p *Pipeline) verdict(proc *process.Process) targets.Verdict {
	facts := proc.Facts()
	v := p.pods.Of(facts.PodUid, facts.ContainerId, facts.ContainerName)
	if w := p.waits[placeOf(facts)]; w != nil && v.Pod {
		v.Final = w.over
	}
	return v
}

// await begins to wait for what is to be decided about the pod of a process, if nobody does.
func (p *Pipeline) await(proc *process.Process) {
	at := placeOf(proc.Facts())
	if p.waits[at] == nil {
		p.waits[at] = &podWait{since: p.now}
	}
}

// hold keeps an event of a process that is not decided about.
func (p *Pipeline) hold(proc *process.Process, c *connection, ev *kernel.Event) {
	var wait *podWait
	if proc.Selection.Pod {
		wait = p.waits[placeOf(proc.Facts())]
	}
	held := p.held.of(proc, wait, p.now, p.horizon.since)
	if wait != nil && p.held.full(held, costOf(ev)) {
		// Where waiting longer would change nothing but what is lost, it ends.
		v := p.verdict(proc)
		if v.Final = true; p.Rules.Decide(proc, v).State == process.Selected {
			p.giveUpPod(placeOf(proc.Facts()), wait)
			p.route(proc, c, ev)
			return
		}
	}
	p.held.add(held, c, ev)
}

// drop forgets what was held of a process that is not watched.
func (p *Pipeline) drop(proc *process.Process) {
	if p.held.waited(proc) {
		outcome := Refused
		if w := p.waits[placeOf(proc.Facts())]; w != nil && w.over {
			outcome = TooLate
		}
		held := p.held.processes[proc]
		p.counters.heldFor[outcome].Add(uint64(len(held.events)) + held.lost.Events)
	}
	for _, h := range p.held.take(proc) {
		if h.connection != nil {
			h.connection.leave(&h.event)
		}
	}
	p.held.takeLost(proc)
}

// pollPods takes over what was decided about pods, and ends waits that took too long.
func (p *Pipeline) pollPods() {
	select {
	case table := <-p.Tables:
		p.takeTable(table)
	default:
	}
	for at, w := range p.waits {
		if !w.over && (p.now.Sub(w.since) > p.PodWait || len(p.waits) > maxAwaited) {
			p.giveUpPod(at, w)
		}
	}
}

// takeTable decides again about the processes of pods whose verdict is another one.
func (p *Pipeline) takeTable(table *targets.Table) {
	before := p.pods
	p.pods = table
	p.eachInPods(func(proc *process.Process) {
		facts := proc.Facts()
		was := before.Of(facts.PodUid, facts.ContainerId, facts.ContainerName)
		is := table.Of(facts.PodUid, facts.ContainerId, facts.ContainerName)
		if !was.Equal(is) {
			p.decideAnew(proc)
		}
	})
}

// giveUpPod decides about the processes of a container by what is known.
func (p *Pipeline) giveUpPod(at place, w *podWait) {
	w.over = true
	p.counters.podsGivenUp.Add(1)
	p.eachInPods(func(proc *process.Process) {
		if placeOf(proc.Facts()) == at && proc.Selection.State == process.Undecided {
			p.decide(proc, false)
		}
	})
}

// eachInPods calls f with every process in a pod, those included that have exited and whose events are held. f may
// change what is held.
func (p *Pipeline) eachInPods(f func(*process.Process)) {
	var in []*process.Process
	p.Inventory.Each(func(proc *process.Process) {
		if proc.Facts().PodUid != "" {
			in = append(in, proc)
		}
	})
	for proc := range p.held.processes {
		if proc.Exited && proc.Facts().PodUid != "" {
			in = append(in, proc)
		}
	}
	for _, proc := range in {
		f(proc)
	}
}

// decideAnew decides about a process because another verdict on its pod holds. It may have to be left alone.
func (p *Pipeline) decideAnew(proc *process.Process) {
	s := p.Rules.Decide(proc, p.verdict(proc))
	if proc.Selection.State == process.Selected {
		if s.State == process.Undecided || s.State == process.Conditional && p.connectionSelects(proc) {
			return // It goes on until it is known that it must not.
		}
		if s.State != process.Selected {
			p.unwatch(proc)
		}
	}
	p.become(proc, s, false)
}

// connectionSelects reports whether one of its connections selects a process.
func (p *Pipeline) connectionSelects(proc *process.Process) bool {
	v := p.verdict(proc)
	for k, c := range p.connections {
		if c.owner == proc && c.closedAt.IsZero() {
			if _, selects := p.Rules.Connection(proc, v, k); selects {
				return true
			}
		}
	}
	return false
}

// unwatch tells readers that nothing more of the connections of a process follows. Should it be watched again, they are
// connections that were joined.
func (p *Pipeline) unwatch(proc *process.Process) {
	for k, c := range p.connections {
		if c.owner != proc {
			continue
		}
		if c.builder != nil && c.closedAt.IsZero() {
			p.emit(proc, c, &kernel.Event{Kind: kernel.Unwatched, Connection: k, PID: proc.PID, TimeNS: batch.Monotonic()})
		}
		c.builder, c.batch, c.joined, c.left = nil, batch.Connection{}, nil, true
	}
	p.leaveRuntime(proc)
}

// countPods publishes how many pods are waited for, and forgets waits that no process needs any more.
func (p *Pipeline) countPods() {
	if len(p.waits) == 0 {
		p.counters.podsAwaited.Store(0)
		p.counters.podBytes.Store(0)
		return
	}
	needed := map[place]bool{}
	p.eachInPods(func(proc *process.Process) { needed[placeOf(proc.Facts())] = true })
	awaited := int64(0)
	for at, w := range p.waits {
		switch {
		case !needed[at]:
			delete(p.waits, at)
		case !w.over:
			awaited++
		}
	}
	p.counters.podsAwaited.Store(awaited)
	p.counters.podBytes.Store(int64(p.held.podBytes))
}
