package decode

import (
	"bytes"
	"slices"
	"testing"

	"millrace.dev/protocols/decode/snapshot"
)

// What an exchange says, and what its parser keeps with it, comes back from a snapshot, and is no larger there than was
// counted.
func TestSaidInSnapshot(t *testing.T) {
	t.Parallel()
	x := &Exchange{Scratch: []byte("portal")}
	s := &x.Said
	s.Family, s.Kind, s.Protocol, s.ServerPort = Messaging, Consumer, 6, 5432
	s.Operation, s.ErrorType, s.ErrorMessage = []byte("SELECT"), []byte("42P01"), []byte("no table")
	s.Path, s.ServerName = []byte("/p"), []byte("db")
	system, rows := Attribute("test.said.system"), Attribute("test.said.rows")
	s.Attributes.String(system, "a\xff")
	s.Attributes.Number(rows, -9)
	s.Attributes.Real(rows, 0.25)
	s.Attributes.Yes(system)
	s.Attributes.Texts(system, "a", "", "c")
	s.Links = append(s.Links, Context{TraceID: [16]byte{1}, SpanID: 2, Flags: 1, Valid: true, State: []byte("k=v")}, Context{})
	w := &snapshot.Writer{}
	(&Exchange{}).appendState(w)
	empty := len(w.B)
	w.B = nil
	x.appendState(w)
	if size := s.size() + len(x.Scratch); len(w.B)-empty > size {
		t.Errorf("%d bytes in a snapshot, %d were counted", len(w.B)-empty, size)
	}
	if empty > exchangeBytes {
		t.Errorf("an exchange takes %d bytes in a snapshot", empty)
	}
	y := &Exchange{}
	r := snapshot.NewReader(w.B)
	if y.restoreState(r, 14); !r.Done() {
		t.Fatal(r.Err())
	}
	again := &snapshot.Writer{}
	if y.appendState(again); !bytes.Equal(again.B, w.B) {
		t.Errorf("got\n%q, want\n%q", again.B, w.B)
	}
	if !slices.Equal(y.Said.Attributes.Encoded(), s.Attributes.Encoded()) {
		t.Error("the attributes are others")
	}
	for n := range w.B {
		(&Exchange{}).restoreState(snapshot.NewReader(w.B[:n]), 14)
	}
}

// An attribute of which no room knows any more is dropped.
func TestUnknownNameInSnapshot(t *testing.T) {
	t.Parallel()
	w := &snapshot.Writer{}
	w.Text("test.never.registered")
	w.Uint(uint64(tagNumber))
	w.Int(5)
	var a Attributes
	r := snapshot.NewReader(w.B)
	if a.restore(r); !r.Done() || a.Len() != 0 {
		t.Errorf("%d bytes, error %v", a.Len(), r.Err())
	}
}
