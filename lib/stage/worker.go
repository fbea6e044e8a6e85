package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
)

// errRefused: this instance cannot run the partition (a snapshot of another version, a damaged one); another might.
var errRefused = errors.New("partition refused")

const (
	minPause = 500 * time.Millisecond
	maxPause = 15 * time.Second
	// grace is how long a processor may block after its partition is to be handed over.
	grace = 2 * time.Second
	// handOverTimeout bounds the last checkpoint; without it the next owner replays.
	handOverTimeout = 5 * time.Second
	// batchBytes is where a batch of records ends, decompressed.
	batchBytes = 4 << 20
)

// worker runs one partition from acquiring its lease to losing or releasing it.
type worker struct {
	instance  *instance
	partition int
	epoch     uint64
	since     time.Duration // when the lease was acquired
	term      atomic.Pointer[term]
	ctx       context.Context    // ends when the worker is to end at once
	process   context.Context    // of the processor; it ends before ctx when a hand-over takes too long
	drain     chan struct{}      // closed when the partition is to be handed over
	done      chan struct{}      // closed when run has returned
	ticks     chan struct{}      // of the instance's metronome
	cancel    context.CancelFunc // of ctx
	stop      context.CancelFunc // of process
	previous  *worker            // of the same partition; run waits for its end
	reported  uint64             // records in the last report; belongs to the instance's goroutine, as what follows
	counted   time.Duration      // when its lag was last counted

	looked  atomic.Int64 // local clock when its checkpoint was last looked up
	missing atomic.Bool  // its checkpoint was deleted by others

	status    workerStatus
	milestone milestone
	witness   atomic.Int64 // time that the processor witnesses, in nanoseconds since the Unix epoch; 0: none
	// What follows belongs to run's goroutine and is made by serve.
	puller   *puller
	frontier frontier
	session  *session
	outputs  *outputs
	revision uint64 // of the checkpoint's entry
	chunks   string // writer of the chunks that the entry refers to, if any
	stream   int64  // creation time of the input stream
	writes   chan written
	sampled  *streamSample
	clear    bool // the puller was waiting at the server at the last beat, and nothing has come since
	caughtUp bool
	proven   time.Time // every record stored before was processed
	records  []Record
	// quarantine belongs to run's goroutine and outlives sessions.
	quarantine quarantine
}

// workerStatus is read by others.
type workerStatus struct {
	position   atomic.Uint64
	waiting    atomic.Bool   // nothing is left to read, and a request waits at the server
	heard      atomic.Int64  // local clock when it last heard of the stream's time
	revision   atomic.Uint64 // of the checkpoint's entry
	manifest   atomic.Pointer[manifest]
	records    atomic.Uint64
	lag        atomic.Uint64
	checkpoint atomic.Int64  // wall clock of the newest one, in nanoseconds
	active     atomic.Int64  // local clock when records were last processed or something published
	beat       atomic.Int64  // local clock when the worker was last not blocked
	next       atomic.Uint64 // the first sequence that was not received, 0 until there is a consumer
	handed     atomic.Uint64 // records that the processor has not returned from
	failure    atomic.Pointer[error]
}

// written is how writing a checkpoint ended.
type written struct {
	checkpoint *pendingCheckpoint
	revision   uint64
	chunks     string
	count      uint64 // of chunks
	err        error
}

func (w *worker) draining() bool {
	select {
	case <-w.drain:
		return true
	default:
		return false
	}
}

// run processes until the partition was handed over (nil), lost (errLapsed, errFenced) or must be refused (errRefused).
// After any other failure it pauses and begins again from the last checkpoint, with a new processor.
func (w *worker) run(ctx context.Context) error {
	defer close(w.done)
	if w.previous != nil {
		<-w.previous.done
		w.previous = nil
	}
	defer w.stop()
	go func() {
		select {
		case <-w.drain:
		case <-w.process.Done():
			return
		}
		select {
		case <-time.After(grace):
			w.stop()
		case <-w.process.Done():
		}
	}()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		began := w.instance.clock()
		err := w.serve(ctx)
		switch {
		case ctx.Err() != nil:
			return errLapsed
		case err == nil, errors.Is(err, errLapsed), errors.Is(err, errFenced), errors.Is(err, errRefused):
			return err
		case w.draining():
			w.instance.log.Warn("partition handed over without a fresh checkpoint", "partition", w.partition, "error", err)
			return nil
		}
		if f := asFault(err); f != nil {
			if err := w.quarantine.blame(f, w.session.skipped, w.session.good); err != nil {
				return fmt.Errorf("%w: %w", errRefused, err)
			}
		}
		if w.instance.clock()-began > maxPause {
			pause = minPause
		}
		w.status.failure.Store(&err)
		w.instance.metrics.add(func(m *metrics) prometheus.Counter { return m.errors }, 1)
		w.instance.log.Error("partition stopped; it begins again from its checkpoint", "partition", w.partition, "pause", pause, "error", err)
		select {
		case <-ctx.Done():
			return errLapsed
		case <-w.drain:
			return nil
		case <-time.After(pause):
		}
	}
}

