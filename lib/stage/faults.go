package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
)

// identityInterval is how often a bucket that is watched is compared with itself.
const identityInterval = time.Second

// lookUps is how many checkpoints are looked up per survey: a deletion by key leaves a mark, which lists do not tell
// from an entry. A partition at work notices it at its next checkpoint.
const lookUps = 4

// faults are what an instance needs and does not have, by name.
type faults struct {
	mu  sync.Mutex
	all map[string]error
}

// fault notes why something that the instance needs is not there; nil: it is.
func (i *instance) fault(name string, err error) {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	if err == nil {
		delete(i.faults.all, name)
		return
	}
	if i.faults.all == nil {
		i.faults.all = map[string]error{}
	}
	i.faults.all[name] = err
}

// faulty is the first of the faults.
func (i *instance) faulty() error {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(i.faults.all)) {
		return fmt.Errorf("%s: %w", name, i.faults.all[name])
	}
	return nil
}

// unowned is the error of a stage whose partitions have had no owner for longer than a takeover takes.
func (i *instance) unowned(now time.Duration) error {
	partitions, since := i.coordinator.ownerless(now)
	if len(partitions) == 0 || now-since < 3*i.options.LeaseTTL {
		return nil
	}
	return fmt.Errorf("%d of %d partitions have no owner, partition %d among them", len(partitions), i.options.Partitions, partitions[0])
}

// gone reports whether an error says that a bucket or stream does not exist.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// identity says when a bucket is not the one that was created at a time any more.
func (i *instance) identity(ctx context.Context, bucket jetstream.KeyValue, created time.Time, changed chan<- error) {
	ticker := time.NewTicker(identityInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asking, cancel := context.WithTimeout(ctx, requestTimeout)
		status, err := bucket.Status(asking)
		cancel()
		switch s, ok := status.(*jetstream.KeyValueBucketStatus); {
		case gone(err):
			changed <- fmt.Errorf("bucket %s: %w", bucket.Bucket(), err)
			return
		case err == nil && ok && !s.StreamInfo().Created.Equal(created):
			changed <- fmt.Errorf("bucket %s was made anew", bucket.Bucket())
			return
		}
	}
}

// remake creates a bucket that is gone, or says why it cannot.
func (i *instance) remake(ctx context.Context, bucket string, cause error) {
	if !gone(cause) {
		return
	}
	i.log.Warn("a bucket was deleted; it is made again", "bucket", bucket)
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := i.control.KeyValue(asking, bucket)
	if ctx.Err() == nil {
		i.fault(bucket, err)
	}
}

// tend looks for what others have deleted without a word to those who watch: entries that a purge of a stream removed,
// checkpoints, and the input stream itself. Their owners write them again.
func (i *instance) tend(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := i.tendStream(asking); err != nil && ctx.Err() == nil {
		i.fault(i.options.Stream, err)
	}
	i.tendLeases(asking)
	i.tendCheckpoints(asking)
}

// tendStream makes the input stream again where that is permitted.
func (i *instance) tendStream(ctx context.Context) error {
	_, err := i.options.Bus.JetStream().Stream(ctx, i.options.Stream)
	switch {
	case gone(err):
		if err := bus.EnsureStreams(ctx, i.options.Bus, i.options.Stream); err != nil {
			return err
		}
		i.log.Warn("the input stream was deleted; it was made again", "stream", i.options.Stream)
	case err != nil:
		return nil // NATS is away, which others say.
	}
	i.fault(i.options.Stream, nil)
	return nil
}

// subjects lists what a bucket has of this stage: the number of messages by key. last is its newest revision.
func (i *instance) subjects(ctx context.Context, bucket string) (keys map[string]uint64, last uint64, err error) {
	stream, err := i.control.JetStream().Stream(ctx, "KV_"+bucket)
	if err != nil {
		return nil, 0, err
	}
	before := "$KV." + bucket + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(before+i.options.Name+".>"))
	if err != nil {
		return nil, 0, err
	}
	keys = make(map[string]uint64, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		keys[strings.TrimPrefix(subject, before)] = n
	}
	return keys, info.State.LastSeq, nil
}

func (i *instance) tendLeases(ctx context.Context) {
	created := make(chan time.Time, 1)
	i.post(func() { created <- i.leasesCreated })
	var known time.Time
	select {
	case known = <-created:
	case <-i.stopped:
		return
	}
	keys, last, err := i.subjects(ctx, bus.BucketLeases)
	if err != nil {
		return // The watch says why.
	}
	i.post(func() {
		if !i.leasesCreated.Equal(known) {
			return
		}
		for p := range i.coordinator.holdings {
			h := &i.coordinator.holdings[p]
			if keys[i.store.key(p)] == 0 && !h.missing && h.seenRevision > 0 && h.seenRevision <= last {
				i.coordinator.leaseMissing(p, h.seenRevision)
			}
		}
	})
}

func (i *instance) tendCheckpoints(ctx context.Context) {
	workers := i.ticking.Load()
	keys, _, err := i.subjects(ctx, bus.BucketCheckpoints)
	switch {
	case gone(err):
		i.remake(ctx, bus.BucketCheckpoints, err)
		keys = nil
	case err != nil:
		return
	default:
		i.fault(bus.BucketCheckpoints, nil)
	}
	if workers == nil {
		return
	}
	owned := slices.Clone(*workers)
	slices.SortFunc(owned, func(a, b *worker) int { return cmp.Compare(a.looked.Load(), b.looked.Load()) })
	looked := 0
	for _, w := range owned {
		m := w.status.manifest.Load()
		if m == nil {
			continue
		}
		missing := keys[i.store.key(w.partition)] == 0 || m.chunks > 0 && i.chunks(keys, w.partition, m.writer) < m.chunks
		if !missing && looked < lookUps {
			looked++
			w.looked.Store(int64(i.clock()))
			e, err := i.store.manifest(ctx, w.partition)
			missing = err == nil && e.revision == 0
		}
		if missing && w.status.manifest.Load() == m {
			w.missing.Store(true)
		}
	}
}

// chunks counts the chunks of a writer among keys.
func (i *instance) chunks(keys map[string]uint64, partition int, writer string) (n uint64) {
	for {
		if keys[i.store.chunkKey(partition, writer, n)] == 0 {
			return n
		}
		n++
	}
}

// manifest is what is known of the checkpoint that a worker has written or sealed.
type manifest struct {
	writer string
	chunks uint64
}

// rewriting notes that a checkpoint which others deleted is written again.
func (i *instance) rewriting(partition int) {
	i.log.Warn("a checkpoint was deleted; it is written again", "partition", partition)
	i.metrics.add(func(m *metrics) prometheus.Counter { return m.rewritten }, 1)
}

// rewrite begins to write the checkpoint again from memory when others have deleted it.
func (w *worker) rewrite() {
	if w.session.pending != nil || !w.missing.Swap(false) {
		return // One that is on its way notices by itself.
	}
	w.session.renew() // The compare-and-set shows whether it really is missing.
}
