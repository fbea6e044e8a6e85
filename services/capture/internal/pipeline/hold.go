package pipeline

import (
	"slices"
	"time"

	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
)

const (
	// holdTime is how long the events of a process wait for the inspection of its program.
	holdTime = time.Second
	// maxHeld bounds the payload and the records held, in bytes.
	maxHeld = 4 << 20
	// heldOverhead is what a held event costs besides its payload.
	heldOverhead = 256
)

// hold keeps events of processes about which nothing is decided yet.
type hold struct {
	processes map[*process.Process]*heldProcess
	bytes     int
}

type heldProcess struct {
	since  time.Time
	oldest uint64 // no event is older, CLOCK_MONOTONIC
	events []heldEvent
	bytes  int
	lost   kernel.Loss
}

type heldEvent struct {
	event      kernel.Event
	connection *connection
}

func newHold() hold { return hold{processes: map[*process.Process]*heldProcess{}} }

// add copies an event. When there is no room it is lost; that counts only if the process turns out to be watched.
func (h *hold) add(proc *process.Process, c *connection, ev *kernel.Event, now time.Time, oldest uint64) {
	held := h.processes[proc]
	if held == nil {
		held = &heldProcess{since: now, oldest: oldest}
		h.processes[proc] = held
	}
	cost := len(ev.Payload) + len(ev.Restated) + 4*len(ev.Restatements) + heldOverhead
	if h.bytes+cost > maxHeld {
		held.lost.Events++
		held.lost.Bytes += uint64(len(ev.Payload))
		return
	}
	h.bytes += cost
	held.bytes += cost
	out := heldEvent{event: *ev, connection: c}
	out.event.Payload = slices.Clone(ev.Payload)
	out.event.Segments = slices.Clone(ev.Segments)
	out.event.Restated, out.event.Restatements = slices.Clone(ev.Restated), slices.Clone(ev.Restatements)
	held.events = append(held.events, out)
}

// take gives what is held of a process, in order, and forgets it but for its losses.
func (h *hold) take(proc *process.Process) []heldEvent {
	held := h.processes[proc]
	if held == nil {
		return nil
	}
	events := held.events
	h.bytes -= held.bytes
	held.events, held.bytes = nil, 0
	return events
}

// since is the time before which nothing is held of a process, false if nothing is held at all.
func (h *hold) since(proc *process.Process) (at uint64, ok bool) {
	held := h.processes[proc]
	if held == nil {
		return 0, false
	}
	return held.oldest, true
}

// oldest is the time before which nothing is held, false if nothing is held at all.
func (h *hold) oldest() (at uint64, ok bool) {
	for _, held := range h.processes {
		if !ok || held.oldest < at {
			at, ok = held.oldest, true
		}
	}
	return at, ok
}

// takeLost gives what could not be held of a process, and forgets the process.
func (h *hold) takeLost(proc *process.Process) kernel.Loss {
	held := h.processes[proc]
	if held == nil {
		return kernel.Loss{}
	}
	delete(h.processes, proc)
	return held.lost
}

// drop forgets a process that is not watched.
func (h *hold) drop(proc *process.Process) {
	h.take(proc)
	h.takeLost(proc)
}

// expire calls f for each process that has waited for too long.
func (h *hold) expire(now time.Time, f func(*process.Process)) {
	for proc, held := range h.processes {
		if now.Sub(held.since) > holdTime {
			f(proc)
		}
	}
}
