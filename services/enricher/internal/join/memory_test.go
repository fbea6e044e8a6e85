package join

import (
	"testing"

	"millrace.dev/lib/identity"
)

func TestMemories(t *testing.T) {
	t.Parallel()
	m := newMemories()
	at := func(i int, usedAt int64) memory {
		return memory{key: identity.Key{Flow: uint64(i) + 1}, usedAt: usedAt, how: byRoot, flags: uint32(i)}
	}
	for i := range 5000 {
		m.put(at(i, int64(i)))
	}
	// A key used again outlives those that were put after its first use.
	for range 3 {
		v, found := m.take(at(10, 0).key)
		if !found || v.flags != 10 {
			t.Fatalf("%+v, %v", v, found)
		}
		v.usedAt = 5000
		m.put(v)
	}
	if _, found := m.take(at(5000, 0).key); found {
		t.Error("one that never was is remembered")
	}
	m.trim(1999, 10000)
	if _, found := m.places[at(1999, 0).key]; found || m.len() != 3001 {
		t.Errorf("%d remembered", m.len())
	}
	last, visited := int64(0), 0
	m.each(func(v *memory) {
		if visited++; v.usedAt < last {
			t.Errorf("%d after %d", v.usedAt, last)
		}
		last = v.usedAt
	})
	if visited != m.len() || last != 5000 {
		t.Errorf("%d visited to %d, %d remembered", visited, last, m.len())
	}
	m.trim(0, 100)
	if m.len() != 100 {
		t.Errorf("%d remembered, limit 100", m.len())
	}
	if v, found := m.take(at(10, 0).key); !found {
		t.Error("the one used last was forgotten")
	} else {
		m.put(v)
	}
	m.trim(9000, 100)
	if m.len() != 0 || m.head != m.end {
		t.Errorf("%d remembered, places %d to %d", m.len(), m.head, m.end)
	}
	// Places are given back, too.
	for i := range 100000 {
		m.put(at(i, int64(10000+i)))
		m.trim(int64(9900+i), 1000)
	}
	if m.len() != 100 || len(m.blocks) > 2 {
		t.Errorf("%d remembered in %d blocks", m.len(), len(m.blocks))
	}
}
