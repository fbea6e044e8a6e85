package spans

import (
	"bufio"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// Index holds the spans of a file that grows. Safe for concurrent use.
type Index struct {
	path string
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	byPID map[int][]*Span
	total int
	err   error
}

// Follow begins to read the file, which need not exist yet. Close ends it.
func Follow(path string) *Index {
	x := &Index{path: path, stop: make(chan struct{}), done: make(chan struct{}), byPID: map[int][]*Span{}}
	go x.follow()
	return x
}

// Close ends reading.
func (x *Index) Close() {
	close(x.stop)
	<-x.done
}

// Of gives the spans of the processes, in order of their start.
func (x *Index) Of(pids ...int) []*Span {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*Span
	for _, pid := range pids {
		out = append(out, x.byPID[pid]...)
	}
	slices.SortStableFunc(out, func(a, b *Span) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	return out
}

// All gives the spans of every process, in no order.
func (x *Index) All() (out []*Span) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, of := range x.byPID {
		out = append(out, of...)
	}
	return out
}

// Total is the number of spans read.
func (x *Index) Total() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.total
}

// Err is the first line that was not OTLP JSON, or the first failure to read.
func (x *Index) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

func (x *Index) follow() {
	defer close(x.done)
	var f *os.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	var reader *bufio.Reader
	var line []byte
	for {
		if f == nil {
			if opened, err := os.Open(x.path); err == nil {
				f, reader = opened, bufio.NewReaderSize(opened, 1<<20)
			}
		}
		if f != nil {
			part, err := reader.ReadBytes('\n')
			line = append(line, part...)
			if err == nil {
				x.add(line)
				line = line[:0]
				continue
			}
			if !errors.Is(err, io.EOF) {
				x.fail(err)
				return
			}
		}
		select {
		case <-x.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (x *Index) add(line []byte) {
	found, err := Parse(line)
	if err != nil {
		x.fail(err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range found {
		x.byPID[s.PID()] = append(x.byPID[s.PID()], s)
	}
	x.total += len(found)
}

func (x *Index) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
	}
}