// serve restores the partition from its checkpoint and processes from there.
func (w *worker) serve(ctx context.Context) error {
	if err := w.restore(ctx); err != nil {
		return err
	}
	defer func() {
		w.puller.close()
		w.status.next.Store(0)
		if closer, ok := w.session.processor.(io.Closer); ok {
			if err := closer.Close(); err != nil {
				w.instance.log.Warn("close processor", "partition", w.partition, "error", err)
			}
		}
	}()
	writing, stopWriting := context.WithCancel(ctx)
	defer func() {
		stopWriting()
		if w.session.pending != nil && w.session.pending.writing {
			<-w.writes // A write that is on its way must not overlap with what comes next.
		}
	}()
	if w.puller.pending == 0 {
		if err := w.catchUp(); err != nil {
			return err
		}
	}
	for {
		if err := w.puller.pull(); err != nil {
			if err := w.reopen(ctx, err); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return errLapsed
		case <-w.drain:
			w.puller.close()
			return w.handOver(ctx, writing)
		case msg := <-w.puller.messages:
			if err := w.receive(ctx, msg); err != nil {
				return w.park(ctx, writing, err)
			}
		case <-w.ticks:
			if err := w.beat(ctx); err != nil {
				return err
			}
		case result := <-w.writes:
			if err := w.wrote(result); err != nil {
				return err
			}
		}
		w.rewrite()
		if err := w.checkpoint(writing, false); err != nil {
			return err
		}
	}
}

// park leaves the partition at a record of a newer version, with what was processed before it in the checkpoint. Other
// errors it gives back.
func (w *worker) park(ctx, writing context.Context, err error) error {
	var newer *newerError
	if !errors.As(err, &newer) {
		return err
	}
	w.puller.close()
	if err := w.handOver(ctx, writing); err != nil {
		return err
	}
	return fmt.Errorf("%w: partition %d: %w", errRefused, w.partition, newer)
}

// receive hands over a message and what has arrived behind it.
func (w *worker) receive(ctx context.Context, msg *nats.Msg) error {
	w.status.waiting.Store(false)
	arena := takeArena()
	defer func() {
		clear(w.records) // They refer to the arena.
		arena.giveBack()
	}()
	failure := w.collect(msg, arena)
	w.status.next.Store(w.frontier.received + 1)
	if failure == nil {
		// The next request is on its way while this batch is processed.
		failure = w.puller.pull()
	}
	if len(w.records) > 0 {
		n, bytes := 0, 0
		for i := range w.records {
			if w.records[i].Subject != w.session.marks {
				n++
				bytes += len(w.records[i].Data)
			}
		}
		w.status.handed.Store(uint64(n))
		err := w.session.deliver(w.records)
		w.status.handed.Store(0)
		if err != nil {
			return err
		}
		w.proven = w.records[len(w.records)-1].Time
		now := int64(w.instance.clock())
		w.status.heard.Store(now)
		if n > 0 {
			w.status.active.Store(now)
			w.instance.metrics.in(n, bytes)
			w.status.records.Add(uint64(n))
		}
	}
	// Messages that could not be read are behind us as well.
	w.session.skip(w.frontier.received)
	w.publishStatus()
	if w.puller.pending == 0 && len(w.puller.messages) == 0 {
		if err := w.catchUp(); err != nil {
			return err
		}
	}
	if failure != nil {
		return w.reopen(ctx, failure)
	}
	return nil
}

// catchUp notes, once, that nothing was left to read.
func (w *worker) catchUp() error {
	if w.caughtUp {
		return nil
	}
	w.caughtUp = true
	w.instance.metrics.observe(func(m *metrics) prometheus.Histogram { return m.takeoverSeconds }, (w.instance.clock() - w.since).Seconds())
	return w.session.caughtUp(func() bool { return w.valid(w.ctx) })
}

