package message

import (
	"bytes"
	"testing"
)

// read gives what is wanted of b, read in pieces of size bytes, and what it says. It stops where b is broken.
func read(request bool, b []byte, size int) (wanted []byte, facts []Facts, broken bool) {
	f := Facts{}
	r := Reader{Request: request, Facts: &f, Command: func(id uint32) bool { return id&1 == 1 }}
	for len(b) > 0 {
		n, keep := r.Next(b[:min(len(b), size)])
		if r.Broken() {
			return wanted, facts, true
		}
		for _, c := range b[:n] {
			if !keep {
				c = 0
			}
			wanted = append(wanted, c)
		}
		b = b[n:]
		if r.AtStart() {
			copied := f
			copied.Command, copied.Collection = bytes.Clone(f.Command), bytes.Clone(f.Collection)
			facts = append(facts, copied)
		}
	}
	return wanted, facts, false
}

// FuzzReader: messages say the same in one piece and byte by byte, and their state comes back.
func FuzzReader(f *testing.F) {
	f.Add(true, []byte("\x32\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00"+
		"\x02find\x00\x02\x00\x00\x00c\x00\x02$db\x00\x02\x00\x00\x00d\x00\x00"))
	f.Add(false, []byte("\x40\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x2b\x00\x00\x00"+
		"\x03cursor\x00\x12\x00\x00\x00\x04firstBatch\x00\x05\x00\x00\x00\x00\x00\x10ok\x00\x01\x00\x00\x00\x00"))
	f.Add(true, []byte("\x30\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00a.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"+
		"\x0d\x00\x00\x00\x10ping\x00\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, request bool, b []byte) {
		_, whole, broken := read(request, b, len(b)+1)
		_, pieces, alike := read(request, b, 1)
		if broken != alike || len(whole) != len(pieces) {
			t.Fatalf("%d messages (%v) in one piece, %d (%v) in many", len(whole), broken, len(pieces), alike)
		}
		for i := range whole {
			x, y := whole[i], pieces[i]
			if !bytes.Equal(x.Command, y.Command) || !bytes.Equal(x.Collection, y.Collection) || x.Batch != y.Batch || x.Returned != y.Returned ||
				x.Failed != y.Failed || x.Code != y.Code {
				t.Fatalf("in one piece %+v, in many %+v", x, y)
			}
		}
		r := Reader{Request: request}
		for at := 0; at < len(b) && !r.Broken(); {
			n, _ := r.Next(b[at:min(len(b), at+3)])
			at += n
			state := r.AppendState(nil)
			again := Reader{Request: request}
			if !r.Broken() && (!again.RestoreState(state) || !bytes.Equal(again.AppendState(nil), state)) {
				t.Fatalf("the state does not come back: %+v", r)
			}
		}
	})
}

// FuzzState: no state makes a reader panic.
func FuzzState(f *testing.F) {
	f.Add([]byte{}, []byte("abc"))
	f.Fuzz(func(_ *testing.T, state, b []byte) {
		r := Reader{}
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
