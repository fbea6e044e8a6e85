package join

import (
	"bytes"
	"testing"
)

func TestBuffers(t *testing.T) {
	t.Parallel()
	var s buffers
	var b, want []byte
	for i := range 3000 {
		part := bytes.Repeat([]byte{byte(i)}, i)
		b = append(s.grow(b, len(part)), part...)
		want = append(want, part...)
	}
	if !bytes.Equal(b, want) {
		t.Error("other bytes than were appended")
	}
	if got := s.grow(nil, 100); len(got) != 0 || cap(got) != smallestBuffer {
		t.Errorf("%d bytes with room for %d, want an empty one of the smallest", len(got), cap(got))
	}
	s.put(b) // One that is larger than any that is kept.
	s.put(make([]byte, 0, 100))
	if got := s.grow(nil, 50); len(got) != 0 || cap(got) < 50 {
		t.Errorf("%d bytes with room for %d", len(got), cap(got))
	}
}
