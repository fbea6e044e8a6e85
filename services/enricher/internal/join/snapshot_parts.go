package join

import (
	"bytes"
	"encoding/binary"

	"millrace.dev/lib/identity"
	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// writer appends the parts of a snapshot.
type writer struct {
	b        []byte
	now      int64
	standing []byte // an exchange with its names
}

func (w *writer) uint(v uint64)  { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) fixed(v uint64) { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *writer) time(at int64)  { w.b = binary.AppendVarint(w.b, w.now-at) }
func (w *writer) bytes(v []byte) { w.uint(uint64(len(v))); w.b = append(w.b, v...) }
func (w *writer) yes(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}
func (w *writer) trace(t [16]byte) { w.b = append(w.b, t[:]...) }

func (w *writer) key(k identity.Key) {
	w.fixed(k.Flow)
	w.uint(k.Offset)
	w.uint(k.Stream)
}

// memory adds what is the same of all entries.
func (w *writer) memory(m *memory) { w.facts(m, uint64(m.bits)) }

func (w *writer) facts(m *memory, bits uint64) {
	if m.own {
		bits |= bitOwnTrace
	}
	w.key(m.key)
	w.uint(bits)
	w.b = append(w.b, byte(m.how))
	w.time(m.usedAt)
	if m.how != unknown {
		if !m.own {
			w.trace(m.trace)
		}
		w.uint(uint64(m.flags))
	}
}

func (w *writer) entry(e *entry) {
	m := memoryOf(e)
	w.facts(&m, e.bits())
	if e.answered {
		w.trace(e.answer)
		w.uint(uint64(e.answerFlags))
	}
	if c := e.context; c != nil {
		w.trace(c.trace)
		w.fixed(c.span)
		w.uint(uint64(c.flags))
		w.bytes([]byte(c.tracestate))
	}
}

// details adds what only open entries have.
func (w *writer) details(e *entry, index map[*process]uint64) {
	w.key(e.cause)
	for _, h := range []*half{&e.client, &e.server} {
		w.time(h.startedAt)
		w.time(h.arrivedAt)
		w.uint(index[h.process])
		if h.names == nil {
			w.bytes(h.exchange)
		} else { // The names are not those of a message any more.
			w.standing = h.names.AppendTo(w.standing[:0], h.exchange)
			w.bytes(w.standing)
		}
	}
	w.uint(uint64(len(e.askers)))
	for _, asker := range e.askers {
		w.key(asker)
	}
}

// reader takes a snapshot apart. After the first mistake it gives zeros.
type reader struct {
	b      []byte
	now    int64
	names  *attribute.Names // of the exchange before
	failed bool
}

func (r *reader) fail() { r.b, r.failed = nil, true }

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) time() int64 { return r.now - r.int() }

// count is a number of things that take at least a byte each.
func (r *reader) count() uint64 {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uint()) }

func (r *reader) fixed() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) yes() bool {
	v := r.take(1)
	return len(v) == 1 && v[0] != 0
}

func (r *reader) trace() (t [16]byte) {
	copy(t[:], r.take(16))
	return t
}

func (r *reader) key() identity.Key {
	return identity.Key{Flow: r.fixed(), Offset: r.uint(), Stream: r.uint()}
}

func (r *reader) entry() *entry {
	e := &entry{key: r.key()}
	bits := r.uint()
	is := func(bit uint64) bool { return bits&bit != 0 }
	e.setBits(bits)
	if kind := r.take(1); kind != nil {
		e.how = how(kind[0])
	}
	if e.how > byAssumption {
		r.fail()
	}
	e.usedAt = r.time()
	if e.how != unknown {
		if is(bitOwnTrace) {
			e.trace = identity.Trace(e.key)
		} else {
			e.trace = r.trace()
		}
		e.flags = uint32(r.uint())
	}
	if e.answered {
		e.answer, e.answerFlags = r.trace(), uint32(r.uint())
	}
	if is(bitContext) {
		e.context = &traceContext{trace: r.trace(), span: r.fixed(), flags: uint32(r.uint()), tracestate: string(r.bytes())}
	}
	return e
}

func (r *reader) details(e *entry, processes []*process) {
	e.cause = r.key()
	var v view
	sides := [...]millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER}
	for i, h := range []*half{&e.client, &e.server} {
		h.startedAt, h.arrivedAt = r.time(), r.time()
		n := r.uint()
		if n > uint64(len(processes)) {
			r.fail()
			return
		}
		if n > 0 {
			h.process = processes[n-1]
		}
		if data := r.bytes(); len(data) > 0 {
			if h.names, data = r.names.Cut(data); h.names != nil {
				r.names = h.names
			}
			h.exchange = bytes.Clone(data)
			// A process belongs to every exchange: emitting relies on it.
			if !v.read(data, h.names) || h.process == nil || v.x.Side != sides[i] {
				r.fail()
				return
			}
		}
	}
	for range r.count() {
		e.askers = append(e.askers, r.key())
	}
}
