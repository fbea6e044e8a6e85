package stream

import (
	"slices"

	"millrace.dev/protocols/decode/snapshot"
)

// AppendState writes the stream to w. Settle must have been called since the last Push.
func (s *Stream) AppendState(w *snapshot.Writer) {
	w.Bool(s.started)
	if !s.started {
		return
	}
	w.Uint(s.pos)
	w.Uint(s.end)
	w.Uint(s.serial)
	w.Uint(s.lost)
	w.Bool(s.Concurrent)
	w.Bool(s.Joined)
	w.Uint(s.Duplicates)
	w.Uint(s.Malformed)
	AppendMeta(w, &s.last)
	s.lastArrival.appendState(w)
	runs := s.runs[s.head:]
	if s.deferred > 0 { // it is written as a run that has no bytes
		runs = append(slices.Clone(runs), run{wire: s.deferred, meta: s.deferredMeta, kind: Hole, first: s.deferredFirst, restated: true})
	}
	w.Uint(uint64(len(runs)))
	for i := range runs {
		runs[i].appendState(w)
	}
	w.Bytes(s.view)
	w.Uint(uint64(len(s.pending)))
	for i := range s.pending {
		p := &s.pending[i]
		w.Uint(p.Offset)
		w.Uint(uint64(p.Length))
		w.Bytes(p.Payload)
		w.Uint(uint64(len(p.Segments)))
		for _, v := range p.Segments {
			w.Uint(uint64(v))
		}
		w.Uint(p.bits())
		if len(p.Restatements) > 0 {
			w.Bytes(p.Restated)
			w.Uint(uint64(len(p.Restatements)))
			for _, v := range p.Restatements {
				w.Uint(uint64(v))
			}
		}
		AppendMeta(w, &p.Meta)
		p.Arrival.appendState(w)
	}
}

// RestoreState replaces the stream by what AppendState wrote in a snapshot of the given version: from 13 on it has
// arrivals. Contradictions make r fail.
func (s *Stream) RestoreState(r *snapshot.Reader, version uint64) {
	*s = Stream{}
	s.started = r.Bool()
	if !s.started {
		return
	}
	s.pos, s.end = r.Uint(), r.Uint()
	s.serial, s.lost = r.Uint(), r.Uint()
	s.Concurrent, s.Joined = r.Bool(), r.Bool()
	s.Duplicates, s.Malformed = r.Uint(), r.Uint()
	s.last = ReadMeta(r)
	if version >= 13 {
		s.lastArrival = readArrival(r)
	}
	var total, held uint64
	for range r.Items() {
		var u run
		u.restoreState(r, version)
		if total += u.wire; total < u.wire || s.deferred > 0 {
			r.Fail()
			return
		}
		if u.n == 0 {
			if !u.restated || u.tail || u.wire == 0 || u.kind != Hole {
				r.Fail()
				return
			}
			s.deferred, s.deferredMeta, s.deferredFirst = u.wire, u.meta, u.first
			continue
		}
		if u.kind == Bytes {
			held += u.n
		}
		s.runs = append(s.runs, u)
	}
	s.store = r.Bytes()
	s.view = s.store
	if held != uint64(len(s.view)) || s.end-s.pos != total {
		r.Fail()
		return
	}
	for range r.Items() {
		p := Event{Offset: r.Uint(), Length: uint32(r.Uint()), Payload: r.Bytes()}
		for range r.Items() {
			p.Segments = append(p.Segments, uint32(r.Uint()))
		}
		p.setBits(r)
		p.Meta = ReadMeta(r)
		if version >= 13 {
			p.Arrival = readArrival(r)
		}
		if !wellFormed(&p) || p.Offset <= s.end || p.Offset+uint64(p.Length) < p.Offset ||
			len(s.pending) > 0 && s.pending[len(s.pending)-1].Offset > p.Offset {
			r.Fail()
			return
		}
		s.waiting += p.held()
		s.pending = append(s.pending, p)
	}
}

// Bits beside the kind of a run.
const (
	runRestated = 4
	runTail     = 8
)

func (r *run) appendState(w *snapshot.Writer) {
	kind := uint64(r.kind)
	if r.restated {
		kind |= runRestated
	}
	if r.tail {
		kind |= runTail
	}
	w.Uint(r.n)
	w.Uint(kind)
	if r.restated {
		w.Uint(r.wire)
	}
	w.Bool(r.first)
	w.Bool(r.last)
	AppendMeta(w, &r.meta)
	r.arrival.appendState(w)
}

func (r *run) restoreState(from *snapshot.Reader, version uint64) {
	r.n = from.Uint()
	kind := from.Uint()
	r.restated, r.tail, r.kind = kind&runRestated != 0, kind&runTail != 0, Kind(kind&^(runRestated|runTail))
	if r.wire = r.n; r.restated {
		r.wire = from.Uint()
	}
	r.first, r.last, r.meta = from.Bool(), from.Bool(), ReadMeta(from)
	if version >= 13 {
		r.arrival = readArrival(from)
	}
	if r.kind < Bytes || r.kind > Lost || kind > 15 || r.n == 0 && !r.restated || r.tail && !r.restated {
		from.Fail()
	}
}

// Bits of a waiting event.
const (
	bitUnreadable = 1 << iota
	bitPart
	bitRestated
)

func (e *Event) bits() (bits uint64) {
	if e.Unreadable {
		bits |= bitUnreadable
	}
	if e.Part {
		bits |= bitPart
	}
	if len(e.Restatements) > 0 {
		bits |= bitRestated
	}
	return bits
}

func (e *Event) setBits(r *snapshot.Reader) {
	bits := r.Uint()
	if bits > bitUnreadable|bitPart|bitRestated {
		r.Fail()
	}
	e.Unreadable, e.Part = bits&bitUnreadable != 0, bits&bitPart != 0
	if bits&bitRestated == 0 {
		return
	}
	e.Restated = r.Bytes()
	for range r.Items() {
		e.Restatements = append(e.Restatements, uint32(r.Uint()))
	}
}

// AppendMeta writes m to w.
func AppendMeta(w *snapshot.Writer, m *Meta) {
	w.Int(m.Begin)
	w.Int(m.End)
	w.Uint(m.Serial)
	AppendActor(w, &m.Actor)
}

// ReadMeta reads what AppendMeta wrote.
func ReadMeta(r *snapshot.Reader) Meta {
	return Meta{Begin: r.Int(), End: r.Int(), Serial: r.Uint(), Actor: ReadActor(r)}
}

// AppendActor writes a to w.
func AppendActor(w *snapshot.Writer, a *Actor) {
	w.Uint(a.Process)
	w.Uint(a.Goroutine)
	w.Uint(a.Parent)
	w.Uint(uint64(a.Thread))
}

// ReadActor reads what AppendActor wrote.
func ReadActor(r *snapshot.Reader) Actor {
	return Actor{Process: r.Uint(), Goroutine: r.Uint(), Parent: r.Uint(), Thread: uint32(r.Uint())}
}
