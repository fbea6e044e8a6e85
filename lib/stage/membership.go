package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Member is what an instance says of itself in the members bucket, under the key `<stage>.<id>`, with every heartbeat.
type Member struct {
	ID string `json:"id"`
	// Beat numbers the heartbeats of the instance.
	Beat uint64 `json:"beat"`
	// Process id and start, for people.
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Refused partitions: the instance could not restore their state (for example a snapshot of a newer version during
	// an upgrade) and leaves them to others for a while.
	Refused []int `json:"refused,omitempty"`
	// Reasons why partitions are parked at this instance: it cannot run them, and nobody else does.
	Reasons map[int]string `json:"reasons,omitempty"`
	// Leaving: the instance has got the signal to stop.
	Leaving bool `json:"leaving,omitempty"`
	// Partitions that it runs.
	Partitions []MemberPartition `json:"partitions,omitempty"`
}

// MemberPartition is the state of a partition as its owner has it.
type MemberPartition struct {
	Partition int `json:"partition"`
	// Epoch of the lease.
	Epoch uint64 `json:"epoch"`
	// Position is the sequence in the input stream up to which everything was processed.
	Position uint64 `json:"position"`
	// Lag is the number of records stored and not processed.
	Lag uint64 `json:"lag"`
	// Records processed since the instance took the partition.
	Records uint64 `json:"records"`
	// Rate is records per second over the last heartbeat interval.
	Rate float64 `json:"rate"`
	// Checkpoint is when the newest checkpoint was written, zero if there is none yet.
	Checkpoint time.Time `json:"checkpoint"`
	// Error is why the partition does not go on, if it does not.
	Error string `json:"error,omitempty"`
}

// watchPause is the pause before a broken watch is begun again.
const watchPause = 500 * time.Millisecond

// maxBeating is how many heartbeats may be on their way: a late acknowledgement of one must not keep the next from
// being sent.
const maxBeating = 4

// heartbeat announces the instance.
func (i *instance) heartbeat(ctx context.Context) {
	if i.beating >= maxBeating {
		return
	}
	i.beating++
	i.beats++
	sent := i.clock()
	member := Member{ID: i.id, Beat: i.beats, PID: os.Getpid(), Started: i.started, Refused: i.coordinator.refusals(sent), Leaving: i.leaving}
	member.Reasons = i.reasons()
	for p, w := range i.workers {
		member.Partitions = append(member.Partitions, w.report(p, i.options.HeartbeatInterval))
	}
	value, err := json.Marshal(member)
	if err != nil {
		i.log.Error("heartbeat", "error", err) // A Member can always be marshalled.
		return
	}
	i.coordinator.roster.sending(member.Beat, sent)
	key := i.options.Name + "." + i.id
	go func() {
		// After that an acknowledgement would not prolong anything.
		ctx, cancel := context.WithTimeout(ctx, i.options.LeaseTTL)
		defer cancel()
		revision, err := i.members.Put(ctx, key, value)
		i.post(func() {
			i.beating--
			if err == nil {
				i.coordinator.heartbeatStored(sent, revision, i.clock())
			}
		})
	}()
}

func (w *worker) report(partition int, interval time.Duration) MemberPartition {
	records := w.status.records.Load()
	m := MemberPartition{
		Partition: partition, Epoch: w.epoch, Position: w.status.position.Load(), Lag: w.status.lag.Load(), Records: records,
		Rate: float64(records-w.reported) / interval.Seconds(),
	}
	w.reported = records
	if at := w.status.checkpoint.Load(); at != 0 {
		m.Checkpoint = time.Unix(0, at).UTC()
	}
	if failure := w.status.failure.Load(); failure != nil {
		m.Error, _, _ = strings.Cut((*failure).Error(), "\n")
	}
	return m
}

// farewell removes the instance from the members, so that nobody waits for it.
func (i *instance) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := i.members.Delete(ctx, i.options.Name+"."+i.id); err != nil {
		i.log.Debug("goodbye not delivered", "error", err)
	}
}

// errAnew: an answer came from a bucket that is not there any more.
var errAnew = errors.New("the bucket was made anew")

// setLease writes a lease if its revision is still the one that the action expects. created is when the bucket was
// created to which that revision belongs.
func (i *instance) setLease(ctx context.Context, a action, created time.Time, then func(revision uint64, err error)) {
	value, err := json.Marshal(a.lease)
	var revision uint64
	if err == nil {
		revision, err = swap(ctx, i.leases, i.options.Name+"."+strconv.Itoa(a.partition), value, a.revision)
	}
	i.post(func() {
		if err == nil && !i.leasesCreated.Equal(created) {
			err = errAnew
		}
		then(revision, err)
	})
}

