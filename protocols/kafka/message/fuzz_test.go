package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// read gives what b says, read in pieces of size bytes, with the state saved and read back between them.
func read(t *testing.T, request bool, b []byte, size int) (said []string) {
	f := Facts{}
	r := Reader{Request: request, Facts: &f, Asked: func(id uint32) (int16, int16, bool) { return int16(id & 3), int16(id >> 2 & 15), true }}
	for len(b) > 0 {
		n, _ := r.Next(b[:min(len(b), size)])
		if r.Broken() {
			return append(said, "broken")
		}
		if n < 1 {
			t.Fatal("nothing was read")
		}
		b = b[n:]
		if r.AtStart() {
			said = append(said, fmt.Sprintf("%s %s %d %d %d %+v %v %v", f.ClientID, f.Group, f.Acks, f.Replica, f.Code, f.Topics, len(f.Links), f.Uncounted))
		}
		if size == 1 {
			state := r.AppendState(nil)
			again := Reader{Request: request, Facts: r.Facts, Asked: r.Asked}
			if !again.RestoreState(state) || !bytes.Equal(again.AppendState(nil), state) {
				t.Fatalf("the state does not come back: %+v", r)
			}
			r = again
		}
	}
	return said
}

// FuzzReader: messages say the same in one piece and byte by byte, and the state comes back.
func FuzzReader(f *testing.F) {
	f.Add(true, []byte("\x00\x00\x00\x2a\x00\x00\x00\x02\x00\x00\x00\x05\x00\x01p\x00\x01\x00\x00\x75\x30\x00\x00\x00\x01\x00\x01t"+
		"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"))
	for _, id := range []uint32{0, 1, 3, 37, 49, 35, 51} {
		b := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x40"), id)
		f.Add(false, append(b, bytes.Repeat([]byte("\x00\x00\x00\x01\x02"), 20)...))
	}
	f.Fuzz(func(t *testing.T, request bool, b []byte) {
		whole, pieces := read(t, request, b, len(b)+1), read(t, request, b, 1)
		if fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Fatalf("in one piece %v, in many %v", whole, pieces)
		}
	})
}

// FuzzState: no state makes a reader panic.
func FuzzState(f *testing.F) {
	f.Add([]byte{}, []byte("abc"), false)
	f.Fuzz(func(_ *testing.T, state, b []byte, request bool) {
		facts := Facts{}
		facts.RestoreState(state)
		r := Reader{Facts: &facts, Request: request}
		r.RestoreState(state)
		for len(b) > 0 && !r.Broken() {
			n, _ := r.Next(b)
			if b = b[n:]; n == 2 && r.Left() > 1 {
				r.Pass(1)
			} else if n == 3 {
				r.Skip(5)
			}
		}
	})
}
