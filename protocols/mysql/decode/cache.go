package decode

import "slices"

// Bounds of the prepared statements of a connection.
const (
	// DefaultStatements is how many are remembered where the configuration does not say.
	DefaultStatements = 1024
	maxCacheBytes     = 512 << 10
	entryBytes        = 48
)

// cache remembers the prepared statements of a connection. What was not used for longest is forgotten first.
type cache struct {
	byID map[uint32]*entry
	size int // bytes
	tick uint64
	most int
}

type entry struct {
	*statement
	used uint64
}

func (c *cache) find(id uint32) *statement {
	e := c.byID[id]
	if e == nil {
		return nil
	}
	c.tick++
	e.used = c.tick
	return e.statement
}

func (c *cache) add(id uint32, t *statement) {
	if c.byID == nil {
		c.byID = map[uint32]*entry{}
	}
	c.remove(id)
	most := c.most
	if most <= 0 {
		most = DefaultStatements
	}
	for len(c.byID) > 0 && (len(c.byID) >= most || c.size+t.size()+entryBytes > maxCacheBytes) {
		c.forgetOldest()
	}
	c.tick++
	c.byID[id] = &entry{t, c.tick}
	c.size += t.size() + entryBytes
}

func (c *cache) forgetOldest() {
	oldest, least := uint32(0), ^uint64(0)
	for id, e := range c.byID {
		if e.used < least {
			oldest, least = id, e.used
		}
	}
	c.remove(oldest)
}

func (c *cache) remove(id uint32) {
	if e := c.byID[id]; e != nil {
		c.size -= e.size() + entryBytes
		delete(c.byID, id)
	}
}

func (c *cache) clear() { c.byID, c.size = nil, 0 }

// order gives the numbers, what was used last at the end.
func (c *cache) order() []uint32 {
	ids := make([]uint32, 0, len(c.byID))
	for id := range c.byID {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uint32) int {
		if c.byID[a].used < c.byID[b].used {
			return -1
		}
		return 1
	})
	return ids
}
