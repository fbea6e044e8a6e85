package join

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// flows are the connections of a partition.
type flows struct {
	of map[uint64]*flow
	// waiting are new ones in the order in which they will wait no longer, ending those that ended, in that order. What
	// is listed may have been settled, or forgotten, since.
	waiting, ending []*flow
	hold            int64
	// removed is the newest sample of all that were forgotten, Unix ns: what is older may have been counted.
	removed      int64
	oldest, last *flow // in order of use
}

func (t *flows) find(key uint64) *flow { return t.of[key] }

func (t *flows) add(key uint64, now int64) *flow {
	f := &flow{key: key, since: now}
	if t.of == nil {
		t.of = map[uint64]*flow{}
	}
	t.of[key] = f
	t.push(f)
	t.waiting = append(t.waiting, f)
	return f
}

// use moves a connection behind all that were not used since.
func (t *flows) use(f *flow) {
	t.unlink(f)
	t.push(f)
}

func (t *flows) push(f *flow) {
	f.previous, f.next = t.last, nil
	if t.last != nil {
		t.last.next = f
	} else {
		t.oldest = f
	}
	t.last = f
}

func (t *flows) unlink(f *flow) {
	if f.previous != nil {
		f.previous.next = f.next
	} else {
		t.oldest = f.next
	}
	if f.next != nil {
		f.next.previous = f.previous
	} else {
		t.last = f.previous
	}
}

// remove forgets a connection.
func (t *flows) remove(f *flow) {
	t.unlink(f)
	delete(t.of, f.key)
	if f.endedAt != 0 {
		t.removed = max(t.removed, f.stamp)
	}
}

// bound keeps the number of connections: it gives the one that made room, if there is one.
func (t *flows) bound(most int) *flow {
	if len(t.of) <= most {
		return nil
	}
	f := t.oldest
	t.remove(f)
	return f
}

// reachFlows does what is due about connections until a time, each at its own.
func (p *Partition) reachFlows(now int64) {
	t := &p.flows
	for len(t.waiting) > 0 || len(t.ending) > 0 {
		settle, forget := int64(1<<62), int64(1<<62)
		if len(t.waiting) > 0 {
			settle = t.waiting[0].since + t.hold
		}
		if len(t.ending) > 0 {
			forget = t.ending[0].endedAt + flowKept
		}
		due := min(settle, forget)
		if due > now {
			return
		}
		if due > p.now {
			p.tellTime(due)
		}
		if due == settle {
			f := t.waiting[0]
			t.waiting = t.waiting[1:]
			if !f.settled && t.of[f.key] == f {
				p.tellFlow(f)
			}
			continue
		}
		f := t.ending[0]
		t.ending = t.ending[1:]
		switch {
		case t.of[f.key] != f:
		case f.ended():
			t.remove(f)
		default:
			f.endedAt = 0 // the other end was heard of since
		}
	}
}

// finishFlows tells what is known of those that wait.
func (p *Partition) finishFlows() {
	for _, f := range p.flows.waiting {
		if !f.settled && p.flows.of[f.key] == f {
			p.tellFlow(f)
		}
	}
	p.flows.waiting = nil
}

// flows adds the connections, in order of use.
func (w *writer) flows(t *flows, index map[*process]uint64) {
	w.uint(uint64(t.removed))
	w.uint(uint64(len(t.of)))
	for f := t.oldest; f != nil; f = f.next {
		w.fixed(f.key)
		w.yes(f.settled)
		w.time(f.since)
		w.yes(f.endedAt != 0)
		if f.endedAt != 0 {
			w.time(f.endedAt)
		}
		w.time(f.stamp)
		for i := range f.ends {
			w.uint(f.counted[i].bytes)
			w.uint(f.counted[i].packets)
			w.flowEnd(&f.ends[i], index)
		}
	}
}

func (w *writer) flowEnd(e *flowEnd, index map[*process]uint64) {
	w.yes(e.known())
	if !e.known() {
		return
	}
	w.uint(index[e.who()])
	for _, address := range []*netip.AddrPort{&e.local, &e.remote} {
		encoded, _ := address.MarshalBinary() // It gives no error.
		w.bytes(encoded)
	}
	for _, v := range []uint64{
		uint64(e.role), e.opened, e.connecting, e.at, uint64(e.header), uint64(e.srtt), uint64(e.rttMin), uint64(e.errno), uint64(e.state),
	} {
		w.uint(v)
	}
	for _, v := range []bool{e.whole, e.ended, e.began, e.finished} {
		w.yes(v)
	}
	for i := range e.now {
		w.uint(e.now[i])
		w.uint(e.now[i] - e.told[i])
	}
}

// flows is the reverse.
func (r *reader) flows(t *flows, processes []*process) {
	t.removed = int64(r.uint())
	t.of = map[uint64]*flow{}
	for range r.count() {
		f := &flow{key: r.fixed(), settled: r.yes(), since: r.time()}
		if r.yes() {
			f.endedAt = r.time()
		}
		f.stamp = r.time()
		for i := range f.ends {
			f.counted[i] = traffic{r.uint(), r.uint()}
			r.flowEnd(&f.ends[i], processes)
		}
		if r.failed || t.of[f.key] != nil {
			r.fail()
			return
		}
		t.of[f.key] = f
		t.push(f)
	}
	t.waiting, t.ending = nil, nil
	for _, key := range slices.Sorted(maps.Keys(t.of)) {
		if f := t.of[key]; !f.settled {
			t.waiting = append(t.waiting, f)
		}
		if f := t.of[key]; f.endedAt != 0 {
			t.ending = append(t.ending, f)
		}
	}
	slices.SortStableFunc(t.waiting, func(a, b *flow) int { return cmp.Compare(a.since, b.since) })
	slices.SortStableFunc(t.ending, func(a, b *flow) int { return cmp.Compare(a.endedAt, b.endedAt) })
}

func (r *reader) flowEnd(e *flowEnd, processes []*process) {
	if !r.yes() {
		return
	}
	n := r.uint()
	if n == 0 || n > uint64(len(processes)) {
		r.fail()
		return
	}
	e.process = processes[n-1]
	for _, address := range []*netip.AddrPort{&e.local, &e.remote} {
		if address.UnmarshalBinary(r.bytes()) != nil {
			r.fail()
		}
	}
	e.role = millracev1.Role(r.uint())
	e.opened, e.connecting, e.at = r.uint(), r.uint(), r.uint()
	for _, v := range []*uint32{&e.header, &e.srtt, &e.rttMin, &e.errno, &e.state} {
		*v = uint32(r.uint())
	}
	for _, v := range []*bool{&e.whole, &e.ended, &e.began, &e.finished} {
		*v = r.yes()
	}
	for i := range e.now {
		e.now[i] = r.uint()
		e.told[i] = e.now[i] - min(r.uint(), e.now[i])
	}
}
