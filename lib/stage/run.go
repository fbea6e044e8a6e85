package stage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
)

// Run is one instance of a stage. It blocks until ctx ends, then finishes what is in the stream if no other instance
// does (see [Options.Linger]), hands its partitions over and returns nil. An error means that it could not begin,
// because options are wrong; whatever may pass (NATS away, no stream yet, a processor that fails) is tried again,
// shown in metrics and readiness.
func Run(ctx context.Context, options Options) error {
	if err := options.complete(); err != nil {
		return err
	}
	i := &instance{
		options: options,
		clock:   bootClock,
		log:     slog.New(slog.DiscardHandler),
		id:      newID(),
		started: time.Now(),
		events:  make(chan func(), 256),
		stopped: make(chan struct{}),
		workers: map[int]*worker{},
		refused: map[int]refusal{},
		wrote:   make([]atomic.Bool, options.Partitions),
	}
	var registry prometheus.Registerer
	if t := options.Telemetry; t != nil {
		i.log = t.Log.With("stage", options.Name)
		registry = t.Registry
		t.Announce(options.Name)
	}
	var err error
	if i.metrics, err = newMetrics(registry, options.Name); err != nil {
		return err
	}
	i.metrics.set(func(m *metrics) prometheus.Gauge { return m.partitions }, float64(i.options.Partitions))
	i.coordinator = newCoordinator(options.Name, i.id, options.Partitions, options.LeaseTTL, options.LeaseTTL/5)
	if !i.prepare(ctx) {
		return nil
	}
	i.run(ctx)
	return nil
}

// instance is one running stage. The coordinator, workers and what is not atomic belong to the goroutine of run; others
// reach it by sending functions to events.
type instance struct {
	options Options
	clock   clock
	log     *slog.Logger
	metrics *metrics
	id      string
	started time.Time

	// control carries heartbeats and leases; the watches of both must share it.
	control         *bus.Conn
	members, leases jetstream.KeyValue
	input           jetstream.Stream
	store           *store

	events        chan func()
	stopped       chan struct{} // closed when run has returned
	coordinator   *coordinator
	workers       map[int]*worker
	leasesCreated time.Time // of the bucket that the coordinator knows
	beats         uint64
	beating       int             // heartbeats on their way
	refused       map[int]refusal // see parked
	ready         error
	readyKnown    bool
	leaving       bool             // the signal to stop has come
	deadline      <-chan time.Time // of the hand-over; nil before

	lapses      atomic.Uint64 // copy of coordinator.lapses, stored before validUntil
	validUntil  atomic.Int64  // copy of coordinator.validUntil
	sample      atomic.Pointer[streamSample]
	wrote       []atomic.Bool // whether this instance has written a checkpoint of the partition
	checkpoints atomic.Uint64 // numbers writers of checkpoints
	ticking     atomic.Pointer[[]*worker]
	lossLogged  atomic.Int64
	faults      faults
	counting    atomic.Bool // refreshLags is at it
	marking     atomic.Bool // a mark is on its way
	unmarked    atomic.Pointer[markFailure]
}

// newID names an instance: the host, for people, and enough randomness that no two runs ever share one. Part of keys.
func newID() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // Never fails, see crypto/rand.
	if len(host) > 64 {
		host = host[:64]
	}
	return bus.Token(host) + "-" + hex.EncodeToString(random[:])
}

// valid reports whether leases hold that held after the given number of lapses. The order of the loads matters: when
// validUntil is one that came after a lapse, the count of lapses shows it.
func (i *instance) valid(lapse uint64) bool {
	return int64(i.clock()) < i.validUntil.Load() && lapse == i.lapses.Load()
}

// prepare opens buckets and the stream, for as long as it takes.
func (i *instance) prepare(ctx context.Context) bool {
	for {
		err := i.open(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		i.setReady(err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(minPause):
		}
	}
}

func (i *instance) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	conn := i.options.Bus
	if i.control, err = conn.Control(ctx); err != nil {
		return err
	}
	if i.members, err = i.control.KeyValue(ctx, bus.BucketMembers); err != nil {
		return err
	}
	if i.leases, err = i.control.KeyValue(ctx, bus.BucketLeases); err != nil {
		return err
	}
	if i.store, err = openStore(ctx, conn, i.metrics, i.options.Name, i.options.MaxSnapshotBytes); err != nil {
		return err
	}
	if i.input, err = conn.JetStream().Stream(ctx, i.options.Stream); err != nil {
		return fmt.Errorf("stream %s: %w", i.options.Stream, err)
	}
	if subject := bus.TimeSubject(i.options.Stream); !slices.Contains(i.input.CachedInfo().Config.Subjects, subject) {
		return fmt.Errorf("stream %s does not take %s, it was made by an older version: run `millrace nats setup`", i.options.Stream, subject)
	}
	return i.survey(ctx)
}

