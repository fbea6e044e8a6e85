package process

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	// portInterval is how often the ports of new processes are looked at without being asked, and minPortInterval the
	// least when asked.
	portInterval    = 5 * time.Second
	minPortInterval = 250 * time.Millisecond
	// aliveInterval is how often exits that were missed are looked for.
	aliveInterval = 30 * time.Second
	maxMaps       = 512 << 10
)

// job is a program to inspect (file set), or a process whose libraries are to be looked at.
type job struct {
	process *Process // not touched by the worker
	pid     uint32
	file    *os.File
	id      fileID
	name    string
}

// result is one of: what a program is, what a process hosts, the ports that changed, the processes that are alive.
type result struct {
	process *Process
	file    fileID
	program Program
	ports   map[uint32][]uint32
	alive   map[uint32]bool
	at      time.Time
}

// worker does what is slow. Its methods are safe for concurrent use, except that work and drain exclude each other.
type worker struct {
	fs    procfs
	jobs  chan job
	ask   chan struct{}
	ports ports

	mu    sync.Mutex
	done  []result
	watch Listeners       // what the next look takes over
	fresh map[uint32]bool // processes whose descriptors may have changed
}

func newWorker(fs procfs) *worker {
	return &worker{
		fs: fs, jobs: make(chan job, 1024), ask: make(chan struct{}, 1), fresh: map[uint32]bool{},
		ports: ports{fs: fs, found: map[uint32][]uint64{}},
	}
}

// submit queues a job; false if there are too many.
func (w *worker) submit(j job) bool {
	select {
	case w.jobs <- j:
		return true
	default:
		return false
	}
}

func (w *worker) results() []result {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := w.done
	w.done = nil
	return done
}

func (w *worker) finish(r result) {
	w.mu.Lock()
	w.done = append(w.done, r)
	w.mu.Unlock()
}

// refreshPorts notes that the descriptors of pid are to be read at the next look.
func (w *worker) refreshPorts(pid uint32) {
	w.mu.Lock()
	w.fresh[pid] = true
	w.mu.Unlock()
}

func (w *worker) wantPorts() {
	select {
	case w.ask <- struct{}{}:
	default:
	}
}

// Work does the inventory's slow work until ctx ends.
func (inv *Inventory) Work(ctx context.Context) { inv.worker.run(ctx) }

func (w *worker) run(ctx context.Context) {
	ticker := time.NewTicker(portInterval)
	defer ticker.Stop()
	alive := time.NewTicker(aliveInterval)
	defer alive.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-w.jobs:
			w.do(j)
		case <-ticker.C:
			last = time.Now()
			w.look(false)
		case <-w.ask:
			if wait := minPortInterval - time.Since(last); wait > 0 {
				time.AfterFunc(wait, w.wantPorts)
				continue
			}
			last = time.Now()
			w.look(false)
		case <-alive.C:
			at := time.Now()
			pids, err := w.fs.pids()
			if err != nil {
				continue
			}
			r := result{alive: make(map[uint32]bool, len(pids)), at: at}
			for _, pid := range pids {
				r.alive[pid] = true
			}
			w.ports.prune(r.alive)
			w.finish(r)
		}
	}
}

// drain does the jobs that are queued.
func (w *worker) drain() {
	for {
		select {
		case j := <-w.jobs:
			w.do(j)
		default:
			return
		}
	}
}

func (w *worker) do(j job) {
	if j.file == nil {
		if maps, err := w.fs.read(j.pid, "maps", maxMaps); err == nil {
			w.finish(result{process: j.process, program: Program{Language: hostedLanguage(maps)}})
		}
		return
	}
	defer j.file.Close()
	p := inspect(j.file, j.name)
	if p.Language == "java" && p.Version == "" {
		p.Version = javaVersion(w.fs.path(j.pid, "root"), j.name)
	}
	w.finish(result{file: j.id, program: p})
}

// look reports changed ports; always also when nothing changed if first.
func (w *worker) look(first bool) {
	w.mu.Lock()
	fresh := w.fresh
	w.fresh = map[uint32]bool{}
	if w.watch != nil && w.ports.source == nil {
		w.ports.source = w.watch
	}
	w.mu.Unlock()
	if changed := w.ports.refresh(fresh); len(changed) > 0 || first {
		w.finish(result{ports: changed})
	}
}
