package join

import (
	"testing"

	"millrace.dev/lib/identity"
)

func TestMemories(t *testing.T) {
	t.Parallel()
	m := memories{byKey: map[identity.Key]memory{}}
	key := func(i int) identity.Key { return identity.Key{Flow: uint64(i) + 1} }
	for i := range 5000 {
		m.put(key(i), memory{usedAt: int64(i)})
	}
	// A key used again outlives those that were put after its first use.
	for range 3 {
		v, found := m.take(key(10))
		if !found {
			t.Fatal("not remembered")
		}
		v.usedAt = 5000
		m.put(key(10), v)
	}
	m.trim(1999, 10000)
	if _, found := m.byKey[key(1999)]; found || len(m.byKey) != 3001 {
		t.Errorf("%d remembered", len(m.byKey))
	}
	m.trim(0, 100)
	if len(m.byKey) != 100 {
		t.Errorf("%d remembered, limit 100", len(m.byKey))
	}
	if _, found := m.byKey[key(10)]; !found {
		t.Error("the one used last was forgotten")
	}
	m.trim(9000, 100)
	if len(m.byKey) != 0 || m.head > len(m.order) {
		t.Errorf("%d remembered, head %d of %d", len(m.byKey), m.head, len(m.order))
	}
	// The order is given back, too.
	for i := range 100000 {
		m.put(key(i), memory{usedAt: int64(10000 + i)})
		m.trim(int64(9900+i), 1000)
	}
	if len(m.byKey) != 100 || len(m.order) > 5000 {
		t.Errorf("%d remembered in an order of %d", len(m.byKey), len(m.order))
	}
}