// post runs f in the goroutine of run.
func (i *instance) post(f func()) {
	select {
	case i.events <- f:
	case <-i.stopped:
	}
}

func (i *instance) run(ctx context.Context) {
	defer close(i.stopped)
	// Workers and watches outlive ctx until everything is handed over.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go i.watchMembers(working)
	go i.surveys(working)
	go i.metronome(working)
	if i.options.Progress != nil || i.options.Watermarks != nil {
		go i.announcements(working)
	}
	beat := time.NewTicker(i.options.HeartbeatInterval)
	defer beat.Stop()
	signal := ctx.Done()
	i.heartbeat(working)
	for {
		i.act(working)
		i.report()
		// Wake when own leases end, or to retry what waits.
		wake := time.NewTimer(i.pause())
		select {
		case f := <-i.events:
			f()
		case <-beat.C:
			i.heartbeat(working)
		case <-wake.C:
		case <-signal:
			signal = nil
			go i.finish(working)
		case <-i.deadline:
			i.log.Warn("shutdown takes too long: partitions are left for others to take over")
			i.farewell(working)
			return
		}
		wake.Stop()
		if i.coordinator.leaving && i.coordinator.gone() {
			i.farewell(working)
			return
		}
	}
}

// act does what the coordinator decides.
func (i *instance) act(ctx context.Context) {
	now := i.clock()
	actions := i.coordinator.decide(now)
	i.suspend(now)
	i.validUntil.Store(int64(i.coordinator.validUntil))
	for _, a := range actions {
		switch a.kind {
		case doAcquire:
			a.lease.Since = time.Now()
			go i.setLease(ctx, a, i.leasesCreated, func(revision uint64, err error) {
				if i.coordinator.acquired(a.partition, a.lease, revision, err == nil, i.clock()) {
					i.start(ctx, a.partition, a.lease.Epoch)
				}
			})
		case doResume:
			created := i.leasesCreated
			go i.setLease(ctx, a, created, func(revision uint64, err error) {
				if i.coordinator.resumed(a.partition, revision, err == nil, i.clock()) {
					go i.confirm(i.workers[a.partition], i.coordinator.lapses, created)
				}
			})
		case doRelease:
			go i.setLease(ctx, a, i.leasesCreated, func(revision uint64, err error) {
				i.coordinator.released(a.partition, a.lease, revision, err == nil, i.clock())
			})
		case doRenew:
			i.log.Warn("a lease was deleted; it is written again", "partition", a.partition)
			go i.setLease(ctx, a, i.leasesCreated, func(revision uint64, err error) {
				if err == nil {
					i.metrics.add(func(m *metrics) prometheus.Counter { return m.rewritten }, 1)
				}
				i.coordinator.renewed(a.partition, a.lease, revision, err == nil, i.clock())
			})
		case doDrain:
			close(i.workers[a.partition].drain)
		case doAbort:
			i.workers[a.partition].cancel()
		}
	}
}

// start begins to work on a partition whose lease was acquired.
func (i *instance) start(ctx context.Context, partition int, epoch uint64) {
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{
		instance: i, partition: partition, epoch: epoch, since: i.clock(), ctx: ctx, cancel: cancel, previous: i.workers[partition],
		drain: make(chan struct{}), done: make(chan struct{}), ticks: make(chan struct{}, 1),
	}
	w.process, w.stop = context.WithCancel(ctx)
	w.renew(i.coordinator.lapses)
	i.workers[partition] = w
	i.publishWorkers()
	go func() {
		defer cancel()
		err := w.run(ctx)
		i.post(func() { i.ended(w, err) })
	}()
}

// publishWorkers tells the metronome whom to wake.
func (i *instance) publishWorkers() {
	workers := slices.Collect(maps.Values(i.workers))
	i.ticking.Store(&workers)
}

const (
	// quietAfter is when a partition without records and outputs is ticked only once in quietTicks.
	quietAfter = 10 * time.Second
	quietTicks = 5
)

