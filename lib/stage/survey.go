package stage

import (
	"context"
	"fmt"
	"time"
)

// streamSample is what the input stream looked like.
type streamSample struct {
	first, last, messages uint64
	created               int64 // nanoseconds
	// offset of the stream's clock from the local one, and the local time of the sample. The stream's leader stamps records; its clock is
	// the only one that processors are told.
	offset time.Duration
	at     time.Duration
	asked  time.Duration // local time before it was asked for
}

// surveyInterval is how often the input stream is looked at.
const surveyInterval = 2 * time.Second

// maxSilence is how long the stream's clock runs on without an answer from the server through the connection that brings the records.
const maxSilence = 2 * time.Second

func (i *instance) survey(ctx context.Context) error {
	asked := i.clock()
	info, err := i.input.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", i.options.Stream, err)
	}
	// The answer was on its way for some time, so the stream's clock is rather later than this: a time that is told too late does no
	// harm, one that is told too early would outrun records.
	now := i.clock()
	sample := &streamSample{
		first: info.State.FirstSeq, last: info.State.LastSeq, messages: info.State.Msgs, created: info.Created.UnixNano(),
		offset: time.Duration(info.TimeStamp.UnixNano()) - now, at: now, asked: asked,
	}
	i.sample.Store(sample)
	return nil
}

func (i *instance) surveys(ctx context.Context) {
	interval := surveyInterval
	if i.options.Progress != nil {
		interval = progressInterval // Partitions without records go by what the server says.
	}
	ticker := time.NewTicker(interval)
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
	}
}

// refreshLags asks the server about partitions whose processors block: they receive nothing that would tell how much waits for them.
func (i *instance) refreshLags(ctx context.Context) {
	var blocked []*worker
	now := int64(i.clock())
	for _, w := range i.workers {
		if now-w.status.beat.Load() > int64(time.Second) && w.status.consumer.Load() != nil {
			blocked = append(blocked, w)
		}
	}
	if len(blocked) == 0 || i.asking.Swap(true) {
		return
	}
	go func() {
		defer i.asking.Store(false)
		for _, w := range blocked {
			asking, cancel := context.WithTimeout(ctx, requestTimeout)
			if consumer := w.status.consumer.Load(); consumer != nil {
				// A server that does not answer leaves the last known value.
				if info, err := (*consumer).Info(asking); err == nil {
					// What the server has sent since it blocked waits here.
					accepted := w.status.accepted.Load()
					waiting := max(info.Delivered.Consumer, accepted) - accepted
					w.status.lag.Store(info.NumPending + waiting + w.status.handed.Load())
				}
			}
			cancel()
		}
	}()
}

// streamTime is the stream's time at a local time. It stands still a little after the last answer from the server: while NATS is
// away, records cannot arrive either, and a processor must not conclude from the time alone that there were none.
func (i *instance) streamTime(now time.Duration) time.Time {
	sample := i.sample.Load()
	return time.Unix(0, int64(min(now, sample.at+maxSilence)+sample.offset)).UTC()
}
