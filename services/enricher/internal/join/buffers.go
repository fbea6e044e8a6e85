package join

import "sync"

// buffers are what span batches are made in. All partitions of the process share them: memory that is touched for the
// first time costs more than the encoding of the spans that go there, and a partition has many batches at one time and
// few at another. Those that are not used are the collector's after two of its rounds.
//
// They come in sizes, each four times the one before. A batch begins in the smallest and moves on, so that
// one of a single span holds little memory, and one of many is copied little.
type buffers [5]sync.Pool

const smallestBuffer = 2 << 10

var batchBuffers buffers

// grow gives b with room for n more bytes, in another buffer if need be; b is not to be used again then.
func (s *buffers) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	size, class := smallestBuffer, 0
	for size < len(b)+n {
		size, class = 4*size, class+1
	}
	var larger []byte
	if class < len(s) {
		if kept, _ := s[class].Get().(*[]byte); kept != nil {
			larger = *kept
		}
	}
	if larger == nil {
		larger = make([]byte, 0, size)
	}
	larger = append(larger, b...)
	s.put(b)
	return larger
}

// put takes a buffer that is not used any more.
func (s *buffers) put(b []byte) {
	for size, class := smallestBuffer, 0; class < len(s); size, class = 4*size, class+1 {
		if cap(b) == size {
			kept := b[:0]
			s[class].Put(&kept)
			return
		}
	}
}
