package kernel

import (
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// sweepInterval is how often connections that no record was about for as long are looked at: whether they are still
	// there.
	sweepInterval = 30 * time.Second
	// sweepStep is how many are looked at in one pass of the reader.
	sweepStep = 256
	// crowdedInterval is how often the kernel side's table is swept when it is nearly full.
	crowdedInterval = 2 * time.Second
	// crowdedPause is the same after a sweep that made no room.
	crowdedPause = 30 * time.Second
	// keysStep is how many entries of that table are read in one call.
	keysStep = 1024
	// flagAfterLoss is FLAG_LOST_BEFORE in millrace.h.
	flagAfterLoss = 16
)

// Answers of check_connection.
const (
	foundAlive = iota
	foundNone
	foundDead
	foundEvicted
)

// rawCheck is struct check in capture.bpf.c.
type rawCheck struct {
	rawNamed
	Evict uint64
}

// sweeper finds connections whose end was missed, or whose record of the end was lost. Only Run's goroutine uses it.
type sweeper struct {
	round    uint32
	last     time.Time
	endsLost uint64
	left     []uint64 // sockets that are still to be looked at

	// The kernel side's table, when it is nearly full.
	crowded time.Time     // when it was listed last
	wait    time.Duration // until it is again
	keys    []uint64      // that are still to be looked at
	evicted int           // of those that were
}

// sweep looks at some connections, and hands on the end of those that are gone.
func (k *Kernel) sweep(now time.Time, handle func(*Event)) {
	s := &k.sweeper
	if s.last.IsZero() {
		s.last, s.crowded, s.wait = now, now, crowdedInterval
	}
	if len(s.left) == 0 && now.Sub(s.last) >= min(time.Second, k.options.sweepInterval) {
		lost := k.counter("ends_lost")
		if lost != s.endsLost || now.Sub(s.last) >= k.options.sweepInterval {
			s.begin(k.table, lost != s.endsLost)
			s.last, s.endsLost = now, lost
		}
	}
	step := min(sweepStep, len(s.left))
	for _, socket := range s.left[:step] {
		k.sweepOne(socket, now, handle)
	}
	s.left = s.left[step:]
	k.evict(now)
}

// begin lists the connections that were idle since the last time, or all of them.
func (s *sweeper) begin(t *table, all bool) {
	s.left = s.left[:0]
	for socket, e := range t.entries {
		if !e.ended && (all || e.used != s.round) {
			s.left = append(s.left, socket)
		}
	}
	s.round++
}

// sweepOne looks at one connection.
func (k *Kernel) sweepOne(socket uint64, now time.Time, handle func(*Event)) {
	e := k.table.get(socket)
	if e == nil || e.ended || k.found(e.key, socket, false) == foundAlive {
		return
	}
	k.table.end(e, now)
	var clock unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock) != nil {
		return
	}
	k.event = Event{Kind: Close, Connection: e.connection, PID: e.connection.Owner, TimeNS: uint64(clock.Nano()), Flags: flagAfterLoss}
	handle(&k.event)
}

// found says whether the kernel side has a connection and whether its socket lives. One that does not is removed.
func (k *Kernel) found(key tableKey, socket uint64, evict bool) uint32 {
	if k.check != nil {
		check := rawCheck{rawNamed: rawNamed{key, socket}}
		if evict {
			check.Evict = 1
		}
		if status, err := k.check.Run(&ebpf.RunOptions{Context: check}); err == nil {
			return status
		}
	}
	if _, ok := k.lookup(key, socket); ok {
		return foundAlive
	}
	return foundNone
}

// evict makes room in the kernel side's table when it is nearly full: the connections that were given up go, and those
// whose socket is gone. What is left has traffic that is wanted.
func (k *Kernel) evict(now time.Time) {
	s := &k.sweeper
	if k.check == nil {
		return
	}
	if len(s.keys) == 0 && now.Sub(s.crowded) >= s.wait && k.connectionCount() >= uint64(k.options.MaxConnections)*9/10 {
		s.crowded, s.wait = now, crowdedInterval
		if s.evicted == 0 && s.keys != nil {
			s.wait = crowdedPause
		}
		s.keys, s.evicted = k.connectionKeys(), 0
	}
	step := min(sweepStep, len(s.keys))
	for _, key := range s.keys[:step] {
		if k.found(tableKey{Sock: key}, 0, true) != foundAlive {
			s.evicted++
		}
	}
	s.keys = s.keys[step:]
}

// connectionKeys lists the kernel side's table.
func (k *Kernel) connectionKeys() (keys []uint64) {
	var cursor ebpf.MapBatchCursor
	chunk, values := make([]uint64, keysStep), make([]rawConnection, keysStep)
	for {
		n, err := k.collection.Maps["connections"].BatchLookup(&cursor, chunk, values, nil)
		keys = append(keys, chunk[:n]...)
		if err != nil {
			return keys // The end, or as far as it could be read.
		}
	}
}
