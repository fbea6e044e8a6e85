package stage

import (
	"slices"
	"time"
)

// Lease says who owns a partition. It has no expiry of its own: it holds as long as its owner's heartbeats do, so that
// an instance with many partitions renews all of them with one small write.
type Lease struct {
	// Owner is the id of an instance, empty when the partition was released.
	Owner string `json:"owner"`
	// Epoch counts the owners of the partition, from 1.
	Epoch uint64 `json:"epoch"`
	// Heartbeat is the revision of the heartbeat in the members bucket on which the acquisition rests.
	Heartbeat uint64 `json:"heartbeat"`
	// Since is when the owner acquired it, by the owner's wall clock. For people; nothing depends on it.
	Since time.Time `json:"since"`
}

const (
	// retryAcquire is the pause after a compare-and-set of a lease that failed.
	retryAcquire = 200 * time.Millisecond
	// retryLost is the pause after a partition was lost to another owner, so that views settle first.
	retryLost = time.Second
	// refusalTime is how long an instance that cannot run a partition leaves it to others.
	refusalTime = 30 * time.Second
)

// holdingState is where one instance stands with one partition.
type holdingState int

const (
	idle      holdingState = iota // not ours
	acquiring                     // a compare-and-set of the lease is on its way
	running                       // ours: a worker processes
	draining                      // ours: the worker writes its last checkpoint
	suspended                     // ours when the lease lapsed: the worker stands still and keeps its state
	resuming                      // the same, and a compare-and-set that renews the lease is on its way
	finished                      // ours, without a worker: the lease is to be given up
	releasing                     // the same, and a compare-and-set that gives up the lease is on its way
)

// holding is one instance's side of one partition.
type holding struct {
	state    holdingState
	lapse    uint64        // coordinator.lapses when the acquisition began
	retryAt  time.Duration // not to be acquired or released before
	refused  time.Duration // refused until then
	lease    Lease         // ours
	revision uint64        // of our lease, as long as there is a worker
	handOver bool          // suspended while draining

	seen         Lease // newest in the bucket
	seenRevision uint64
	// missing: the entry, or its bucket, was deleted by others than its owner. Whoever holds the partition writes it
	// again; nobody else takes it while a live instance says that it holds it.
	missing  bool
	renewing bool   // a compare-and-set that writes it again is on its way
	epoch    uint64 // highest that was seen, in whichever bucket
	// ownerless is since when nobody alive is known to own the partition; 0: somebody is.
	ownerless time.Duration
}

// actionKind is what the instance is to do.
type actionKind int

const (
	// doAcquire: compare-and-set the lease from action.revision (0: no lease yet) to action.lease, then call acquired.
	doAcquire actionKind = iota
	// doDrain: tell the worker to finish and write a checkpoint, then call stopped.
	doDrain
	// doAbort: end the worker at once. It must not publish or checkpoint any more. Nothing is to be called.
	doAbort
	// doRelease: compare-and-set the lease from action.revision to action.lease, then call released.
	doRelease
	// doResume: compare-and-set the lease from action.revision to action.lease, which differs in the heartbeat alone,
	// then call resumed.
	doResume
	// doRenew: write action.lease, which is missing, again, then call renewed. The worker goes on.
	doRenew
)

type action struct {
	kind      actionKind
	partition int
	revision  uint64
	lease     Lease
}

// coordinator decides which partitions an instance acquires and gives up. It is a state machine over values: what
// happened goes in with the local monotonic time, what is to be done comes out of [coordinator.decide]. It is not safe
// for concurrent use.
type coordinator struct {
	stage  string
	self   string
	roster *roster
	// margin by which the holder stops before others may take over, for clocks that run at different speeds.
	margin time.Duration
	// validUntil is when own leases end unless another heartbeat is acknowledged.
	validUntil time.Duration
	heartbeat  uint64 // revision of the newest acknowledged own heartbeat
	lapsed     bool
	lapses     uint64
	leaving    bool

	membersKnown, leasesKnown bool
	holdings                  []holding
}

