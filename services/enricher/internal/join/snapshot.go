package join

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// snapshotVersion is the first byte of a snapshot. Version 1 had no spans that wait to be published, version 2 no
// progress of the decoder, version 3 no observer, version 4 no identities, version 5 no
// connections.
const snapshotVersion = 6

var errSnapshot = errors.New("damaged enricher snapshot")

// Bits of an entry in a snapshot.
const (
	bitClientStarted = 1 << iota
	bitClientDone
	bitServerStarted
	bitServerDone
	bitRootless
	bitCauseJoined
	bitAsked
	bitAnswered
	bitContext
	// bitOwnTrace: the trace id is the hash of the key and is left out.
	bitOwnTrace
	bitHeadRead
	bitHeadCut
	bitCauseUnknown
	bitUncertain
	bitClientGivenUp
	bitServerGivenUp
	bitClientAgain
	bitServerAgain
)

// bits gives the entry's yes-or-no facts.
func (e *entry) bits() (bits uint64) {
	for _, f := range []struct {
		set bool
		bit uint64
	}{
		{e.client.started, bitClientStarted},
		{e.client.done, bitClientDone},
		{e.server.started, bitServerStarted},
		{e.server.done, bitServerDone},
		{e.rootless, bitRootless},
		{e.asked, bitAsked},
		{e.answered, bitAnswered},
		{e.causeJoined, bitCauseJoined},
		{e.context != nil, bitContext},
		{e.headRead, bitHeadRead},
		{e.headCut, bitHeadCut},
		{e.causeUnknown, bitCauseUnknown},
		{e.uncertain, bitUncertain},
		{e.client.givenUp, bitClientGivenUp},
		{e.server.givenUp, bitServerGivenUp},
		{e.client.again, bitClientAgain},
		{e.server.again, bitServerAgain},
	} {
		if f.set {
			bits |= f.bit
		}
	}
	return bits
}

// setBits is the reverse of bits, but for the context.
func (e *entry) setBits(bits uint64) {
	is := func(bit uint64) bool { return bits&bit != 0 }
	e.client.started, e.client.done = is(bitClientStarted), is(bitClientDone)
	e.server.started, e.server.done = is(bitServerStarted), is(bitServerDone)
	e.rootless, e.asked, e.answered, e.causeJoined = is(bitRootless), is(bitAsked), is(bitAnswered), is(bitCauseJoined)
	e.headRead, e.headCut, e.causeUnknown, e.uncertain = is(bitHeadRead), is(bitHeadCut), is(bitCauseUnknown), is(bitUncertain)
	e.client.givenUp, e.server.givenUp = is(bitClientGivenUp), is(bitServerGivenUp)
	e.client.again, e.server.again = is(bitClientAgain), is(bitServerAgain)
}

// Snapshot implements [stage.Processor]: version, clock, the identities that were asked for, the processes that open
// entries refer to, open entries in order, remembered entries in order, spans to be published, how far waits and the
// decoder are, and the observer's state. Numbers are varints, times relative to the clock.
func (p *Partition) Snapshot(dst []byte) ([]byte, error) { return p.snapshot(dst, snapshotVersion) }

// snapshot appends a snapshot of version 4 to 6.
func (p *Partition) snapshot(dst []byte, version byte) ([]byte, error) {
	w := writer{b: append(dst, version), now: p.now}
	w.b = binary.AppendVarint(w.b, p.now)

	index := map[*process]uint64{}
	var processes []*process
	for e := p.open.first; e != nil; e = e.next {
		for _, h := range []*half{&e.client, &e.server} {
			if h.process != nil && index[h.who()] == 0 {
				processes = append(processes, h.process)
				index[h.process] = uint64(len(processes))
			}
		}
	}
	for _, g := range p.pages.dirty {
		if index[g.process] == 0 {
			processes = append(processes, g.process)
			index[g.process] = uint64(len(processes))
		}
	}
	if version >= 6 {
		for f := p.flows.oldest; f != nil; f = f.next {
			for i := range f.ends {
				if e := &f.ends[i]; e.known() && index[e.who()] == 0 {
					processes = append(processes, e.process)
					index[e.process] = uint64(len(processes))
				}
			}
		}
	}
	if version >= 5 {
		w.names(p, processes)
	}
	w.uint(uint64(len(processes)))
	for _, process := range processes {
		data, err := process.identity.Process.MarshalVT()
		if err != nil {
			return nil, fmt.Errorf("snapshot of a process: %w", err)
		}
		w.bytes(data)
		if version >= 5 {
			w.yes(p.processes.byID[process.identity.Process.Id] == process)
		}
	}

	w.uint(uint64(p.open.length))
	for e := p.open.first; e != nil; e = e.next {
		w.entry(e)
		w.details(e, index)
	}
	w.uint(uint64(p.done.len()))
	p.done.each(w.memory)
	w.pages(p.pages.dirty, index)
	w.time(p.clock)
	w.uint(uint64(len(p.progress)))
	for _, at := range p.progress {
		w.b = binary.AppendVarint(w.b, at)
	}
	if version >= 6 {
		w.flows(&p.flows, index)
	}
	if p.observer != nil {
		w.b = p.observer.AppendSnapshot(w.b)
	}
	return w.b, nil
}

