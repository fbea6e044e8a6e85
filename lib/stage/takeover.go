package stage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
)

// restore takes the partition's checkpoint over, makes a processor from it and begins to read behind it.
func (w *worker) restore(ctx context.Context) error {
	i := w.instance
	w.status.revision.Store(0) // Until it is sealed again.
	e, err := w.seal(ctx)
	if err != nil {
		return err
	}
	w.missing.Store(false)
	w.revision, w.chunks = e.revision, ""
	w.status.revision.Store(e.revision)
	if e.chunks > 0 {
		w.chunks = e.writer
	}
	w.status.manifest.Store(&manifest{writer: w.chunks, chunks: e.chunks})
	loaded, err := i.store.load(ctx, w.partition, e)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		// A part of it was deleted: as good as nothing.
		e = entry{revision: e.revision, lost: true}
	case err != nil:
		return err
	default:
		e = loaded
	}
	if e.lost {
		i.metrics.lost(lossCheckpoint, 1)
		i.log.Error("the checkpoint of a partition is gone: it begins anew with what comes from now on", "partition", w.partition)
	}
	if err := i.store.sweep(ctx, w.partition, w.chunks); err != nil {
		i.log.Debug("chunks of old checkpoints stay for now", "partition", w.partition, "error", err)
	}
	processor, err := i.options.Factory(w.partition)
	if err != nil {
		return fmt.Errorf("make processor of partition %d: %w", w.partition, err)
	}
	if e.present {
		if err := processor.Restore(e.snapshot); err != nil {
			return fmt.Errorf("%w: restore partition %d: %w", errRefused, w.partition, err)
		}
		i.metrics.add(func(m *metrics) prometheus.Counter { return m.replays }, 1)
	}
	if err := i.survey(ctx); err != nil {
		return err
	}
	sample := i.sample.Load()
	w.sampled, w.stream, w.clear, w.caughtUp = sample, sample.created, false, false
	position, skipped := e.sequence, e.skipped
	if e.sequence > 0 && e.stream != sample.created {
		// Its numbers mean nothing here. State stays: what it knows of is older than all that comes.
		i.metrics.lost(lossRecreated, 1)
		position, skipped = 0, nil
		if f, ok := processor.(Forgetter); ok && e.present {
			f.Forget()
		}
	}
	if e.lost {
		// Which records the predecessor had processed nobody knows. None is to count twice.
		position, skipped = sample.last, nil
	}
	w.outputs = &outputs{
		ctx: w.process, enter: w.enterSending, metrics: i.metrics,
		publish: func(ctx context.Context, subject, id string, data []byte) (future, error) {
			return i.options.Bus.Publish(ctx, subject, id, data)
		},
	}
	w.session = &session{
		processor: processor, out: w.outputs, enter: w.enterCalling, tickEvery: i.options.TickInterval, interval: i.options.CheckpointInterval,
		marks: bus.TimeSubject(i.options.Stream), position: position, changed: position, saved: position,
		told: time.Unix(0, e.told), savedTold: time.Unix(0, e.told), due: i.clock() + i.options.CheckpointInterval,
		highest: i.options.HighestVersion, skipped: skipped, quarantine: &w.quarantine,
	}
	w.frontier = frontier{received: position}
	w.milestone.told = time.Time{} // It counted the outputs of another session.
	w.proven = time.Time{}
	w.writes = make(chan written, 1)
	w.puller = &puller{
		nats: i.options.Bus.NATS(), jetStream: i.options.Bus.JetStream(), stream: i.options.Stream,
		subjects: i.options.Subjects(w.partition), marks: bus.TimeSubject(i.options.Stream), records: i.options.PrefetchRecords, bytes: i.options.PrefetchBytes, clock: i.clock,
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	pending, err := w.puller.open(asking, position+1)
	if err != nil {
		return err
	}
	if fresh, err := w.identify(ctx); err != nil {
		return err
	} else if fresh != nil {
		return fmt.Errorf("stream %s was made anew", i.options.Stream)
	}
	w.opened()
	if e.lost {
		w.session.renew()
	}
	if e.written > 0 {
		w.status.checkpoint.Store(e.written)
		w.lose(w.frontier.begin(sample.first), pending, sample)
	} else {
		w.frontier.begin(sample.first) // What was there before the stage ran first is not lost.
	}
	w.status.failure.Store(nil)
	w.status.active.Store(int64(i.clock()))
	i.metrics.observe(func(m *metrics) prometheus.Histogram { return m.replayedRecords }, float64(pending))
	w.publishStatus()
	return nil
}

