package processor

import (
	"sync"
	"sync/atomic"
)

// Pool is what the processors of a process share: the cores that they may use beside their own goroutines, and the
// memory of rounds. A partition takes no more than what is idle, so any number of partitions keep as many goroutines
// busy as there are cores, and each of them runs alone when all are busy. It is safe for concurrent use.
type Pool struct {
	cores int
	idle  atomic.Int32 // helpers that may still be hired

	mu     sync.Mutex
	active int      // processors in a call
	rounds []*round // at most one per core
}

// NewPool makes a Pool of the given number of cores.
func NewPool(cores int) *Pool {
	p := &Pool{cores: max(1, cores)}
	p.idle.Store(int32(p.cores - 1))
	return p
}

// busy reports whether there is nobody to hire.
func (p *Pool) busy() bool { return p.idle.Load() <= 0 }

// hire takes up to n helpers. The caller gives each back with release.
func (p *Pool) hire(n int) int {
	for {
		idle := p.idle.Load()
		take := min(int32(n), idle)
		if take <= 0 {
			return 0
		}
		if p.idle.CompareAndSwap(idle, idle-take) {
			return int(take)
		}
	}
}

func (p *Pool) release() { p.idle.Add(1) }

// enter gives a round for a call of a processor. The goroutine of the first one is a core of its own; each further
// takes one from those who may be hired.
func (p *Pool) enter() *round {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active++; p.active > 1 {
		p.idle.Add(-1)
	}
	if n := len(p.rounds); n > 0 {
		r := p.rounds[n-1]
		p.rounds = p.rounds[:n-1]
		return r
	}
	return newRound(p.cores)
}

// leave takes the round back. One that a panic left behind is not given back.
func (p *Pool) leave(r *round) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active--; p.active > 0 {
		p.idle.Add(1)
	}
	if r != nil && len(p.rounds) < p.cores {
		p.rounds = append(p.rounds, r)
	}
}
