package causality

import (
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/stream"
)

// Cause is what [Tracker.Cause] found.
type Cause struct {
	Request
	Kind millracev1.CauseKind
	// Candidate: the request is one of several that may be the cause, or the task is known to do other work as well.
	// It is worth a word, and no more.
	Candidate bool
	// Made: the task that acts does not serve the request itself; it was made, or its process, while it was served.
	Made bool
}

// Answer says how a search ended.
type Answer uint8

// Answers.
const (
	// Unknown: nothing is known that could be the cause. If somebody made the process, the search goes on there.
	Unknown Answer = iota
	// Found: there is a cause, or a candidate.
	Found
	// Nobody: what was done is known not to be for a request, or not to be for one of those that made the process.
	Nobody
)

// Call is what a cause is wanted of. Times are node time, ns.
type Call struct {
	// Socket that the call is made on.
	Socket uint64
	// At is when the call began.
	At int64
	// Opened is when the connection was opened, or began to be, if this is the first call on it, else 0: an event loop
	// writes to a new connection when the loop reports it, turns later than the one that wanted it.
	Opened int64
}

// Cause finds the request that caused what actor a began.
func (t *Tracker) Cause(a *stream.Actor, c Call) (Cause, Answer) {
	id := TaskOf(a)
	s := search{Call: c, kind: millracev1.CauseKind_CAUSE_KIND_SAME_TASK, asOf: c.At}
	found, answer := t.search(id, &s)
	if answer == Unknown {
		t.unclaimed(id, c.At)
		if t.serves { // its makers have nothing to do with what a server does for others
			answer = Nobody
		}
	}
	return found, answer
}

// CauseOfChild finds the request that caused what a process did that the given task of this one made at the given
// time.
func (t *Tracker) CauseOfChild(maker Task, made int64, c Call) (Cause, Answer) {
	s := search{Call: c, kind: millracev1.CauseKind_CAUSE_KIND_CHILD_TASK, asOf: min(made, c.At), made: true}
	found, answer := t.search(maker, &s)
	if answer == Unknown && t.serves {
		answer = Nobody
	}
	return found, answer
}

// search is a walk from the task that acts to the one that serves.
type search struct {
	Call
	kind millracev1.CauseKind
	// asOf is the time for which the search asks what the task did: that of the call, or when it made
	// the task, or process, that the walk came from.
	asOf int64
	// made: the task under consideration made the one that the walk came from.
	made bool
	// vague: when the task under consideration made the one that the walk came from is not known; it was asOf or
	// before.
	vague bool
}

func (t *Tracker) search(id Task, s *search) (Cause, Answer) {
	for range maxChain {
		k := t.find(id)
		if id == 0 || k == nil || k.ended && !s.made { // what has ended acts no more: the id is another's
			break
		}
		if c, answer := k.serves(s); answer != Unknown {
			c.Made = s.made
			return c, answer
		}
		if h, ok := k.handedOver(s.Socket, s.asOf); ok {
			// From here on only the giver's work counts: a worker's creator has nothing to do with it.
			id, s.made = h.from, false
			s.kind = millracev1.CauseKind_CAUSE_KIND_HANDOFF
			continue
		}
		if k.last.End != 0 || len(k.serving) > 0 || t.tree && !k.born && id&threadBit == 0 {
			// It serves requests itself, or is older than what was seen of its creator.
			break
		}
		if s.kind == millracev1.CauseKind_CAUSE_KIND_SAME_TASK {
			s.kind = millracev1.CauseKind_CAUSE_KIND_CHILD_TASK
		}
		s.vague = s.vague || !k.born && id&threadBit == 0
		s.asOf, s.made = min(k.firstSeen, s.asOf), true
		id = k.parent
	}
	return Cause{}, Unknown
}

// serves gives the request that the task was serving at s.asOf, if that was open when the call was made.
func (k *task) serves(s *search) (Cause, Answer) {
	turnAt := s.asOf
	if !s.made && s.Opened != 0 {
		turnAt = min(turnAt, s.Opened)
	}
	shared := false
	if (k.loop || k.streams) && !s.vague {
		if key, ok := k.turnAt(turnAt); ok && key.IsZero() {
			return Cause{}, Nobody
		} else if ok {
			shared = key == sharedTurn
			for i := range k.serving {
				if k.serving[i].Key == key {
					return Cause{Request: k.serving[i], Kind: millracev1.CauseKind_CAUSE_KIND_INFERRED, Candidate: k.moves}, Found
				}
			}
			if k.last.Key == key && s.At <= k.last.End {
				return Cause{Request: k.last, Kind: millracev1.CauseKind_CAUSE_KIND_INFERRED, Candidate: k.moves}, Found
			}
			if k.streams && key.Flow != 0 { // it was for a request that has ended, not for another of today
				return Cause{}, Nobody
			}
		}
	}
	r, n := k.open(s)
	switch {
	case n == 0:
		return Cause{}, Unknown
	case n > 1 || shared || k.moves || k.loop && k.background:
		return Cause{Request: r, Kind: millracev1.CauseKind_CAUSE_KIND_INFERRED, Candidate: true}, Found
	case k.loop || k.background:
		return Cause{Request: r, Kind: millracev1.CauseKind_CAUSE_KIND_INFERRED}, Found
	}
	return Cause{Request: r, Kind: s.kind}, Found
}

// open gives the number of requests that the task was serving at s.asOf and that were open when the call was made, and
// the newest of them.
func (k *task) open(s *search) (newest Request, n int) {
	for i := range k.serving {
		if r := &k.serving[i]; r.Start <= s.asOf {
			if n++; n == 1 || r.Start >= newest.Start {
				newest = *r
			}
		}
	}
	if n == 0 && k.last.End != 0 && k.last.Start <= s.asOf && s.At <= k.last.End {
		return k.last, 1 // it ended after the call, and that was reported before
	}
	return newest, n
}

// unclaimed takes note of a call for which no request was found.
func (t *Tracker) unclaimed(id Task, at int64) {
	if k := t.find(id); k != nil && id&threadBit != 0 && k.last.End != 0 && at > k.last.End {
		k.background = true
	}
}

// turnAt gives the request whose turn of an event loop it was. ok is false if nothing is known about that time.
func (k *task) turnAt(at int64) (key identity.Key, ok bool) {
	i := len(k.turns)
	for i > 0 && k.turns[i-1].at > at {
		i--
	}
	if i == 0 {
		return identity.Key{}, false
	}
	return k.turns[i-1].key, true
}

// handedOver finds the hand-over that applies on socket at the given time.
func (k *task) handedOver(socket uint64, at int64) (found handoff, ok bool) {
	for _, h := range k.handoffs {
		if h.socket == socket || h.socket == 0 {
			if h.at <= at && (!ok || h.socket != 0 && found.socket == 0 || h.at > found.at && (h.socket != 0) == (found.socket != 0)) {
				found, ok = h, true
			}
		}
	}
	return found, ok
}
