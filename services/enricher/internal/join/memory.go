package join

import "millrace.dev/lib/identity"

// memory is what stays of a finished exchange: enough to answer questions, to drop duplicates and to keep late facts consistent. A partition
// may hold as many as it sees exchanges in half a minute, so a memory is small and has no pointers for the collector to follow.
type memory struct {
	trace  [16]byte
	usedAt int64
	flags  uint32
	how    how
	bits   uint8
	// place is that in the order of use.
	place uint64
}

// Bits of a memory. They are those of a snapshot.
const rememberedBits = bitClientStarted | bitClientDone | bitServerStarted | bitServerDone | bitRootless | bitCauseJoined

func memoryOf(e *entry) memory {
	return memory{trace: e.trace, usedAt: e.usedAt, flags: e.flags, how: e.how, bits: uint8(e.bits() & rememberedBits)}
}

// recall puts an empty entry into the state that was remembered.
func (m *memory) recall(key identity.Key, e *entry) *entry {
	e.key, e.how, e.trace, e.flags, e.usedAt = key, m.how, m.trace, m.flags, m.usedAt
	e.setBits(uint64(m.bits))
	return e
}

// memories holds what is remembered, in order of use.
type memories struct {
	byKey map[identity.Key]memory
	// order lists keys by the time of their use, from head; the first of the slice has the place base. A key that was used again is listed
	// again, and its earlier place is void.
	order []use
	head  int
	base  uint64
}

type use struct {
	key identity.Key
	at  int64
}

func (m *memories) put(key identity.Key, v memory) {
	v.place = m.base + uint64(len(m.order))
	m.byKey[key] = v
	m.order = append(m.order, use{key, v.usedAt})
}

// take removes and gives what is remembered of key.
func (m *memories) take(key identity.Key) (v memory, found bool) {
	if v, found = m.byKey[key]; found {
		delete(m.byKey, key)
	}
	return v, found
}

// current reports whether the i-th of the order is the last use of its key.
func (m *memories) current(i int) bool {
	v, found := m.byKey[m.order[i].key]
	return found && v.place == m.base+uint64(i)
}

// trim forgets what was not used since, and the longest unused beyond limit.
func (m *memories) trim(since int64, limit int) {
	for m.head < len(m.order) {
		u := m.order[m.head]
		if current := m.current(m.head); current && u.at > since && len(m.byKey) <= limit {
			break
		} else if current {
			delete(m.byKey, u.key)
		}
		m.head++
	}
	if m.head > 1024 && m.head > len(m.order)/2 {
		m.base += uint64(m.head)
		m.order = append(m.order[:0], m.order[m.head:]...)
		m.head = 0
	}
}