func newCoordinator(stage, self string, partitions int, ttl, margin time.Duration) *coordinator {
	return &coordinator{
		stage: stage, self: self, roster: newRoster(self, ttl), margin: margin,
		lapsed: true, holdings: make([]holding, partitions),
	}
}

// heartbeatStored tells that the own heartbeat sent at the given time was acknowledged with a revision, and that this
// was known at now. An acknowledgement that comes after the leases have ended does not renew them, even if nobody has
// noticed their end yet: the heartbeat may have been stored so late that another has taken partitions in between.
func (c *coordinator) heartbeatStored(sent time.Duration, revision uint64, now time.Duration) {
	c.lapse(now)
	if until := sent + c.roster.ttl - c.margin; until > c.validUntil {
		c.validUntil, c.heartbeat = until, revision
	}
}

// lapse suspends what is held when the leases have ended.
func (c *coordinator) lapse(now time.Duration) {
	if now < c.validUntil || c.lapsed {
		return
	}
	c.lapsed = true
	c.lapses++
	for p := range c.holdings {
		h := &c.holdings[p]
		switch h.state {
		case running, draining:
			h.handOver = h.state == draining
			h.state, h.retryAt = suspended, 0
		case resuming: // An answer that comes back finds another count of lapses.
		case finished, releasing:
			h.state = idle
		case idle, acquiring, suspended: // As resuming.
		}
	}
}

// resumed tells how doResume ended; revision is that of the renewed lease. It reports whether the worker may go on. An
// unknown outcome is reported as not ok: if it was stored after all, the watch shows it.
func (c *coordinator) resumed(partition int, revision uint64, ok bool, now time.Duration) bool {
	h := &c.holdings[partition]
	if h.state != resuming {
		return false
	}
	h.state = suspended
	if !ok || revision <= h.revision {
		h.retryAt = now + retryAcquire
		return false
	}
	h.revision = revision
	if revision > h.seenRevision {
		h.seen, h.seenRevision, h.missing = h.lease, revision, false
	}
	if h.lapse != c.lapses || now >= c.validUntil || h.seenRevision > revision {
		return false // Lapsed again, or taken; decide sees to it.
	}
	h.state = running
	if h.handOver {
		h.state = draining
	}
	return true
}

// kept reports whether the newest lease of a suspended partition is still ours. Every lease of ours that is newer than
// the one held was written by doResume, from the one held: another's cannot have been in between.
func (c *coordinator) kept(h *holding) bool {
	if h.seenRevision > h.revision && h.seen.Owner == c.self && h.seen.Epoch == h.lease.Epoch {
		h.revision = h.seenRevision
	}
	return h.seenRevision == h.revision
}

// renewed tells how doRenew ended; revision is that of the lease.
func (c *coordinator) renewed(partition int, lease Lease, revision uint64, ok bool, now time.Duration) {
	h := &c.holdings[partition]
	h.renewing = false
	if !ok {
		h.retryAt = now + retryAcquire
		return
	}
	if revision > h.seenRevision {
		h.seen, h.seenRevision, h.missing = lease, revision, false
	}
	if h.state == running || h.state == draining {
		h.revision = max(h.revision, revision)
	}
}

// leaseSeen tells what the leases bucket holds for a partition. Older revisions than the one known are ignored: the
// watch may lag behind our own writes.
func (c *coordinator) leaseSeen(partition int, lease Lease, revision uint64, now time.Duration) {
	h := &c.holdings[partition]
	if revision < h.seenRevision {
		return
	}
	h.seen, h.seenRevision, h.missing = lease, revision, false
	h.epoch = max(h.epoch, lease.Epoch)
	if lease.Owner != "" && lease.Owner != c.self {
		c.roster.proven(lease.Owner, lease.Heartbeat, now)
	}
}

// leaseMissing tells that the entry of a partition was deleted: no instance does that, so it says nothing of who owns
// the partition. revision is that of the mark which a deletion leaves, or of the entry that is gone.
func (c *coordinator) leaseMissing(partition int, revision uint64) {
	h := &c.holdings[partition]
	if revision < h.seenRevision {
		return
	}
	h.seen, h.seenRevision, h.missing = Lease{}, revision, true
}

