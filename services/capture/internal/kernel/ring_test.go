package kernel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// Records of every length, some discarded, some not ready yet, wherever the buffer's end cuts them.
func TestRing(t *testing.T) {
	t.Parallel()
	const size = 4096
	memory := make([]byte, 8+size)
	r := &ring{consumer: make([]byte, 8), producer: memory[:8], records: memory[8:]}
	write := func(at uint64, p []byte) {
		for i, b := range p {
			r.records[(at+uint64(i))%size] = b
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var end uint64
	for turn := range 5000 {
		var want [][]byte
		for range random.IntN(5) {
			payload := make([]byte, random.IntN(600))
			for i := range payload {
				payload[i] = byte(random.Uint32())
			}
			header := make([]byte, ringHeader)
			binary.NativeEndian.PutUint32(header, uint32(len(payload)))
			if random.IntN(4) == 0 {
				binary.NativeEndian.PutUint32(header, uint32(len(payload))|ringDiscard)
			} else {
				want = append(want, payload)
			}
			write(end, header)
			write(end+ringHeader, payload)
			end += uint64(ringHeader+len(payload)+7) &^ 7
		}
		// One more that is being written.
		busy := make([]byte, ringHeader)
		binary.NativeEndian.PutUint32(busy, ringBusy|16)
		write(end, busy)
		*position(r.producer) = end + 24
		for _, w := range want {
			if got, ok := r.next(); !ok || !bytes.Equal(got, w) {
				t.Fatalf("turn %d: got %x, %v, not %x", turn, got, ok, w)
			}
		}
		if got, ok := r.next(); ok {
			t.Fatalf("turn %d: %x before it is there", turn, got)
		}
		if at := *position(r.consumer); at != end {
			t.Fatalf("turn %d: released up to %d, not %d", turn, at, end)
		}
	}
}
