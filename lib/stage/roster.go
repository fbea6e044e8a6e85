package stage

import (
	"encoding/json"
	"time"
)

// roster is the set of instances that one instance believes alive.
//
// Times are the instance's own monotonic clock; clocks of different machines are never compared. A holder counts its
// lease from the moment it *sent* a heartbeat that was acknowledged, everyone else from the moment that heartbeat was
// *seen*, which is later. An observer could be slow in seeing heartbeats that were long stored, so its clock for this
// purpose is not now, but the time at which it sent the newest of its own heartbeats that came back to it through the
// same ordered watch: whatever was stored before that has been seen. So no observer ever takes a holder for dead before
// the holder's own deadline has passed.
type roster struct {
	self string
	ttl  time.Duration
	// sent are the send times of own heartbeats that the watch has not shown yet, by number.
	sent map[uint64]time.Duration
	// confirmed is the send time of the newest own heartbeat that the watch has shown.
	confirmed time.Duration
	// newest revision that the watch has shown of any instance.
	newest uint64
	others map[string]*sighting
}

// sighting is the newest heartbeat seen of another instance.
type sighting struct {
	revision uint64
	seen     time.Duration
	refused  []int
	leaving  bool
	// value is the heartbeat as it was stored, decoded by claims only where a lease is missing.
	value []byte
	// proven is the revision of the newest heartbeat that a lease has named, in whichever bucket.
	proven uint64
}

func newRoster(self string, ttl time.Duration) *roster {
	return &roster{self: self, ttl: ttl, sent: map[uint64]time.Duration{}, others: map[string]*sighting{}}
}

// sending notes that own heartbeat number n is about to be sent.
func (r *roster) sending(n uint64, now time.Duration) {
	r.sent[n] = now
	delete(r.sent, n-64) // The watch is far behind; an older one will do as well.
}

// heardSelf notes that the watch showed own heartbeat number n.
func (r *roster) heardSelf(n, revision uint64) {
	r.newest = max(r.newest, revision)
	if at, found := r.sent[n]; found {
		r.confirmed = max(r.confirmed, at)
	}
	for sent := range r.sent {
		if sent <= n {
			delete(r.sent, sent)
		}
	}
}

// heard notes a heartbeat of another instance. The same heartbeat seen again (a watch that began anew) proves nothing.
func (r *roster) heard(id string, revision uint64, refused []int, now time.Duration) {
	r.newest = max(r.newest, revision)
	s, found := r.others[id]
	if !found {
		s = &sighting{}
		r.others[id] = s
	}
	if revision > s.revision || !found {
		s.revision, s.seen, s.refused = revision, now, refused
	}
}

// proven notes that another instance has stored a heartbeat of the given revision, which a lease of it names. Members
// and leases are watched separately, so a lease may be seen before the heartbeat that it rests on. A revision that the
// watch has passed adds nothing.
func (r *roster) proven(id string, revision uint64, now time.Duration) {
	if revision <= r.newest {
		return
	}
	s, found := r.others[id]
	if !found {
		s = &sighting{}
		r.others[id] = s
	}
	if revision > max(s.revision, s.proven) {
		// Not taken for one that was heard: in a bucket that was made anew revisions begin anew.
		s.proven, s.seen = revision, now
	}
}

// says notes the heartbeat of another instance as it was stored.
func (r *roster) says(id string, value []byte) {
	if s, found := r.others[id]; found {
		s.value = value
	}
}

// claims reports whether the newest heartbeat of another live instance says that it holds a partition, by a lease later
// than epoch.
func (r *roster) claims(partition int, epoch uint64) bool {
	for id, s := range r.others {
		if !r.alive(id) {
			continue
		}
		var m struct {
			Partitions []struct {
				Partition int    `json:"partition"`
				Epoch     uint64 `json:"epoch"`
			} `json:"partitions"`
		}
		if json.Unmarshal(s.value, &m) != nil {
			continue // It says nothing.
		}
		for _, p := range m.Partitions {
			if p.Partition == partition && p.Epoch > epoch {
				return true
			}
		}
	}
	return false
}

// leaves notes whether another instance has got the signal to stop.
func (r *roster) leaves(id string, leaving bool) {
	if s, found := r.others[id]; found {
		s.leaving = leaving
	}
}

// succeeded reports whether another live instance goes on.
func (r *roster) succeeded() bool {
	for id, s := range r.others {
		if !s.leaving && r.alive(id) {
			return true
		}
	}
	return false
}

// reset forgets revisions, because the bucket was lost and made again. Who was alive stays so for its time.
func (r *roster) reset() {
	r.newest = 0
	for _, s := range r.others {
		s.revision = 0
	}
}

// left forgets an instance whose entry was removed after it had said that it was leaving. An entry that somebody else
// has removed proves nothing: its owner writes it again with the next heartbeat, or is dead in its time.
func (r *roster) left(id string) {
	if s, found := r.others[id]; found && s.leaving {
		delete(r.others, id)
	}
}

// alive reports whether id may still be processing. An instance never heard of is not: see [roster.proven].
func (r *roster) alive(id string) bool {
	if id == r.self {
		return true
	}
	s, found := r.others[id]
	return found && r.confirmed-s.seen < r.ttl
}

// forget drops those that died so long ago that their entries are gone from the bucket as well.
func (r *roster) forget(after time.Duration) {
	for id, s := range r.others {
		if r.confirmed-s.seen > after {
			delete(r.others, id)
		}
	}
}

// candidates are the live instances, with self, which refuses what is given.
func (r *roster) candidates(refused []int) []candidate {
	out := []candidate{{id: r.self, refused: refused}}
	for id, s := range r.others {
		if r.alive(id) {
			out = append(out, candidate{id: id, refused: s.refused})
		}
	}
	return out
}
