package join

import "slices"

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

// wheel reminds of entries at times. Slots are lists keyed by time, so that scheduling costs no comparison; an entry
// that was moved to an earlier slot stays listed in the later one and is skipped there.
type wheel struct {
	slots map[int64][]*entry
	// reached is the last slot that was handed out.
	reached int64
	// spare are lists of slots that were handed out, for use again.
	spare [][]*entry
}

const (
	slotWidth = int64(50e6)
	// horizon bounds how far ahead an entry is listed, and with it how long a stale listing holds its memory.
	horizon = 100
	// What is kept for use again: about as many lists as a hold time has slots, of as many entries.
	maxSpareLists, maxSpareList = 64, 4096
)

// schedule has e handed out once at the end of the slot that due lies in.
func (w *wheel) schedule(e *entry, due int64) {
	slot := min(max((due+slotWidth-1)/slotWidth, w.reached+1), w.reached+horizon)
	if e.scheduled != 0 && e.scheduled <= slot && e.scheduled > w.reached {
		return // An earlier look will schedule the next one.
	}
	e.scheduled = slot
	listed, found := w.slots[slot]
	if n := len(w.spare); !found && n > 0 {
		listed, w.spare = w.spare[n-1], w.spare[:n-1]
	}
	w.slots[slot] = append(listed, e)
}

// advance hands out the entries whose time has come, each at the time of its slot, however far apart the calls are:
// what happens depends on the times and not on when they were asked for.
func (w *wheel) advance(now int64, visit func(at int64, e *entry)) {
	target := now / slotWidth
	for w.reached < target {
		if len(w.slots) == 0 {
			w.reached = target
			return
		}
		w.reached++
		if listed, found := w.slots[w.reached]; found {
			delete(w.slots, w.reached)
			w.visit(w.reached, listed, visit)
			if clear(listed); len(w.spare) < maxSpareLists && cap(listed) <= maxSpareList {
				w.spare = append(w.spare, listed[:0])
			}
		}
	}
}

// visit hands out the entries of one slot in the order of their keys: that of the list depends on looks that came to
// nothing.
func (w *wheel) visit(slot int64, listed []*entry, visit func(at int64, e *entry)) {
	listed = slices.DeleteFunc(listed, func(e *entry) bool { return e.scheduled != slot })
	slices.SortFunc(listed, func(a, b *entry) int { return a.key.Compare(b.key) })
	for _, e := range listed {
		if e.scheduled == slot { // It may be listed twice.
			e.scheduled = 0
			visit(slot*slotWidth, e)
		}
	}
}
