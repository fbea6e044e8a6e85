package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrDenied is the error of what the server does not permit to the credentials of a connection.
var ErrDenied = errors.New("not permitted with these NATS credentials")

// denialShown is how long the observer gets a refusal that nobody waited for: longer than it takes for what is
// tried again to be refused again, so that a state which lasts does not flicker.
const denialShown = ackTimeout + 5*time.Second

// denials are what the server refused. A refusal comes apart from the request, which itself is never answered: without
// them, whatever is not permitted looks like a server that is slow.
type denials struct {
	mu      sync.Mutex
	waiting map[*denialWait]struct{}
	last    error
	at      time.Time
	count   uint64
}

// denialWait is a request on a subject beginning with prefix.
type denialWait struct {
	prefix string
	cancel context.CancelCauseFunc
}

// handle is a [nats.ErrHandler].
func (d *denials) handle(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return // Errors of subscriptions come back through those who own them.
	}
	// Permissions Violation for Publish to "subject"
	_, rest, _ := strings.Cut(err.Error(), `"`)
	subject, _, _ := strings.Cut(rest, `"`)
	denied := fmt.Errorf("%w: %s", ErrDenied, subject)
	d.mu.Lock()
	defer d.mu.Unlock()
	expected := false
	for w := range d.waiting {
		if strings.HasPrefix(subject, w.prefix) {
			w.cancel(denied)
			expected = true
		}
	}
	if !expected {
		d.last, d.at = denied, time.Now()
		d.count++
	}
}

// recent is the last refusal that nobody waited for, if it is not long ago.
func (d *denials) recent() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && time.Since(d.at) > denialShown {
		d.last = nil
	}
	return d.last
}

// Denied counts requests that the server refused and that no call of [Conn.Permitted] waited for: mistakes in the
// permissions of these credentials, or in their use.
func (c *Conn) Denied() uint64 {
	c.denials.mu.Lock()
	defer c.denials.mu.Unlock()
	return c.denials.count
}

// Permitted runs f, which makes a request on a subject that begins with prefix, and ends it with [ErrDenied] when the
// server refuses such a request. Without it the request would wait for an answer until its context ends.
func (c *Conn) Permitted(ctx context.Context, prefix string, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &denialWait{prefix: prefix, cancel: cancel}
	c.denials.mu.Lock()
	c.denials.waiting[w] = struct{}{}
	c.denials.mu.Unlock()
	defer func() {
		c.denials.mu.Lock()
		delete(c.denials.waiting, w)
		c.denials.mu.Unlock()
	}()
	err := f(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDenied) {
		return cause
	}
	return err
}
