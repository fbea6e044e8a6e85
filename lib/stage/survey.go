package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// streamSample is what the input stream looked like.
type streamSample struct {
	first, last, messages uint64
	created               int64         // nanoseconds
	at                    time.Duration // local time of the sample
}

// surveyInterval is how often the input stream is looked at.
const surveyInterval = 2 * time.Second

func (i *instance) survey(ctx context.Context) error {
	info, err := i.input.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", i.options.Stream, err)
	}
	i.sample.Store(&streamSample{
		first: info.State.FirstSeq, last: info.State.LastSeq, messages: info.State.Msgs, created: info.Created.UnixNano(), at: i.clock(),
	})
	return nil
}

func (i *instance) surveys(ctx context.Context) {
	ticker := time.NewTicker(surveyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asking, cancel := context.WithTimeout(ctx, requestTimeout)
		if err := i.survey(asking); err != nil {
			i.log.Debug("survey", "error", err)
		}
		cancel()
		i.post(func() { i.refreshLags(ctx) })
		i.tend(ctx)
	}
}

// maxCounts bounds how many partitions are counted per survey: each costs the server a consumer, which in a cluster is
// agreed upon.
const maxCounts = 8

// refreshLags counts what is left for partitions whose processors block: they receive nothing that would tell how much
// waits for them.
func (i *instance) refreshLags(ctx context.Context) {
	var blocked []*worker
	now := int64(i.clock())
	for _, w := range i.workers {
		if now-w.status.beat.Load() > int64(time.Second) && w.status.next.Load() > 0 {
			blocked = append(blocked, w)
		}
	}
	if len(blocked) == 0 || i.counting.Swap(true) {
		return
	}
	slices.SortFunc(blocked, func(a, b *worker) int { return cmp.Compare(a.counted, b.counted) })
	blocked = blocked[:min(len(blocked), maxCounts)]
	for _, w := range blocked {
		w.counted = i.clock()
	}
	go func() {
		defer i.counting.Store(false)
		for _, w := range blocked {
			asking, cancel := context.WithTimeout(ctx, requestTimeout)
			// A server that does not answer leaves the last known value.
			if left, err := i.left(asking, w.partition, w.status.next.Load()); err == nil {
				w.status.lag.Store(left + w.status.handed.Load())
			}
			cancel()
		}
	}()
}

// left counts the records of a partition from a sequence on, by a consumer that is made for its answer only. That of a
// blocked worker is gone after a while, and counts marks as well.
func (i *instance) left(ctx context.Context, partition int, from uint64) (uint64, error) {
	consumer, err := i.options.Bus.JetStream().CreateConsumer(ctx, i.options.Stream, jetstream.ConsumerConfig{
		Description:       "Millrace stage, lag",
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    i.options.Subjects(partition),
		InactiveThreshold: requestTimeout,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return 0, fmt.Errorf("count records of partition %d: %w", partition, err)
	}
	info := consumer.CachedInfo()
	_ = i.options.Bus.NATS().Publish(apiPrefix+"CONSUMER.DELETE."+i.options.Stream+"."+info.Name, nil)
	return info.NumPending, nil
}

// identify gives a sample of the input stream when that is another than the one that the position belongs to. It is
// asked once there is a consumer, which does not outlive its stream.
func (w *worker) identify(ctx context.Context) (*streamSample, error) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := w.instance.survey(asking); err != nil {
		return nil, err
	}
	if sample := w.instance.sample.Load(); sample.created != w.stream {
		return sample, nil
	}
	return nil, nil
}

// anew begins at the front of the input stream when that was made anew, with the state as it is: all that was processed
// is in it. What had been stored and was not read is lost.
func (w *worker) anew(ctx context.Context) (bool, error) {
	sample, err := w.identify(ctx)
	if sample == nil {
		return false, err
	}
	lost := max(w.status.lag.Load(), 1)
	w.instance.log.Error("the input stream was made anew: what was not read of the one before is lost", "partition", w.partition, "records", lost)
	w.instance.metrics.lost(lossRecreated, lost)
	w.stream, w.sampled = sample.created, sample
	w.session.rebase()
	w.quarantine = quarantine{} // Its sequences are those of the stream before.
	w.frontier = frontier{}
	w.proven = time.Time{}
	return true, nil
}

// survey compares the partition's position with the stream.
func (w *worker) survey(ctx context.Context, sample *streamSample) error {
	if sample.created != w.stream {
		return w.reopen(ctx, errors.New("the stream was made anew"))
	}
	if saved := (&frontier{received: w.session.saved}); saved.stale(sample.first, sample.last) {
		w.session.settle() // Marks have brought the position further; a checkpoint there is not overtaken by the stream's limits.
	}
	if !w.puller.waiting() || !w.frontier.stale(sample.first, sample.last) {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	received := w.frontier.received
	exists, err := w.puller.exists(asking, received+1)
	if err != nil || exists || len(w.puller.messages) > 0 {
		return nil // Another time.
	}
	// The stream held nothing for us after the sample was taken, so nothing up to its last sequence.
	w.frontier.received = max(received, sample.last)
	w.session.skip(w.frontier.received)
	return nil
}

// lose counts what retention removed.
func (w *worker) lose(removed, pending uint64, sample *streamSample) {
	if removed == 0 {
		return
	}
	lost := share(removed, pending, sample.messages)
	w.instance.metrics.add(func(m *metrics) prometheus.Counter { return m.removed }, removed)
	w.instance.metrics.lost(lossRetention, lost)
	if lost > 0 {
		w.instance.lossSeen(w.partition, lost)
	}
}