// leasesLost tells that the leases bucket is another than before (it was deleted, or a server without disks restarted),
// so that revisions mean nothing any more. Who holds a partition writes its lease again.
func (c *coordinator) leasesLost() {
	c.leasesKnown = false
	for p := range c.holdings {
		h := &c.holdings[p]
		h.seen, h.seenRevision, h.revision, h.missing = Lease{}, 0, 0, true
	}
}

// ownerless gives the partitions that nobody alive is known to own, and since when the first of them is.
func (c *coordinator) ownerless(now time.Duration) (partitions []int, since time.Duration) {
	for p := range c.holdings {
		h := &c.holdings[p]
		switch {
		case h.state == running, h.state == draining, !h.missing && h.seen.Owner != "" && h.seen.Owner != c.self && c.roster.alive(h.seen.Owner),
			h.missing && c.claimed(p, 0):
			h.ownerless = 0
			continue
		case h.ownerless == 0:
			h.ownerless = max(now, 1)
		}
		partitions = append(partitions, p)
		if since == 0 || h.ownerless < since {
			since = h.ownerless
		}
	}
	return partitions, since
}

// claimed reports whether another live instance says that it holds a partition, by a lease later than epoch.
func (c *coordinator) claimed(partition int, epoch uint64) bool {
	return c.roster.claims(partition, epoch)
}

// acquired tells how doAcquire ended; revision is that of the new lease. An unknown outcome is reported as not ok: if
// it was stored after all, the watch shows a lease of ours, which can be acquired again.
func (c *coordinator) acquired(partition int, lease Lease, revision uint64, ok bool, now time.Duration) (start bool) {
	h := &c.holdings[partition]
	if h.state != acquiring {
		return false
	}
	h.state = idle
	switch {
	case !ok:
		h.retryAt = now + retryAcquire
		return false
	// In between, our heartbeats had stopped for so long that another may own the partition by now.
	case h.lapse != c.lapses || now >= c.validUntil:
		return false
	case h.seenRevision > revision:
		return false // Taken already.
	}
	h.state, h.lease, h.revision = running, lease, revision
	h.seen, h.seenRevision, h.missing = lease, revision, false
	h.epoch = max(h.epoch, lease.Epoch)
	return true
}

// stopped tells that a partition's worker ended by itself or after doDrain. refuse says that this instance cannot run
// the partition for some time, and another should.
func (c *coordinator) stopped(partition int, lost, refuse bool, now time.Duration) {
	h := &c.holdings[partition]
	switch h.state {
	case running, draining, suspended, resuming:
	case idle, acquiring, finished, releasing:
		return
	}
	if refuse {
		h.refused = now + refusalTime
	}
	if lost {
		h.state, h.retryAt = idle, now+retryLost
		return
	}
	h.state, h.retryAt = finished, 0
}

// released tells how doRelease ended. An unknown outcome is reported as not ok and tried again.
func (c *coordinator) released(partition int, lease Lease, revision uint64, ok bool, now time.Duration) {
	h := &c.holdings[partition]
	if h.state != releasing {
		return
	}
	if !ok {
		h.state, h.retryAt = finished, now+retryAcquire
		return
	}
	h.state = idle
	if revision > h.seenRevision {
		h.seen, h.seenRevision, h.missing = lease, revision, false
	}
}

// leave makes the instance give up everything.
func (c *coordinator) leave() { c.leaving = true }

// succeeded reports whether another live instance goes on with the stage.
func (c *coordinator) succeeded() bool { return c.roster.succeeded() }

// complete reports whether every partition that is to be this instance's is.
func (c *coordinator) complete(now time.Duration) bool {
	owners := place(c.stage, len(c.holdings), c.roster.candidates(c.refusals(now)))
	for p := range c.holdings {
		if owners[p] == c.self && c.holdings[p].state != running {
			return false
		}
	}
	return true
}

// gone reports whether nothing is held or on its way any more.
func (c *coordinator) gone() bool {
	return !slices.ContainsFunc(c.holdings, func(h holding) bool { return h.state != idle })
}

// settled reports whether nothing waits for a pause to end.
func (c *coordinator) settled() bool {
	return !slices.ContainsFunc(c.holdings, func(h holding) bool {
		return h.state == finished || h.state == suspended || h.state == idle && !c.leaving && h.retryAt > 0
	})
}

