package join

import "millrace.dev/lib/identity"

// memory is what stays of a finished exchange: enough to answer questions, to drop duplicates and to keep late facts
// consistent. A partition may hold as many as it sees exchanges in half a minute, so a memory is small and has no
// pointers for the collector to follow.
type memory struct {
	key    identity.Key
	trace  [16]byte
	usedAt int64
	flags  uint32
	// how is unknown in the place of a memory that was taken.
	how  how
	bits uint16
	// own: the trace id is the hash of the key.
	own bool
}

// Bits of a memory. They are those of a snapshot.
const rememberedBits = bitClientStarted | bitClientDone | bitServerStarted | bitServerDone | bitRootless | bitCauseJoined |
	bitUncertain | bitClientGivenUp | bitServerGivenUp

func memoryOf(e *entry) memory {
	return memory{
		key: e.key, trace: e.trace, usedAt: e.usedAt, flags: e.flags, how: e.how, bits: uint16(e.bits() & rememberedBits),
		own: e.how == byRoot || e.trace == identity.Trace(e.key),
	}
}

// recall puts an empty entry into the state that was remembered.
func (m *memory) recall(e *entry) *entry {
	e.key, e.how, e.trace, e.flags, e.usedAt = m.key, m.how, m.trace, m.flags, m.usedAt
	e.setBits(uint64(m.bits))
	return e
}

// memories holds what is remembered, in order of use. Only what is asked for by its key is looked up by it: forgetting
// and snapshots go through the places one after the other, which is what makes them cheap.
type memories struct {
	// places has the place of each key that is remembered. The first that is kept is head, the next that is given end.
	places    map[identity.Key]uint64
	head, end uint64
	// blocks are those of the places from head on.
	blocks []*block
	spare  *block
}

// block is the memories of as many places. Neither growing nor forgetting moves them.
type block [blockPlaces]memory

const blockPlaces = 512

func newMemories() memories { return memories{places: map[identity.Key]uint64{}} }

// len is how many are remembered.
func (m *memories) len() int { return len(m.places) }

// at gives a place between head and end.
func (m *memories) at(place uint64) *memory {
	return &m.blocks[place/blockPlaces-m.head/blockPlaces][place%blockPlaces]
}

// put remembers a key that is not remembered, as the one that was used last.
func (m *memories) put(v memory) {
	if m.end%blockPlaces == 0 {
		b := m.spare
		if m.spare = nil; b == nil {
			b = new(block)
		}
		m.blocks = append(m.blocks, b)
	}
	m.places[v.key] = m.end
	m.end++
	*m.at(m.end - 1) = v
}

// take removes and gives what is remembered of key.
func (m *memories) take(key identity.Key) (v memory, found bool) {
	place, found := m.places[key]
	if !found {
		return memory{}, false
	}
	delete(m.places, key)
	kept := m.at(place)
	v, kept.how = *kept, unknown
	return v, true
}

// trim forgets what was not used since, and the longest unused beyond limit.
func (m *memories) trim(since int64, limit int) {
	for m.head < m.end {
		v := m.at(m.head)
		if v.how != unknown {
			if v.usedAt > since && len(m.places) <= limit {
				return
			}
			delete(m.places, v.key)
		}
		if m.head++; m.head%blockPlaces == 0 {
			m.spare = m.blocks[0]
			m.blocks = m.blocks[:copy(m.blocks, m.blocks[1:])]
		}
	}
}

// each visits what is remembered, in order of use.
func (m *memories) each(visit func(*memory)) {
	for place := m.head; place < m.end; place++ {
		if v := m.at(place); v.how != unknown {
			visit(v)
		}
	}
}
