package kernel

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Bits of the length in a record's header, BPF_RINGBUF_BUSY_BIT and BPF_RINGBUF_DISCARD_BIT of linux/bpf.h.
const (
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	ringHeader  = 8
)

// releaseBytes is how much is read before the reader releases the room to the kernel side. Its processors share that
// word with this one: writing it for each record would take it away from them each time.
const releaseBytes = 64 << 10

// ring reads the kernel's ring buffer. The library's reader is for being woken and maps the buffer twice in a row, so
// that no record is ever in two pieces; this one is for looking by the clock, and maps it once, since the kernel counts
// each mapping as memory of the process. It is for one goroutine.
type ring struct {
	consumer []byte // page with the position up to which was read
	producer []byte // page with the position up to which was written, and the records
	records  []byte // in producer
	position uint64
	released uint64
	sample   []byte // the record handed on
	busy     bool   // next stopped at a record that is being written
}

func newRing(events *ebpf.Map) (*ring, error) {
	page, size := os.Getpagesize(), int(events.MaxEntries())
	consumer, err := unix.Mmap(events.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring buffer's position: %w", err)
	}
	producer, err := unix.Mmap(events.FD(), int64(page), page+size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Munmap(consumer)
		return nil, fmt.Errorf("map the ring buffer: %w", err)
	}
	r := &ring{consumer: consumer, producer: producer, records: producer[page:]}
	r.position = atomic.LoadUint64(position(consumer))
	r.released = r.position
	return r, nil
}

// position is the counter at the beginning of a page.
func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(page))) }

// next gives the next record, false if there is none for now. It is a copy, aligned to 8 bytes, that may be changed and
// is valid until the next call.
func (r *ring) next() ([]byte, bool) {
	for {
		// The kernel writes the length, still busy, before this position, and takes the busy bit away last.
		if r.position == atomic.LoadUint64(position(r.producer)) {
			r.busy = false
			r.release()
			return nil, false
		}
		at := int(r.position & uint64(len(r.records)-1))
		header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.records[at])))
		if header&ringBusy != 0 {
			r.busy = true
			r.release()
			return nil, false
		}
		length := int(header &^ (ringBusy | ringDiscard))
		r.position += uint64(ringHeader+length+7) &^ 7
		if header&ringDiscard != 0 {
			continue
		}
		if cap(r.sample) < length {
			r.sample = make([]byte, length, length*2)
		}
		r.sample = r.sample[:length]
		first := at + ringHeader
		if first == len(r.records) {
			first = 0
		}
		if n := copy(r.sample, r.records[first:]); n < length {
			copy(r.sample[n:], r.records)
		}
		if r.position-r.released >= releaseBytes {
			r.release()
		}
		return r.sample, true
	}
}

// release tells the kernel side that there is room for what was read.
func (r *ring) release() {
	if r.released != r.position {
		r.released = r.position
		atomic.StoreUint64(position(r.consumer), r.position)
	}
}

func (r *ring) close() error {
	return errors.Join(unix.Munmap(r.consumer), unix.Munmap(r.producer))
}
