package join

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"millrace.dev/lib/identity"
	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Asker is asked what a cluster knows. It answers by publishing identities to the links of the partition that asks, and
// again when an answer changes, until it is closed: an identity so comes in the order of the log, and a replay finds it
// at the same place. What it does not know at once of a pod, it publishes as asked. It never blocks.
type Asker interface {
	// Pod asks for a container of a pod.
	Pod(uid, container string)
	// Address asks for what an address belongs to.
	Address(address netip.Addr)
	// Forget says that an answer is of no interest any more.
	Forget(uid, container string, address netip.Addr)
	// Close says so of everything.
	Close()
}

// place is what an identity is of: a container of a pod, or an address.
type place struct {
	pod, container string
	address        netip.Addr
}

func placeOf(p *millracev1.Process) place {
	return place{pod: resource.Pod(p.GetCgroup()), container: p.GetContainerId()}
}

// named is a place with what the cluster says of it.
type named struct {
	place place
	// identity is nil until there is an answer; encoded is its message.
	identity *millracev1.Identity
	encoded  []byte
	// by is the time of the partition's clock until which spans of a pod wait for its identity: the hold time from where
	// the log says that the question was taken up. A partition that catches up reads in a second what was stored in
	// minutes, and the answer stands behind all of it.
	by     int64
	usedAt int64
	// waiters are entries with spans that wait.
	waiters []identity.Key
}

// names are the identities that a partition has asked for.
type names struct {
	asker   Asker
	of      map[place]*named
	sweptAt int64
}

// takenUpWithin bounds, by the partition's clock, how long spans wait for a question to be taken up, which takes
// milliseconds behind the end of the log: a partition that is further behind than this may have spans without names.
const takenUpWithin = 10 * time.Minute

// maxNames bounds the identities of a partition. Beyond it those that were not used for longest are forgotten.
const maxNames = 10000

// wants reports whether there is somebody to ask about the place.
func (n *names) wants(at place) bool {
	return n.asker != nil && (at.pod != "" || at.address.IsValid())
}

// find gives what is known of a place, and asks where nothing is; by is how long spans wait for the answer.
func (n *names) find(at place, now, by int64) *named {
	if !n.wants(at) {
		return nil
	}
	if found := n.of[at]; found != nil {
		found.usedAt = now
		return found
	}
	if len(n.of) >= maxNames {
		n.shrink()
	}
	found := &named{place: at, by: by, usedAt: now}
	n.of[at] = found
	n.ask(at)
	return found
}

func (n *names) ask(at place) {
	if at.pod != "" {
		n.asker.Pod(at.pod, at.container)
	} else {
		n.asker.Address(at.address)
	}
}

// shrink forgets a quarter of the names, those that were not used for longest.
func (n *names) shrink() {
	all := slices.SortedFunc(maps.Values(n.of), func(a, b *named) int {
		return cmp.Or(cmp.Compare(a.usedAt, b.usedAt), a.place.compare(b.place))
	})
	for _, old := range all[:len(all)/4] {
		n.forget(old)
	}
}

func (a place) compare(b place) int {
	return cmp.Or(cmp.Compare(a.pod, b.pod), cmp.Compare(a.container, b.container), a.address.Compare(b.address))
}

func (n *names) forget(old *named) {
	delete(n.of, old.place)
	n.asker.Forget(old.place.pod, old.place.container, old.place.address)
}

func (n *names) sweep(now int64) {
	if n.asker == nil || now-n.sweptAt < processSweep {
		return
	}
	n.sweptAt = now
	for _, old := range n.of {
		if now-old.usedAt >= processKeep {
			n.forget(old)
		}
	}
}

// readIdentity gives what a message says, and of which place; it reports whether that is well formed.
func readIdentity(encoded []byte) (id *millracev1.Identity, at place, ok bool) {
	id = &millracev1.Identity{}
	if id.UnmarshalVT(encoded) != nil {
		return nil, at, false
	}
	at = place{pod: id.PodUid, container: id.ContainerId}
	if len(id.Address) != 0 {
		if at.address, ok = netip.AddrFromSlice(id.Address); !ok || at.pod != "" {
			return nil, at, false
		}
		at.address = at.address.Unmap()
	}
	return id, at, at != place{}
}