// pages adds the spans that wait to be published.
func (w *writer) pages(dirty []page, index map[*process]uint64) {
	count := uint64(0)
	for _, g := range dirty {
		if len(g.process.batches[g.partition]) > 0 {
			count++
		}
	}
	w.uint(count)
	for _, g := range dirty {
		if batch := g.process.batches[g.partition]; len(batch) > 0 {
			w.uint(index[g.process])
			w.uint(uint64(g.partition))
			w.bytes(batch[len(g.process.head):])
		}
	}
}

// pages is the reverse; pages have their place in processes.
func (r *reader) pages(processes []*process) (dirty []page) {
	for range r.count() {
		n, partition, spans := r.uint(), r.uint(), r.bytes()
		if n == 0 || n > uint64(len(processes)) {
			r.fail()
			return nil
		}
		p := processes[n-1]
		var b batch
		if partition >= uint64(len(p.batches)) || p.batches[partition] != nil || len(spans) == 0 || !b.read(spans, 3) || len(b.records) == 0 {
			r.fail()
			return nil
		}
		p.batches[partition] = append(bytes.Clone(p.head), spans...)
		dirty = append(dirty, page{p, int(partition)})
	}
	return dirty
}

// progress reads how far waits and the decoder are.
func (r *reader) progress(p *Partition) {
	clock := r.time()
	if n := r.count(); n != uint64(len(p.progress)) || clock > p.now {
		r.fail()
		return
	}
	p.clock = clock
	for i := range p.progress {
		if p.progress[i] = r.int(); p.progress[i] < 0 {
			r.fail()
		}
	}
}

// Restore implements [stage.Processor].
func (p *Partition) Restore(snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] == 0 || snapshot[0] > snapshotVersion {
		return fmt.Errorf("enricher snapshot of an unknown version (expected %d)", snapshotVersion)
	}
	settings := p.settings
	settings.Asker = nil // It stays the one that there is.
	fresh := New(p.number, settings, p.counters)
	fresh.settings = p.settings
	if p.names.asker != nil {
		fresh.names.of = map[place]*named{}
	}
	r := reader{b: snapshot[1:]}
	fresh.now = r.int()
	r.now = fresh.now
	fresh.clock = fresh.now

	withNames := snapshot[0] >= 5
	if withNames {
		r.identities(fresh)
	}
	var processes []*process
	for range r.count() {
		facts := &millracev1.Process{}
		if err := facts.UnmarshalVT(r.bytes()); err != nil || r.failed {
			return errSnapshot
		}
		process := newProcess(facts, fresh.names.of[placeOf(facts)], p.settings.Partitions)
		process.usedAt = fresh.now
		processes = append(processes, process)
		if (!withNames || r.yes()) && facts.Id != 0 {
			fresh.processes.byID[facts.Id] = process
		}
	}
	for range r.count() {
		e := r.entry()
		r.details(e, processes)
		if r.failed || fresh.entries[e.key] != nil {
			return errSnapshot
		}
		fresh.entries[e.key] = e
		fresh.askers += len(e.askers)
		fresh.open.push(e)
	}
	used := int64(math.MinInt64)
	for range r.count() {
		e := r.entry()
		_, twice := fresh.done.places[e.key]
		if r.failed || twice || fresh.entries[e.key] != nil || e.how == unknown || e.usedAt < used {
			return errSnapshot
		}
		used = e.usedAt
		fresh.done.put(memoryOf(e))
	}
	if snapshot[0] >= 2 {
		fresh.pages.dirty = r.pages(processes)
	}
	if snapshot[0] >= 3 {
		r.progress(fresh)
	}
	if snapshot[0] >= 6 {
		r.flows(&fresh.flows, processes)
	}
	if r.failed {
		return errSnapshot
	}
	if snapshot[0] >= 4 && fresh.observer != nil {
		if err := fresh.observer.Restore(r.b); err != nil {
			return fmt.Errorf("%w: %w", errSnapshot, err)
		}
	} else if len(r.b) != 0 {
		return errSnapshot
	}
	fresh.wheel.reached = max(fresh.clock/slotWidth, 0)
	fresh.names.asker = p.names.asker
	*p = *fresh
	p.names.resume()
	// Entries point to the queue that holds them.
	for e := p.open.first; e != nil; e = e.next {
		e.queue = &p.open
		p.wheel.schedule(e, p.nextLook(e))
	}
	return nil
}
