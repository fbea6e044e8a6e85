package join

import (
	"bytes"
	"net/netip"
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// names adds the identities that were asked for, and those of the processes, in a fixed order.
func (w *writer) names(p *Partition, processes []*process) {
	all := make([]*named, 0, len(p.names.of))
	for _, n := range p.names.of {
		all = append(all, n)
	}
	for _, process := range processes {
		if n := process.named; n != nil && p.names.of[n.place] != n {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *named) int { return a.place.compare(b.place) })
	all = slices.CompactFunc(all, func(a, b *named) bool { return a.place == b.place })
	w.time(p.names.sweptAt)
	w.uint(uint64(len(all)))
	for _, n := range all {
		w.bytes([]byte(n.place.pod))
		w.bytes([]byte(n.place.container))
		w.bytes(n.place.address.AsSlice())
		w.time(n.by)
		w.time(n.usedAt)
		w.bytes(n.encoded)
	}
}

// identities is the reverse.
func (r *reader) identities(p *Partition) {
	p.names.sweptAt = r.time()
	for range r.count() {
		n := &named{place: place{pod: string(r.bytes()), container: string(r.bytes())}}
		if address := r.bytes(); len(address) != 0 {
			n.place.address, _ = netip.AddrFromSlice(address)
		}
		n.by, n.usedAt = r.time(), r.time()
		if encoded := r.bytes(); len(encoded) != 0 {
			n.identity, n.encoded = &millracev1.Identity{}, bytes.Clone(encoded)
			if n.identity.UnmarshalVT(encoded) != nil {
				r.fail()
				return
			}
		}
		if (n.place.pod != "") == n.place.address.IsValid() {
			r.fail()
			return
		}
		if p.names.of != nil { // Else there is nobody to ask any more.
			p.names.of[n.place] = n
		}
	}
}

// resume tells whom is asked what is of interest after a restart.
func (n *names) resume() {
	for at := range n.of {
		n.ask(at)
	}
}
