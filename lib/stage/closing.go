package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace.dev/lib/bus"
)

// Closing marks are marks of time with a word in them: the stage ends with the instance that puts one, or all its
// instances end together. A processor that holds something back until a time comes puts it out at such a mark, see
// [Finisher]. The word is in the log as time is, so a replay does the same at the same record.
const (
	// closeMark: the stages before this one may go on.
	closeMark = "close"
	// finalMark: they have ended as well, and what is in the stream is all that there will be.
	finalMark = "final"
)

const (
	// closePoll is how often a closing instance looks whether it may go on.
	closePoll = 20 * time.Millisecond
	// upstreamPoll is how often it looks at the instances of the stages before it.
	upstreamPoll = 200 * time.Millisecond
)

// finish goes on working after the signal to stop for as long as the instances that end at the same time have something
// to say, and puts a closing mark if nobody goes on after it. Then it lets go of the partitions. It has
// [Options.CloseTimeout] for that, and gives up at once when NATS is away: nothing is lost then that is in the streams
// and checkpoints.
func (i *instance) finish(ctx context.Context) {
	defer i.post(func() { i.leave() })
	until := i.clock() + i.options.CloseTimeout
	i.post(func() {
		i.leaving = true
		i.heartbeat(ctx)
	})
	ended, ok := i.linger(ctx, until)
	if !ok || i.ask(i.coordinator.succeeded) {
		return
	}
	if !i.poll(ctx, until, func() bool { return i.ask(func() bool { return i.coordinator.complete(i.clock()) }) }) {
		i.log.Warn("stops without having taken all partitions")
	}
	word := closeMark
	if ended {
		word = finalMark
	}
	last, err := i.putMark(ctx, []byte(word))
	if err != nil {
		i.log.Warn("stops without a closing mark: what waits for its time stays in the checkpoints", "error", err)
		return
	}
	if !i.poll(ctx, until, func() bool { return i.ask(func() bool { return i.reached(last) }) }) {
		i.log.Warn("stops with records that were not read: they stay in the stream", "stream", i.options.Stream)
	}
}

// linger waits until the instances of earlier stages that are leaving have left, at least for [Options.Linger]. ended:
// none is there any more. It reports false when the partitions should be let go of at once.
func (i *instance) linger(ctx context.Context, until time.Duration) (ended, ok bool) {
	least := i.clock() + i.options.Linger
	for {
		if i.ask(func() bool { return i.coordinator.lapsed }) {
			return false, false
		}
		alive, leaving, err := i.upstream(ctx)
		if err != nil {
			i.log.Debug("instances of earlier stages are not known", "error", err)
		}
		now := i.clock()
		if now >= least && (leaving == 0 || now >= until) {
			return err == nil && alive == 0 && len(i.options.Upstream) > 0, true
		}
		select {
		case <-ctx.Done():
			return false, false
		case <-time.After(min(upstreamPoll, max(least-now, closePoll))):
		}
	}
}

// upstream counts the instances of earlier stages that are in the members bucket, and those of them that are leaving.
func (i *instance) upstream(ctx context.Context) (alive, leaving int, err error) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for _, stage := range i.options.Upstream {
		prefix := apiPrefix + "CONSUMER.CREATE.KV_" + bus.BucketMembers + "."
		err := i.control.Permitted(asking, prefix, func(ctx context.Context) error {
			return entries(ctx, i.control, bus.BucketMembers, stage, func(_ string, value []byte) error {
				var m Member
				if err := json.Unmarshal(value, &m); err != nil {
					return nil // Not ours to judge.
				}
				alive++
				if m.Leaving {
					leaving++
				}
				return nil
			})
		})
		if err != nil {
			return alive, leaving, fmt.Errorf("members of %s: %w", stage, err)
		}
	}
	return alive, leaving, nil
}

// ask runs f in the goroutine of run and gives its answer; false when run has returned.
func (i *instance) ask(f func() bool) bool {
	answer := make(chan bool, 1)
	i.post(func() { answer <- f() })
	select {
	case ok := <-answer:
		return ok
	case <-i.stopped:
		return false
	}
}

// poll waits until f is true, and reports false when it is not in time.
func (i *instance) poll(ctx context.Context, until time.Duration, f func() bool) bool {
	for !f() {
		if i.clock() >= until {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-i.stopped:
			return false
		case <-time.After(closePoll):
		}
	}
	return true
}

// reached reports whether every worker has processed the stream up to sequence.
func (i *instance) reached(sequence uint64) bool {
	for _, w := range i.workers {
		if w.status.position.Load() < sequence {
			return false
		}
	}
	return true
}

// leave lets go of the partitions.
func (i *instance) leave() {
	i.coordinator.leave()
	i.deadline = time.After(i.options.ShutdownTimeout)
}

// putMark puts a mark of time, by the connection on which nothing large is ahead of it, and gives its sequence.
func (i *instance) putMark(ctx context.Context, word []byte) (sequence uint64, err error) {
	subject := bus.TimeSubject(i.options.Stream)
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	err = i.control.Permitted(ctx, subject, func(ctx context.Context) error {
		ack, err := i.control.JetStream().Publish(ctx, subject, word)
		if err == nil {
			sequence = ack.Sequence
		}
		return err
	})
	switch {
	case err == nil:
		return sequence, nil
	case errors.Is(err, bus.ErrDenied):
		return 0, fmt.Errorf("%w: issue the credentials of this service anew (millrace nats update)", err)
	default:
		return 0, fmt.Errorf("put a mark of time on %s: %w", subject, err)
	}
}