// metronome puts marks of time and wakes the workers for their ticks, all at once and at multiples of the interval, so
// that the stages of one process wake it together. With a timer of its own per partition, idle stages cost four times
// the CPU.
func (i *instance) metronome(ctx context.Context) {
	interval := i.options.TickInterval
	timer := time.NewTimer(0)
	defer timer.Stop()
	marks := marker{instance: i}
	for quiet := false; ; {
		step := interval
		if quiet {
			step *= quietTicks
		}
		timer.Reset(step - i.clock()%step)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		workers := i.ticking.Load()
		if workers == nil {
			continue
		}
		now := i.clock()
		all := (now+interval/2)/interval%quietTicks == 0
		quiet = true
		for _, w := range *workers {
			if now-time.Duration(w.status.active.Load()) < quietAfter {
				quiet = false
			} else if !all {
				continue
			}
			select {
			case w.ticks <- struct{}{}:
			default: // Busy, and will see the one that waits.
			}
		}
		marks.consider(ctx, now, *workers, quiet)
	}
}

// ended takes note of a worker that has returned.
func (i *instance) ended(w *worker, err error) {
	if i.workers[w.partition] != w {
		return // A newer one is in its place.
	}
	delete(i.workers, w.partition)
	i.publishWorkers()
	lost := errors.Is(err, errLapsed) || errors.Is(err, errFenced)
	refuse := errors.Is(err, errRefused)
	if errors.Is(err, errFenced) {
		i.metrics.add(func(m *metrics) prometheus.Counter { return m.fenced }, 1)
	}
	if err != nil && !errors.Is(err, errLapsed) {
		i.log.Error("partition given up", "partition", w.partition, "error", err)
	}
	if refuse {
		i.refusal(w, err)
	}
	i.coordinator.stopped(w.partition, lost, refuse, i.clock())
}

// checkpointAge is how old the partition's checkpoint is, zero if nothing has happened since.
func (w *worker) checkpointAge(now time.Duration, wall time.Time) time.Duration {
	age := now - w.since
	if at := w.status.checkpoint.Load(); at != 0 {
		age = max(0, wall.Sub(time.Unix(0, at)))
	}
	if active := time.Duration(w.status.active.Load()); active == 0 || now-active > age {
		return 0
	}
	return age
}

// report brings metrics and readiness up to date.
func (i *instance) report() {
	lag, age, now := uint64(0), time.Duration(0), i.clock()
	for _, w := range i.workers {
		lag += w.status.lag.Load()
		age = max(age, w.checkpointAge(now, time.Now()))
	}
	i.metrics.set(func(m *metrics) prometheus.Gauge { return m.checkpointAge }, age.Seconds())
	i.metrics.set(func(m *metrics) prometheus.Gauge { return m.lag }, float64(lag))
	i.metrics.set(func(m *metrics) prometheus.Gauge { return m.owned }, float64(len(i.workers)))
	err := i.faulty()
	switch {
	case err != nil:
	case i.coordinator.lapsed:
		err = errors.New("heartbeats do not reach NATS")
	case !i.coordinator.membersKnown || !i.coordinator.leasesKnown:
		err = errors.New("members and leases are not known yet")
	default:
		if err = i.timeless(now); err == nil {
			err = i.unowned(now)
		}
		if reason := i.parked(); reason != nil {
			err = reason
		}
		for p, w := range i.workers {
			if failure := w.status.failure.Load(); failure != nil {
				err = fmt.Errorf("partition %d: %w", p, *failure)
				break
			}
		}
	}
	i.setReady(err)
}

func (i *instance) setReady(err error) {
	if i.options.Telemetry == nil || i.readyKnown && fmt.Sprint(i.ready) == fmt.Sprint(err) {
		return
	}
	i.ready, i.readyKnown = err, true
	i.options.Telemetry.SetReady(i.options.Name, err)
}

// lossSeen logs loss by retention, at most once a minute: the counters have the rest.
func (i *instance) lossSeen(partition int, lost uint64) {
	now, last := int64(i.clock()), i.lossLogged.Load()
	if (last == 0 || now-last > int64(time.Minute)) && i.lossLogged.CompareAndSwap(last, now) {
		i.log.Error("records were removed by the stream's limits before they were processed: raise bus.max_bytes or bus.max_age, or add instances",
			"partition", partition, "estimate", lost)
	}
}
