package stage

import (
	"context"
	"fmt"
	"time"
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