// refusals are the partitions that this instance refuses now.
func (c *coordinator) refusals(now time.Duration) []int {
	var refused []int
	for p := range c.holdings {
		if now < c.holdings[p].refused {
			refused = append(refused, p)
		}
	}
	return refused
}

// decide gives what is to be done now.
func (c *coordinator) decide(now time.Duration) []action {
	var actions []action
	c.lapse(now)
	if now >= c.validUntil {
		for p := range c.holdings {
			h := &c.holdings[p]
			// Whoever leaves does not wait longer than it takes others to notice.
			if (h.state == suspended || h.state == resuming) && c.leaving && now >= c.validUntil+c.roster.ttl {
				actions = append(actions, action{kind: doAbort, partition: p})
				h.state = idle
			}
		}
		return actions
	}
	c.lapsed = false
	if !c.membersKnown || !c.leasesKnown {
		return nil
	}
	owners := place(c.stage, len(c.holdings), c.roster.candidates(c.refusals(now)))
	for p := range c.holdings {
		h := &c.holdings[p]
		switch h.state {
		case running, draining:
			switch {
			case h.missing && !c.claimed(p, h.lease.Epoch):
				if h.renewing || now < h.retryAt {
					continue
				}
				h.renewing = true
				h.lease.Heartbeat = c.heartbeat
				actions = append(actions, action{kind: doRenew, partition: p, lease: h.lease})
			case h.missing || !c.kept(h):
				// Another's lease, or another says that it has one.
				actions = append(actions, action{kind: doAbort, partition: p})
				h.state, h.retryAt = idle, now+retryLost
			case h.state == running && (c.leaving || owners[p] != c.self && owners[p] != ""):
				actions = append(actions, action{kind: doDrain, partition: p})
				h.state = draining
			}
		case finished:
			switch {
			case h.missing || h.seenRevision != h.revision:
				h.state = idle
			case now >= h.retryAt:
				h.state = releasing
				actions = append(actions, action{
					kind: doRelease, partition: p, revision: h.revision,
					lease: Lease{Epoch: h.lease.Epoch, Heartbeat: c.heartbeat},
				})
			}
		case idle:
			if now < h.retryAt {
				continue
			}
			h.retryAt = 0
			if c.leaving {
				continue
			}
			if owners[p] != c.self {
				if h.seen.Owner == c.self && owners[p] != "" {
					// From before a lapse, or an answer that was lost. Others see us alive and would wait for ever.
					h.state, h.lease, h.revision = finished, h.seen, h.seenRevision
				}
				continue
			}
			if !c.available(p) {
				continue
			}
			h.state, h.lapse = acquiring, c.lapses
			actions = append(actions, action{
				kind: doAcquire, partition: p, revision: h.expected(h.seenRevision),
				lease: Lease{Owner: c.self, Epoch: max(h.seen.Epoch, h.epoch) + 1, Heartbeat: c.heartbeat},
			})
		case suspended:
			switch {
			case h.missing && c.claimed(p, h.lease.Epoch), !h.missing && !c.kept(h):
				actions = append(actions, action{kind: doAbort, partition: p})
				h.state, h.retryAt = idle, now+retryLost
			case now >= h.retryAt:
				h.state, h.lapse = resuming, c.lapses
				h.lease.Heartbeat = c.heartbeat
				actions = append(actions, action{kind: doResume, partition: p, revision: h.expected(h.revision), lease: h.lease})
			}
		case acquiring, releasing, resuming:
		}
	}
	return actions
}

// expected is the revision that a compare-and-set of the lease expects: none of an entry that is missing.
func (h *holding) expected(revision uint64) uint64 {
	if h.missing {
		return 0
	}
	return revision
}

// available reports whether a partition's lease may be taken.
func (c *coordinator) available(partition int) bool {
	h := &c.holdings[partition]
	if h.missing || h.seenRevision == 0 {
		return !c.claimed(partition, 0)
	}
	return h.seen.Owner == "" || h.seen.Owner == c.self || !c.roster.alive(h.seen.Owner)
}
