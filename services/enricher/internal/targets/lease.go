package targets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// leaseKey is no name of a node: [bus.Token] makes no text of it.
	leaseKey = "=lease"
	// beat is how often the holder writes the lease again, and others look at it.
	beat = time.Second
	// leaseTTL is how long after the last sign of the holder another takes the lease.
	leaseTTL = 4 * time.Second
	// requestTimeout bounds each request to the server.
	requestTimeout = 3 * time.Second
)

// lease says who writes. The holder counts from when it sent what was stored, everybody else from when they saw that it
// had changed, which is later. It is for one goroutine.
type lease struct {
	id       string
	now      func() time.Time
	revision uint64    // of what this one wrote last; 0: it does not hold the lease
	until    time.Time // it does until then
	// other is the revision of another holder's that was seen last, first seen at seen.
	other uint64
	seen  time.Time
}

// held reports whether this one may write.
func (l *lease) held() bool { return l.revision != 0 && l.now().Before(l.until) }

// tend takes the lease or renews it, if that is due.
func (l *lease) tend(ctx context.Context, kv jetstream.KeyValue) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	sent := l.now()
	value, _ := json.Marshal(map[string]string{"holder": l.id}) // It can always be marshalled.
	if l.revision != 0 {
		revision, err := kv.Update(ctx, leaseKey, value, l.revision)
		return l.took(revision, sent, err)
	}
	entry, err := kv.Get(ctx, leaseKey)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		revision, err := kv.Create(ctx, leaseKey, value)
		return l.took(revision, sent, err)
	case err != nil:
		return fmt.Errorf("read the lease of targets: %w", err)
	case entry.Revision() != l.other:
		l.other, l.seen = entry.Revision(), l.now()
		return nil
	case l.now().Sub(l.seen) < leaseTTL:
		return nil
	}
	revision, err := kv.Update(ctx, leaseKey, value, entry.Revision())
	return l.took(revision, sent, err)
}

// took notes what came of an attempt to write the lease. That another was quicker is no error.
func (l *lease) took(revision uint64, sent time.Time, err error) error {
	switch {
	case err == nil:
		l.revision, l.until = revision, sent.Add(leaseTTL*8/10)
		return nil
	case conflict(err):
		l.revision, l.other = 0, 0
		return nil
	}
	// Whether it was stored is not known. Once it must have ended, it is looked at as another's.
	if !l.now().Before(l.until) {
		l.revision, l.other = 0, 0
	}
	return fmt.Errorf("write the lease of targets: %w", err)
}

// conflict reports whether a write failed because another was quicker.
func conflict(err error) bool {
	return errors.Is(err, jetstream.ErrKeyRevisionMismatch) || errors.Is(err, jetstream.ErrKeyExists)
}

// release lets another have the lease at once.
func (l *lease) release(ctx context.Context, kv jetstream.KeyValue) {
	if l.revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_ = kv.Delete(ctx, leaseKey, jetstream.LastRevision(l.revision)) // Else it ends in its time.
	l.revision = 0
}