// seal makes this owner the only one that can write the partition's checkpoint. The order matters: what is read may be
// old, so the lease is checked after reading, and the compare-and-set fails if anyone wrote in between.
func (w *worker) seal(ctx context.Context) (entry, error) {
	i := w.instance
	for attempt := 0; ; attempt++ {
		e, err := i.store.manifest(ctx, w.partition)
		if err != nil {
			return entry{}, err
		}
		// Whoever owned it before has sealed one.
		e.lost = e.revision == 0 && (i.wrote[w.partition].Load() || w.epoch > 1)
		if !w.valid(ctx) {
			return entry{}, errLapsed
		}
		e.skipped = w.quarantine.with(e.skipped)
		revision, err := i.store.seal(ctx, w.partition, e, w.epoch)
		if err == nil {
			w.condemn(e.sequence)
			e.revision = revision
			e.epoch = max(w.epoch, e.epoch+1)
			return e, nil
		}
		if attempt >= 20 {
			return entry{}, err
		}
		select {
		case <-ctx.Done():
			return entry{}, errLapsed
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// condemn says that the records which were condemned are skipped from here on: the checkpoint has them.
func (w *worker) condemn(position uint64) {
	for _, sequence := range w.quarantine.condemned {
		w.instance.metrics.lost(lossQuarantined, 1)
		w.instance.log.Error("record is skipped, because the processor failed at it each time; it stays in the stream until the stream's limits remove it",
			"stream", w.instance.options.Stream, "sequence", sequence, "partition", w.partition, "checkpoint", position)
	}
	w.quarantine.condemned = nil
}

// checkpoint goes one step: takes a snapshot when one is due, and writes it when what it covers is stored.
func (w *worker) checkpoint(ctx context.Context, force bool) error {
	now := w.instance.clock()
	if err := w.session.prepare(now, force); err != nil {
		return err
	}
	pending, err := w.session.ready()
	if err != nil || pending == nil {
		return err
	}
	revision, chunks, stream, writes := w.revision, w.chunks, w.stream, w.writes
	go func() { writes <- w.write(ctx, pending, revision, chunks, stream, now) }()
	return nil
}

// write stores a checkpoint, trying again until the outcome is certain.
func (w *worker) write(ctx context.Context, pending *pendingCheckpoint, revision uint64, chunks string, stream int64, began time.Duration) written {
	i := w.instance
	i.metrics.checkpointSpent(pending.spent)
	c := checkpoint{
		epoch: w.epoch, sequence: pending.position, skipped: pending.skipped, stream: stream, told: pending.told.UnixNano(), written: time.Now().UnixNano(),
		writer: i.id + "-" + strconv.FormatUint(i.checkpoints.Add(1), 36),
	}
	known := revision
	for attempt := 0; ; attempt++ {
		if w.enter(ctx) == nil {
			return written{err: errLapsed}
		}
		stored, size, err := i.store.write(ctx, w.partition, revision, c, pending.snapshot)
		if err != nil && !errors.Is(err, errSnapshotTooLarge) {
			i.metrics.add(func(m *metrics) prometheus.Counter { return m.checkpointErr }, 1)
			// It may have been stored all the same: see what is there.
			e, lookErr := i.store.manifest(ctx, w.partition)
			switch {
			case lookErr == nil && e.writer == c.writer:
				stored, err = e.revision, nil
			case lookErr == nil && e.revision == known && e.epoch == w.epoch && revision == 0:
				revision = known // It was there all the time: what was read before was old.
				continue
			case lookErr == nil && e.revision > revision, lookErr == nil && e.epoch > w.epoch:
				return written{err: fmt.Errorf("%w: %w", errFenced, err)}
			case lookErr == nil && e.revision == 0 && revision != 0:
				// Others deleted it. What is in memory is its continuation, and is written anew; whoever owned the
				// partition meanwhile would have sealed one.
				i.rewriting(w.partition)
				revision = 0
				continue
			case lookErr != nil:
				attempt = 0 // Its outcome is not certain.
			}
		}
		switch {
		case err == nil:
			i.metrics.add(func(m *metrics) prometheus.Counter { return m.checkpoints }, 1)
			i.metrics.observe(func(m *metrics) prometheus.Histogram { return m.checkpointBytes }, float64(size))
			i.metrics.observe(func(m *metrics) prometheus.Histogram { return m.checkpointSeconds }, (i.clock() - began).Seconds())
			w.status.checkpoint.Store(c.written)
			i.wrote[w.partition].Store(true)
			if chunks != "" {
				if err := i.store.remove(ctx, w.partition, chunks); err != nil {
					i.log.Debug("chunks of an old checkpoint stay for now", "partition", w.partition, "error", err)
				}
			}
			chunks, count := "", uint64(0)
			if size > i.store.chunkSize {
				chunks, count = c.writer, uint64((size+i.store.chunkSize-1)/i.store.chunkSize)
			}
			return written{checkpoint: pending, revision: stored, chunks: chunks, count: count}
		case errors.Is(err, errSnapshotTooLarge), attempt >= 100:
			return written{checkpoint: pending, revision: revision, chunks: chunks, err: err}
		}
		select {
		case <-ctx.Done():
			return written{err: errLapsed}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// wrote takes the result of write.
func (w *worker) wrote(result written) error {
	w.session.pending.writing = false
	if result.err != nil {
		if errors.Is(result.err, errSnapshotTooLarge) {
			// Go on with the old checkpoint: the price is a longer replay, and it is visible as the checkpoint's age.
			w.instance.log.Error("checkpoint not written", "partition", w.partition, "error", result.err)
			w.instance.metrics.add(func(m *metrics) prometheus.Counter { return m.checkpointErr }, 1)
			w.session.stored()
			return nil
		}
		return result.err
	}
	w.session.stored()
	w.revision, w.chunks = result.revision, result.chunks
	w.status.revision.Store(result.revision)
	w.status.manifest.Store(&manifest{writer: result.chunks, chunks: result.count})
	return nil
}

// handOver writes a last checkpoint. Nothing is read any more.
func (w *worker) handOver(ctx, writing context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	for {
		if w.session.pending != nil && w.session.pending.writing {
			select {
			case result := <-w.writes:
				if err := w.wrote(result); err != nil {
					return err
				}
			case <-ctx.Done():
				return fmt.Errorf("hand over: %w", ctx.Err())
			}
		}
		if w.session.pending == nil && !w.session.unsaved(true) {
			return nil
		}
		if err := w.outputs.wait(ctx); err != nil {
			return fmt.Errorf("hand over: %w", err)
		}
		if err := w.checkpoint(writing, true); err != nil {
			return err
		}
	}
}

var _ future = (*bus.Future)(nil)
