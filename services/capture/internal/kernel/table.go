package kernel

import (
	"sync"
	"time"
)

// lingering is how long a connection is remembered after its end: the record of a system call's exit can follow it.
const lingering = 10 * time.Second

// maxUnix bounds the Unix-domain connections that are remembered, whose end is not always known. The kernel side keeps
// half of them.
const maxUnix = 32768

// tableKey is where the kernel side has a connection: by the address of the sock in its table "connections", and by
// that and the inode of the socket, which is never 0, in "unix_connections". It is struct unix_key in unix.h.
type tableKey struct{ Sock, Inode uint64 }

type entry struct {
	connection *Connection
	key        tableKey
	ended      bool
	used       uint32 // the sweeper's round in which a record was about it
}

type ending struct {
	socket uint64
	at     time.Time
}

// table holds the connections that records refer to. Only Run's goroutine changes it, so that one reads without the
// lock.
type table struct {
	mu      sync.RWMutex
	entries map[uint64]*entry
	endings []ending // in order of time
	unix    []uint64 // in order of their beginning
}

func newTable() *table { return &table{entries: map[uint64]*entry{}} }

func (t *table) get(socket uint64) *entry { return t.entries[socket] }

func (t *table) put(key tableKey, c *Connection) *entry {
	e := &entry{connection: c, key: key}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[c.Socket] = e
	if !c.Local.IsValid() {
		t.unix = append(t.unix, c.Socket)
		if len(t.unix) > maxUnix {
			delete(t.entries, t.unix[0])
			t.unix = t.unix[1:]
		}
	}
	return e
}

func (t *table) end(e *entry, now time.Time) {
	if !e.ended {
		e.ended = true
		t.endings = append(t.endings, ending{e.connection.Socket, now})
	}
}

// expire forgets the connections that ended long enough ago.
func (t *table) expire(now time.Time) {
	n := 0
	for n < len(t.endings) && now.Sub(t.endings[n].at) > lingering {
		n++
	}
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.endings[:n] {
		delete(t.entries, e.socket)
	}
	t.endings = append(t.endings[:0], t.endings[n:]...)
}

// keyOf gives the kernel side's key of a connection. Safe for concurrent use.
func (t *table) keyOf(socket uint64) (tableKey, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.entries[socket]
	if e == nil || e.ended {
		return tableKey{}, false
	}
	return e.key, true
}
