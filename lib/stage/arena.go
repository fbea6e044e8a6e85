package stage

import "sync"

// arena is memory that the records of one batch are decompressed into, until the processor has returned. The workers of
// the process share arenas: few are at work at a time, so that what one writes to is still in a cache, and was touched
// before, where each worker's own would be neither.
type arena struct {
	memory []byte
	used   int
	// wanted is how much the records of the batch came to, whether they fitted or not.
	wanted int
}

// maxArena bounds what is kept: about a whole batch.
const maxArena = batchBytes + batchBytes/4

var arenas = sync.Pool{New: func() any { return &arena{} }}

func takeArena() *arena { return arenas.Get().(*arena) }

// rest is the memory that is free, for [bus.Decompress].
func (a *arena) rest() []byte { return a.memory[a.used:a.used] }

// take notes that n bytes were asked for. They were put into the rest if they fitted there; otherwise they have memory
// of their own.
func (a *arena) take(n int) {
	a.wanted += n
	if n <= cap(a.memory)-a.used {
		a.used += n
	}
}

// giveBack ends the use of the arena and everything in it.
func (a *arena) giveBack() {
	a.reset()
	arenas.Put(a)
}

// reset empties the arena, which grows for the next batch if this one was larger.
func (a *arena) reset() {
	if a.wanted > cap(a.memory) {
		a.memory = make([]byte, 0, min(a.wanted+a.wanted/4, maxArena))
	}
	a.used, a.wanted = 0, 0
}
