package redact

import (
	"bytes"
	"slices"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/all/confusion"
	"millrace.dev/protocols/edge/edgetest"
)

// tell passes what the ends say to a node at the client's end, and gives what leaves of it.
func tell(n *node, c *confusion.Case) (left []edgetest.Event) {
	say := func(from protocols.End, text string) {
		if text == "" {
			return
		}
		e := edgetest.Event{From: from, Length: uint32(len(text)), Bytes: []byte(text)}
		if c.Way == confusion.Joined {
			e.Offset = 1000
		}
		for _, out := range n.Pass(&e) {
			out.Bytes, out.Segments = bytes.Clone(out.Bytes), slices.Clone(out.Segments)
			left = append(left, out)
		}
	}
	say(c.From, c.Bytes)
	say(protocols.Client+protocols.Server-c.From, c.Answer)
	return left
}

// TestConfusions: the node takes connections for what the table of confusions says, lets nothing of others leave, and
// what leaves is taken for the same by whoever reads it behind the node.
func TestConfusions(t *testing.T) {
	t.Parallel()
	r := newRedactor(t, on)
	for _, c := range confusion.Cases() {
		want, guess := c.Judge()
		n := start(r)(c.Way == confusion.Joined, protocols.Client).(*node)
		left := tell(n, &c)
		taken := n.c.Taken()
		if n.c.scanner == nil { // what it was likely taken for
			taken = nil
		}
		// A connection that stopped being its protocol within its first bytes has no scanner either.
		if taken != want && (want == nil || n.c.Taken() != want) {
			t.Errorf("%s %q of %q, answered %q, is taken for %v, want %v", c.Way, c.Bytes, c.Of, c.Answer, taken, want)
		}
		for _, e := range left {
			if want == nil && len(e.Bytes) > 0 {
				t.Errorf("%s %q of %q, answered %q, is not recognised, and %q leaves", c.Way, c.Bytes, c.Of, c.Answer, e.Bytes)
			}
		}
		if c.Way != confusion.Joined {
			if waits := n.c.opening != nil; waits != (guess == protocols.More) {
				t.Errorf("%s %q, answered %q: waits %v, want guess %d", c.Way, c.Bytes, c.Answer, waits, guess)
			}
		}
		again(t, &c, want, left)
		n.r.Forget(&n.c)
	}
	if r.withheld != 0 {
		t.Errorf("%d bytes are withheld of no connection", r.withheld)
	}
}

// again judges what left the node.
func again(t *testing.T, c *confusion.Case, want *protocols.Protocol, left []edgetest.Event) {
	t.Helper()
	var ends [2][]byte
	var cut [2]bool
	for _, e := range left {
		i := e.From - protocols.Client
		run := e.Bytes
		if len(e.Segments) > 0 {
			if run = nil; e.Segments[0].At == 0 {
				run = e.Bytes[:e.Segments[0].Length]
			}
		}
		ends[i], cut[i] = run, len(run) < int(e.Length)
	}
	if len(ends[0])+len(ends[1]) == 0 {
		return
	}
	if c.Way == confusion.Joined {
		if p, g := all.Recognise(ends[c.From-protocols.Client], c.From, protocols.Anywhere); g == protocols.Sure && p != want {
			t.Errorf("joined, %q is %s, of which %q leaves, which is %s", c.Bytes, want.Name, ends[c.From-protocols.Client], p.Name)
		}
		return
	}
	// Where the node was sure by bytes that it drops, an answer that proves nothing makes the decoder give up.
	mayRefuse := want != nil && want.Confirm != nil && c.Answer != ""
	talk := all.Talk{Client: ends[0], Server: ends[1], ClientCut: cut[0], ServerCut: cut[1], ServerFirst: c.From == protocols.Server}
	v := all.Judge(&talk)
	if v.Guess == protocols.No && (talk.ClientCut || talk.ServerCut) {
		talk.ClientCut, talk.ServerCut = false, false // what is missing would have told: it goes on as joined
		v.Guess = all.Judge(&talk).Guess
	}
	if v.Guess == protocols.Sure && v.Protocol != want || v.Guess == protocols.No && !mayRefuse {
		t.Errorf("%s %q, answered %q, is %s, of which %q leaves, which is judged %d", c.Way, c.Bytes, c.Answer, want.Name, ends, v.Guess)
	}
}

// TestLookalikes: nothing leaves of whole conversations of protocols that are not decoded, at either end, however they
// are cut.
func TestLookalikes(t *testing.T) {
	t.Parallel()
	for _, l := range confusion.Lookalikes(planted + planted + planted) {
		for _, role := range []protocols.End{protocols.Client, protocols.Server} {
			for _, size := range []int{1, 3, 1 << 10} {
				n := start(newRedactor(t, on))(false, role).(*node)
				var offsets [2]uint64
				for i, line := range l.Lines {
					from := protocols.Client
					if i%2 == 0 == l.ServerFirst {
						from = protocols.Server
					}
					o := &offsets[from-protocols.Client]
					for rest := line; rest != ""; {
						piece := rest[:min(size, len(rest))]
						rest = rest[len(piece):]
						for _, e := range n.Pass(&edgetest.Event{From: from, Offset: *o, Length: uint32(len(piece)), Bytes: []byte(piece)}) {
							if len(e.Bytes) > 0 {
								t.Errorf("%s, seen by %d in pieces of %d: %q leaves", l.Name, role, size, e.Bytes)
							}
						}
						*o += uint64(len(piece))
					}
				}
			}
		}
	}
}
