package decodetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge/edgetest"
)

// probes is how many requests with their responses follow a conversation of which an event is missing.
const probes = 12

// holes leaves out one event, or its bytes, of a conversation that is cut in any way and followed by probes. What comes
// out must have been asked, and where events are whole pieces all probes but one must be understood: the one that the
// hole is in.
func (w *way) holes(rounds int) {
	c := *w.c
	c.Pieces = slices.Clone(c.Pieces)
	for n := range probes {
		c.Pieces = append(c.Pieces, w.Probe(n)...)
	}
	of := &way{Kit: w.Kit, t: w.t, c: &c}
	of.wholeRun = of.run("with probes", of.pieces(), false)
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		list := of.pieces()
		cut := round&1 == 1
		if cut {
			list = pieced(list, r)
		}
		hole := r.IntN(min(20, len(list)))
		name := fmt.Sprintf("round %d, without event %d", round, hole+1)
		if round&2 == 0 {
			list = slices.Delete(list, hole, hole+1)
		} else { // it could not be read
			list[hole].Bytes, list[hole].Segments = nil, []edgetest.Segment{{}}
		}
		got := of.run(name, list, false)
		if round&2 == 0 || !cut {
			of.honest(got)
		}
		of.asked(got)
		if answered := of.probed(got); !cut && answered < probes-1 {
			of.fail("%s: %d of %d that follow are understood", name, answered, probes)
		}
	}
}

// pieced cuts events anywhere.
func pieced(list []event, r *rand.Rand) (cut []event) {
	for _, e := range list {
		for len(e.Bytes) > 1 && r.IntN(4) > 0 {
			var head event
			head, e = e.cut(1 + r.IntN(min(60, len(e.Bytes)-1)))
			cut = append(cut, head)
		}
		cut = append(cut, e)
	}
	return cut
}

// asked checks that no exchange says what none says if nothing is missing; it may say less.
func (w *way) asked(p *player) {
	for i := range p.ended {
		operation := p.ended[i].operation
		if !slices.ContainsFunc(w.wholeRun.ended, func(x ended) bool {
			return x.operation == operation || strings.HasPrefix(x.operation, operation+" ")
		}) && (w.Unnamed == nil || !w.Unnamed.MatchString(operation)) {
			w.fail("%s: %q was never asked", p.name, operation)
		}
	}
}

// probed counts the probes of which all that they say came out.
func (w *way) probed(p *player) (n int) {
	client := uint64(0)
	for _, piece := range w.c.Pieces[:len(w.c.Pieces)-probes*len(w.Probe(0))] {
		if piece.From == protocols.Client {
			client += uint64(len(piece.Bytes))
		}
	}
	for i := range p.ended {
		if x := &p.ended[i]; x.at >= client && slices.ContainsFunc(w.wholeRun.ended, func(y ended) bool {
			return x.key == y.key && slices.Equal(x.said, y.said)
		}) {
			n++
		}
	}
	return n
}
