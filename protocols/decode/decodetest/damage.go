package decodetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// removed leaves out bytes of one piece at a time, at many places: one, a few, and all of the rest.
func (w *way) removed() {
	for i, e := range w.pieces() {
		last := !slices.ContainsFunc(w.c.Pieces[i+1:], func(q Piece) bool { return q.From == e.From })
		for at := 0; at < len(e.Bytes); at += 1 + len(e.Bytes)/60 {
			for _, n := range []int{1, 5, len(e.Bytes) - at} {
				if at+n > len(e.Bytes) || at+n == len(e.Bytes) && last { // that the last words of an end are missing shows nowhere
					continue
				}
				list := w.pieces()
				var parts []event
				if at > 0 {
					head, _ := list[i].cut(at)
					parts = append(parts, head)
				}
				if at+n < len(e.Bytes) {
					_, tail := list[i].cut(at + n)
					parts = append(parts, tail)
				}
				got := w.run(fmt.Sprintf("piece %d without %d bytes at %d", i+1, n, at), slices.Replace(list, i, i+1, parts...), at%11 == 0)
				if w.Gaps {
					w.honest(got)
				}
			}
		}
	}
}

// repeated passes what came once more, at its own place: one piece, and a part of one. Nothing may change.
func (w *way) repeated() {
	for i, e := range w.pieces() {
		list := w.pieces()
		w.same(fmt.Sprintf("piece %d twice", i+1), slices.Insert(list, i+1, w.pieces()[i]), false)
		for at := 1; at < len(e.Bytes); at += 1 + len(e.Bytes)/40 {
			list := w.pieces()
			head, _ := list[i].cut(at)
			w.same(fmt.Sprintf("the first %d bytes of piece %d behind it", at, i+1), slices.Insert(list, i+1, head), at%7 == 0)
		}
	}
}

// doubled writes bytes of one piece twice into its stream, so that what follows stands at another place, and cuts
// streams off. What the parser makes of that is its own affair; it may not panic, hold more than it says, or leave an
// exchange open.
func (w *way) doubled() {
	r := rand.New(rand.NewPCG(3, uint64(len(w.c.Pieces))))
	for i, p := range w.c.Pieces {
		for at := 0; at < len(p.Bytes); at += 1 + len(p.Bytes)/60 {
			other := *w.c
			other.Pieces = slices.Clone(w.c.Pieces)
			n := 1 + r.IntN(min(40, len(p.Bytes)-at))
			other.Pieces[i].Bytes = p.Bytes[:at] + strings.Repeat(p.Bytes[at:at+n], 2) + p.Bytes[at+n:]
			damaged := &way{Kit: w.Kit, t: w.t, c: &other}
			damaged.run(fmt.Sprintf("%d bytes at %d of piece %d twice", n, at, i+1), damaged.pieces(), at%5 == 0)
			list := w.pieces()[:i+1]
			if at > 0 {
				list[i], _ = list[i].cut(at)
				w.run(fmt.Sprintf("cut off at %d of piece %d", at, i+1), list, at%5 == 0)
			}
		}
	}
}
