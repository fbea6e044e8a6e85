package join

import (
	"maps"
	"slices"
)

// queue is a list of entries in order of arrival.
type queue struct {
	first, last *entry
	length      int
}

// push moves e to the end of q, out of any other queue.
func (q *queue) push(e *entry) {
	if e.queue != nil {
		e.queue.remove(e)
	}
	e.queue, e.previous, e.next = q, q.last, nil
	if q.last != nil {
		q.last.next = e
	} else {
		q.first = e
	}
	q.last = e
	q.length++
}

func (q *queue) remove(e *entry) {
	if e.previous != nil {
		e.previous.next = e.next
	} else {
		q.first = e.next
	}
	if e.next != nil {
		e.next.previous = e.previous
	} else {
		q.last = e.previous
	}
	e.queue, e.previous, e.next = nil, nil, nil
	q.length--
}

// wheel reminds of entries at times. Slots are lists keyed by time, so that scheduling costs no comparison; an entry that was moved
// to an earlier slot stays listed in the later one and is skipped there.
type wheel struct {
	slots map[int64][]*entry
	// reached is the last slot that was handed out.
	reached int64
}

const (
	slotWidth = 50e6
	// horizon bounds how far ahead an entry is listed, and with it how long a stale listing holds its memory.
	horizon = 100
)

// schedule has e handed out once at or after due.
func (w *wheel) schedule(e *entry, due int64) {
	slot := min(max(due/slotWidth+1, w.reached+1), w.reached+horizon)
	if e.scheduled != 0 && e.scheduled <= slot && e.scheduled > w.reached {
		return // An earlier look will schedule the next one.
	}
	e.scheduled = slot
	w.slots[slot] = append(w.slots[slot], e)
}

// advance hands out the entries whose time has come.
func (w *wheel) advance(now int64, visit func(*entry)) {
	target := now / slotWidth
	if target-w.reached > horizon {
		// Nothing is listed beyond the horizon, so all that is listed is due: hand it out in order and leap.
		slots := slices.Sorted(maps.Keys(w.slots))
		listed := w.slots
		w.slots, w.reached = map[int64][]*entry{}, target
		for _, slot := range slots {
			w.visit(slot, listed[slot], visit)
		}
		return
	}
	for w.reached < target {
		w.reached++
		if due, found := w.slots[w.reached]; found {
			delete(w.slots, w.reached)
			w.visit(w.reached, due, visit)
		}
	}
}

func (w *wheel) visit(slot int64, due []*entry, visit func(*entry)) {
	for _, e := range due {
		if e.scheduled == slot {
			e.scheduled = 0
			visit(e)
		}
	}
}