// watchMembers follows the members bucket, and once it is known the leases bucket, in that order: a lease is judged by
// its owner's heartbeats.
func (i *instance) watchMembers(ctx context.Context) {
	leases := false
	i.watch(ctx, &i.members, func(_ time.Time, anew bool) {
		if anew {
			i.coordinator.roster.reset()
		}
	}, i.memberSeen, func() {
		i.coordinator.membersKnown = true
		if !leases {
			leases = true
			go i.watch(ctx, &i.leases, i.leasesFound, i.leaseSeen, func() { i.coordinator.leasesKnown = true })
		}
	})
}

func (i *instance) memberSeen(id string, e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		i.coordinator.roster.left(id)
		return
	}
	// Only what decisions need: the rest is most of the bytes, every second from every instance.
	var m struct {
		Beat    uint64 `json:"beat"`
		Refused []int  `json:"refused"`
		Leaving bool   `json:"leaving"`
	}
	if err := json.Unmarshal(e.Value(), &m); err != nil {
		return // Not ours to judge; without heartbeats it is dead.
	}
	if id == i.id {
		i.coordinator.roster.heardSelf(m.Beat, e.Revision())
		return
	}
	i.coordinator.roster.heard(id, e.Revision(), m.Refused, i.clock())
	i.coordinator.roster.leaves(id, m.Leaving)
	i.coordinator.roster.says(id, e.Value())
	i.coordinator.roster.forget(10 * i.options.LeaseTTL)
}

// leasesFound tells which bucket of leases is watched now.
func (i *instance) leasesFound(created time.Time, anew bool) {
	i.leasesCreated = created
	if anew {
		i.coordinator.leasesLost()
	}
}

func (i *instance) leaseSeen(name string, e jetstream.KeyValueEntry) {
	partition, err := strconv.Atoi(name)
	if err != nil || partition < 0 || partition >= i.options.Partitions {
		return
	}
	var lease Lease
	// No instance deletes a lease, and each that it writes has an epoch.
	if e.Operation() != jetstream.KeyValuePut || json.Unmarshal(e.Value(), &lease) != nil || lease.Epoch == 0 {
		i.coordinator.leaseMissing(partition, e.Revision())
		return
	}
	i.coordinator.leaseSeen(partition, lease, e.Revision(), i.clock())
}

// watch follows the entries of this stage in a bucket, until ctx ends. seen, lost (the bucket is another than before)
// and known (the entries that were there have been seen) run in the goroutine of run. After a reconnect it begins anew:
// the client's own recovery takes many seconds, and does not notice a bucket that was made again.
func (i *instance) watch(ctx context.Context, bucket *jetstream.KeyValue, lost func(created time.Time, anew bool), seen func(string, jetstream.KeyValueEntry), known func()) {
	var created time.Time
	for ctx.Err() == nil {
		if err := i.follow(ctx, *bucket, &created, lost, seen, known); err != nil && ctx.Err() == nil {
			i.log.Debug("watch begins anew", "bucket", (*bucket).Bucket(), "cause", err)
			i.remake(ctx, (*bucket).Bucket(), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}

func (i *instance) follow(
	ctx context.Context, bucket jetstream.KeyValue, created *time.Time, lost func(created time.Time, anew bool), seen func(string, jetstream.KeyValueEntry), known func(),
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nc := i.control.NATS()
	reconnects := nc.Stats().Reconnects
	asking, stop := context.WithTimeout(ctx, requestTimeout)
	defer stop()
	status, err := bucket.Status(asking)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket.Bucket(), err)
	}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		if at := s.StreamInfo().Created; !at.Equal(*created) {
			anew := !created.IsZero()
			*created = at
			i.post(func() { lost(at, anew) })
		}
	}
	watcher, err := bucket.Watch(ctx, i.options.Name+".*")
	if err != nil {
		return fmt.Errorf("watch %s: %w", bucket.Bucket(), err)
	}
	defer func() { _ = watcher.Stop() }() // Its context ends too.
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	changed := make(chan error, 1)
	go i.identity(ctx, bucket, *created, changed)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-changed:
			return err
		case <-ticker.C:
			if nc.Stats().Reconnects != reconnects {
				return fmt.Errorf("watch %s: the connection was lost", bucket.Bucket())
			}
		case e, ok := <-watcher.Updates():
			if !ok {
				return fmt.Errorf("watch %s: ended", bucket.Bucket())
			}
			if e == nil {
				i.fault(bucket.Bucket(), nil)
				i.post(known)
				continue
			}
			name := strings.TrimPrefix(e.Key(), i.options.Name+".")
			i.post(func() { seen(name, e) })
		}
	}
}
