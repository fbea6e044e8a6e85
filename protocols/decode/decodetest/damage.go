package decodetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"millrace.dev/protocols"
)

// removed leaves out bytes of what one end sends, at many places and of many lengths: within a piece, its rest, and
// over the pieces that follow.
func (w *way) removed() {
	client, server := w.c.Streams()
	r := rand.New(rand.NewPCG(5, uint64(len(client))))
	for i, all := range [2]string{client, server} {
		from := protocols.Client + protocols.End(i)
		ends := w.ends(from)
		for at := 0; at < len(all); at += 1 + len(all)/400 {
			to := slices.IndexFunc(ends, func(end int) bool { return end > at })
			lengths := []int{1 + at%2*r.IntN(9), 9 + r.IntN(120), ends[min(to+at%2, len(ends)-1)] - at}
			for k, n := range lengths {
				if slices.Index(lengths, n) < k || at+n >= len(all) { // that the last words of an end are missing shows nowhere
					continue
				}
				name := fmt.Sprintf("client's bytes without %d at %d", n, at)
				if from == protocols.Server {
					name = "server's" + strings.TrimPrefix(name, "client's")
				}
				w.honest(w.run(name, w.without(from, at, at+n), (at+k)%5 == 0))
			}
		}
	}
}

// ends gives the offsets behind the pieces of an end.
func (w *way) ends(from protocols.End) (ends []int) {
	n := 0
	for _, p := range w.c.Pieces {
		if p.From == from && len(p.Bytes) > 0 {
			n += len(p.Bytes)
			ends = append(ends, n)
		}
	}
	return ends
}

// without gives the pieces but for the bytes between two offsets of what an end sends.
func (w *way) without(end protocols.End, from, to int) (list []event) {
	for _, e := range w.pieces() {
		at := int(e.Offset)
		if e.From != end || at+len(e.Bytes) <= from || at >= to {
			list = append(list, e)
			continue
		}
		if at < from {
			head, _ := e.cut(from - at)
			list = append(list, head)
		}
		if at+len(e.Bytes) > to {
			_, tail := e.cut(to - at)
			list = append(list, tail)
		}
	}
	return list
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