// takenUp takes that a question was taken up: from now on its answer is waited for.
func (p *Partition) takenUp(encoded []byte) (ok bool) {
	_, at, ok := readIdentity(encoded)
	if known := p.names.of[at]; ok && known != nil && known.identity == nil && p.clock+p.hold < known.by {
		known.by = p.clock + p.hold
		p.decideWaiters(known)
	}
	return ok
}

// identity takes an answer.
func (p *Partition) identity(encoded []byte) (ok bool) {
	id, at, ok := readIdentity(encoded)
	known := p.names.of[at]
	if !ok || known == nil || bytes.Equal(known.encoded, encoded) {
		return ok // An answer that came late, or twice.
	}
	p.counters.Identities.Inc()
	known.identity, known.encoded = id, bytes.Clone(encoded)
	p.rename(known)
	return true
}

// rename gives the processes of a place their identity, and decides what waited for it. What was made under the
// identity before is published under that one.
func (p *Partition) rename(n *named) {
	if n.place.pod != "" {
		for id, old := range p.processes.byID {
			if old.named == n {
				old.next = newProcess(old.identity.Process, n, p.settings.Partitions)
				old.next.usedAt, old.next.encoded = old.usedAt, old.encoded
				p.processes.byID[id] = old.next
			}
		}
		for _, g := range p.pages.dirty {
			if g.process.next != nil {
				p.publishPage(g)
			}
		}
	}
	p.decideWaiters(n)
}

// decideWaiters decides what waits for a name.
func (p *Partition) decideWaiters(n *named) {
	waiters := n.waiters
	n.waiters = nil
	slices.SortFunc(waiters, compareKeys)
	for _, key := range slices.Compact(waiters) {
		if e := p.entries[key]; e != nil {
			p.decide(e, false)
		}
	}
}

func compareKeys(a, b identity.Key) int {
	return cmp.Or(cmp.Compare(a.Flow, b.Flow), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Stream, b.Stream))
}

// nameDue is the time of the clock until which the spans of an entry wait for the names of its processes; 0: they do
// not. The entry is then listed where the name will come.
func (p *Partition) nameDue(e *entry) (due int64) {
	for _, h := range []*half{&e.client, &e.server} {
		if h.exchange == nil {
			continue
		}
		if n := h.who().named; n != nil && n.identity == nil && p.clock < n.by {
			due = max(due, n.by)
			if last := len(n.waiters) - 1; last < 0 || n.waiters[last] != e.key {
				n.waiters = append(n.waiters, e.key)
			}
		}
	}
	return due
}

// peerPlace is where the other side of a half is, if the half alone can tell.
func peerPlace(x *millracev1.Exchange) place {
	if x.Transport == millracev1.Transport_TRANSPORT_UNIX {
		return place{}
	}
	address, _ := netip.AddrFromSlice(x.RemoteAddress)
	return addressPlace(address.Unmap())
}

// addressPlace is the place of an address, if it may be another machine's or a pod's.
func addressPlace(address netip.Addr) place {
	if !address.IsValid() || address.IsLoopback() || address.IsUnspecified() {
		return place{}
	}
	return place{address: address}
}

// peerIdentity is what the cluster says of the address of a side that was not seen; nil: nothing.
func (p *Partition) peerIdentity(x *millracev1.Exchange) *millracev1.Identity {
	if p.names.asker == nil {
		return nil
	}
	if n := p.names.of[peerPlace(x)]; n != nil && n.identity.GetKind() != millracev1.IdentityKind_IDENTITY_KIND_UNSPECIFIED {
		return n.identity
	}
	return nil
}

// Close implements [io.Closer].
func (p *Partition) Close() error {
	if p.names.asker != nil {
		p.names.asker.Close()
	}
	return nil
}