// collect fills w.records with msg and what is there behind it, decompressed into arena. After an error the consumer
// must be made again; w.records are good.
func (w *worker) collect(msg *nats.Msg, arena *arena) error {
	w.records = w.records[:0]
	total := 0
	for {
		d, ok, err := w.puller.accept(msg)
		if err != nil {
			return err
		}
		if ok {
			w.lose(w.frontier.arrive(d.stream, w.sampled.first, w.clear), d.pending, w.sampled)
			w.clear = false
			encoding := ""
			if msg.Header != nil {
				encoding = msg.Header.Get(bus.HeaderEncoding)
			}
			data, err := bus.Decompress(encoding, arena.rest(), msg.Data, w.instance.options.MaxRecordBytes)
			switch {
			case errors.Is(err, bus.ErrUnknownEncoding) && w.instance.options.HighestVersion != 0:
				w.records = append(w.records, Record{Subject: msg.Subject, Sequence: d.stream, Time: d.stored, unknown: err})
			case err != nil:
				w.instance.metrics.lost(lossUnreadable, 1)
			default:
				if encoding != "" {
					arena.take(len(data))
				}
				total += len(data)
				w.records = append(w.records, Record{Subject: msg.Subject, Sequence: d.stream, Time: d.stored, Data: data})
			}
		}
		if len(w.records) >= w.instance.options.PrefetchRecords || total >= batchBytes {
			break
		}
		select {
		case msg = <-w.puller.messages:
			continue
		default:
		}
		break
	}
	return nil
}

// beat is what is to be done every tick.
func (w *worker) beat(ctx context.Context) error {
	now := w.instance.clock()
	w.status.beat.Store(int64(now))
	w.status.waiting.Store(false) // A processor that blocks in its tick does not wait for the time.
	if err := w.puller.check(now); err != nil {
		if err := w.reopen(ctx, err); err != nil {
			return err
		}
	}
	if sample := w.instance.sample.Load(); sample != w.sampled {
		w.sampled = sample
		if err := w.survey(ctx, sample); err != nil {
			return err
		}
		w.status.position.Store(w.session.position)
	}
	if w.puller.waiting() && w.sampled.at >= w.term.Load().since {
		w.clear = true
		// What was pending may have been removed by the stream's limits: no message will say that it was the last.
		if err := w.catchUp(); err != nil {
			return err
		}
	}
	issued := w.outputs.issued()
	if err := w.session.tick(w.session.told); err != nil {
		return err
	}
	if w.outputs.issued() != issued {
		w.status.active.Store(int64(now))
	}
	stored, err := w.outputs.settled()
	if err != nil {
		return err
	}
	told, witnessed, err := w.session.watermark(w.proven)
	if err != nil {
		return err
	}
	w.witness.Store(witnessed)
	w.milestone.pass(told, w.outputs.issued(), stored)
	w.status.waiting.Store(w.puller.waiting())
	return nil
}

// reopen makes the consumer again, behind what was handed in. It returns an error only when the worker is to end.
func (w *worker) reopen(ctx context.Context, cause error) error {
	w.instance.metrics.add(func(m *metrics) prometheus.Counter { return m.resets }, 1)
	w.instance.log.Debug("consumer is made again", "partition", w.partition, "cause", cause)
	for {
		asking, cancel := context.WithTimeout(ctx, requestTimeout)
		_, err := w.puller.open(asking, w.session.position+1)
		cancel()
		if err == nil {
			anew, failed := w.anew(ctx)
			if anew {
				continue // With the position that it has now.
			}
			err = failed
		}
		if err == nil {
			w.frontier.received = w.session.position
			w.opened()
			w.clear = false
			w.status.failure.Store(nil)
			return w.puller.pull()
		}
		w.status.failure.Store(&err)
		select {
		case <-ctx.Done():
			return errLapsed
		case <-w.drain:
			return err
		case <-time.After(minPause):
		}
	}
}

// opened notes that the consumer is new.
func (w *worker) opened() {
	w.status.next.Store(w.frontier.received + 1)
	w.status.heard.Store(int64(w.instance.clock()))
}

func (w *worker) publishStatus() {
	w.status.position.Store(w.session.position)
	w.status.lag.Store(w.puller.pending + uint64(len(w.puller.messages)))
}
