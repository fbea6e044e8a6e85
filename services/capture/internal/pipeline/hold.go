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
	// maxHeld bounds the payload and the records held of processes whose program is inspected, in bytes.
	maxHeld = 4 << 20
	// heldOverhead is what a held event costs besides its payload.
	heldOverhead = 256
)

// hold keeps events of processes about which nothing is decided yet.
type hold struct {
	processes map[*process.Process]*heldProcess
	// bytes are held of processes whose program is inspected, podBytes of those whose pod is waited for.
	bytes, podBytes int
	maxPodBytes     int // of podBytes; of one pod a quarter
}

type heldProcess struct {
	since  time.Time
	oldest uint64 // no event is older, CLOCK_MONOTONIC
	events []heldEvent
	bytes  int
	pod    *podWait // what it waits for; nil: the inspection of its program
	lost   kernel.Loss
}

type heldEvent struct {
	event      kernel.Event
	connection *connection
}

func newHold(maxPodBytes int) hold {
	return hold{processes: map[*process.Process]*heldProcess{}, maxPodBytes: maxPodBytes}
}

// of gives what is held of a process. pod is what it waits for.
func (h *hold) of(proc *process.Process, pod *podWait, now time.Time, oldest uint64) *heldProcess {
	held := h.processes[proc]
	if held == nil {
		held = &heldProcess{since: now, oldest: oldest}
		h.processes[proc] = held
	}
	if held.pod != pod {
		h.count(held, -held.bytes)
		held.pod = pod
		h.count(held, held.bytes)
	}
	return held
}

// count adds to what is held for the reason that held has.
func (h *hold) count(held *heldProcess, bytes int) {
	if held.pod == nil {
		h.bytes += bytes
		return
	}
	h.podBytes += bytes
	held.pod.bytes += bytes
}

// full reports whether there is no room.
func (h *hold) full(held *heldProcess, bytes int) bool {
	if held.pod == nil {
		return h.bytes+bytes > maxHeld
	}
	return h.podBytes+bytes > h.maxPodBytes || held.pod.bytes+bytes > h.maxPodBytes/4
}

func costOf(ev *kernel.Event) int {
	return len(ev.Payload) + len(ev.Restated) + 4*len(ev.Restatements) + heldOverhead
}

// add copies an event. When there is no room it is lost; that counts only if the process turns out to be watched. Once
// one was lost, so are those after it: what is held has no holes.
func (h *hold) add(held *heldProcess, c *connection, ev *kernel.Event) {
	cost := costOf(ev)
	if held.lost.Events > 0 || h.full(held, cost) {
		held.lost.Events++
		held.lost.Bytes += uint64(len(ev.Payload))
		return
	}
	held.bytes += cost
	h.count(held, cost)
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
	h.count(held, -held.bytes)
	held.events, held.bytes = nil, 0
	return events
}

// counts reports whether others wait for what is held: for as long as an inspection may take. A pod may be waited for
// much longer; what it did may then come too late to be joined with what others did, and all of the node would be late
// else.
func (held *heldProcess) counts(now time.Time) bool {
	return held.pod == nil || now.Sub(held.since) <= holdTime
}

// since is the time before which nothing is held of a process for which others wait, false if there is nothing.
func (h *hold) since(proc *process.Process, now time.Time) (at uint64, ok bool) {
	held := h.processes[proc]
	if held == nil || !held.counts(now) {
		return 0, false
	}
	return held.oldest, true
}

// waited reports whether what is held of a process waits for its pod.
func (h *hold) waited(proc *process.Process) bool {
	held := h.processes[proc]
	return held != nil && held.pod != nil
}

// oldest is the time before which nothing is held for which others wait, false if there is nothing.
func (h *hold) oldest(now time.Time) (at uint64, ok bool) {
	for _, held := range h.processes {
		if held.counts(now) && (!ok || held.oldest < at) {
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

// expire calls f for each process that has waited for the inspection of its program for too long.
func (h *hold) expire(now time.Time, f func(*process.Process)) {
	for proc, held := range h.processes {
		if !proc.Inspected && now.Sub(held.since) > holdTime {
			f(proc)
		}
	}
}
