package bus

import (
	"context"
	"errors"
)

// ErrClosed is the error of what was not acknowledged when the connection was closed.
var ErrClosed = errors.New("bus connection closed")

// Future is a message on its way into a stream. It is safe for concurrent use.
type Future struct {
	done      chan struct{}
	err       error
	sequence  uint64
	duplicate bool
}

// Done is closed when the message is stored or given up.
func (f *Future) Done() <-chan struct{} { return f.done }

// Wait waits for the outcome: nil once the stream has stored the message, the reason why it never will, or the error of
// ctx, after which the message is still on its way.
func (f *Future) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	default:
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err is the outcome, to be called once [Future.Done] is closed: nil, or why the stream will not store the message. A
// lost connection, a server that restarts, or a stream that has no leader for a while are no errors: the message is
// sent again.
func (f *Future) Err() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}

// Sequence is the message's sequence number in its stream, 0 as long as it is not known.
func (f *Future) Sequence() uint64 {
	select {
	case <-f.done:
		return f.sequence
	default:
		return 0
	}
}

// Duplicate reports whether the stream already had a message with this id, and so did not store this one.
func (f *Future) Duplicate() bool {
	select {
	case <-f.done:
		return f.duplicate
	default:
		return false
	}
}
