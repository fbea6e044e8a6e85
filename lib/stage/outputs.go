package stage

import (
	"context"
	"errors"

	"millrace.dev/lib/bus"
)

// future is an output on its way, see [bus.Future].
type future interface {
	Done() <-chan struct{}
	Err() error
	Wait(ctx context.Context) error
}

// outputs publishes what one session emits and knows how far it is stored.
type outputs struct {
	ctx context.Context // ends with the worker: what is published after that is dropped
	// enter waits while the lease is suspended and gives a context that ends at the next lapse, nil when the lease is
	// lost.
	enter   func() context.Context
	publish func(ctx context.Context, subject, id string, data []byte) (future, error)
	metrics *metrics

	// waiting are the futures of outputs that are not known to be stored, in order; first counts those before.
	waiting []future
	head    int
	first   uint64
	err     error
}

// Publish implements [Output].
func (o *outputs) Publish(subject, id string, data []byte) {
	if o.err != nil {
		return
	}
	var f future
	var err error
	for {
		ctx := o.enter()
		if ctx == nil {
			o.err = errLapsed
			return
		}
		// One that waited for room when the lease lapsed was not sent, and is not to be until the lease holds again.
		if f, err = o.publish(ctx, subject, id, data); err == nil || ctx.Err() == nil || o.ctx.Err() != nil {
			break
		}
	}
	switch {
	case errors.Is(err, bus.ErrTooLarge):
		// It would never fit. Everything else must go on.
		o.metrics.lost(lossTooLarge, 1)
		return
	case err != nil:
		o.err = err
		return
	}
	o.metrics.out(len(data))
	if o.head > 1024 && o.head*2 > len(o.waiting) {
		n := copy(o.waiting, o.waiting[o.head:])
		clear(o.waiting[n:])
		o.waiting, o.head = o.waiting[:n], 0
	}
	o.waiting = append(o.waiting, f)
	if len(o.waiting)-o.head > 4096 {
		_, _ = o.settled() // Its error is kept.
	}
}

func (o *outputs) issued() uint64 { return o.first + uint64(len(o.waiting)-o.head) }

func (o *outputs) settled() (uint64, error) {
	for o.head < len(o.waiting) && o.err == nil {
		select {
		case <-o.waiting[o.head].Done():
			o.pop()
		default:
			return o.first, nil
		}
	}
	if o.err == nil && o.head > 0 {
		clear(o.waiting)
		o.waiting, o.head = o.waiting[:0], 0
	}
	return o.first, o.err
}

// wait waits until everything issued is stored.
func (o *outputs) wait(ctx context.Context) error {
	for o.head < len(o.waiting) && o.err == nil {
		select {
		case <-o.waiting[o.head].Done():
			o.pop()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return o.err
}

func (o *outputs) pop() {
	if err := o.waiting[o.head].Err(); err != nil {
		o.err = err
		return
	}
	o.waiting[o.head] = nil
	o.head++
	o.first++
}
