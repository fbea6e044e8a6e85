package targets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
)

const (
	// watchFor is how long one watch lasts at least, and watchSpread the most that it lasts longer, so that the nodes of
	// a cluster do not begin theirs at once. The next begins with what is stored then, so nothing that a watch misses
	// stays unseen: a bucket that was made again, or a server that is another one.
	watchFor    = time.Minute
	watchSpread = 15 * time.Second
	// watchPause is the time before a watch that failed is begun again, lookEvery how often a lost connection is
	// looked for.
	watchPause = time.Second
	lookEvery  = 250 * time.Millisecond
	// openTimeout bounds the requests that begin a watch.
	openTimeout = 5 * time.Second
)

// Watcher reads the document of this node.
type Watcher struct {
	node  string
	table *Table
	out   chan *Table
	// report is told why verdicts may be missing, nil: they are not.
	report func(error)
	log    *slog.Logger
	said   string // in the log
}

// NewWatcher makes a watcher for a node. rules are the names of the rules that will be asked for. report is called with
// each change of what keeps verdicts from coming, where rules need them.
func NewWatcher(node string, rules []uint64, log *slog.Logger, report func(error)) *Watcher {
	w := &Watcher{node: node, table: New(rules), out: make(chan *Table, 1), report: report, log: log}
	if len(rules) > 0 {
		report(fmt.Errorf("what the enricher has decided about the pods of node %q is not read yet", node))
	}
	return w
}

// Tables gives what was read, the newest only.
func (w *Watcher) Tables() <-chan *Table { return w.out }

// Run reads until ctx ends.
func (w *Watcher) Run(ctx context.Context, conn *bus.Conn) {
	for ctx.Err() == nil {
		err := w.follow(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // It lasted for as long as one watch does.
		}
		if !w.table.decided {
			w.tell(fmt.Errorf("what the enricher has decided about the pods of node %q cannot be read: %w", w.node, err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchPause):
		}
	}
}

var errReconnected = errors.New("the connection was lost")

func (w *Watcher) follow(ctx context.Context, conn *bus.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, watchFor+rand.N(watchSpread))
	defer cancel()
	reconnects := conn.NATS().Stats().Reconnects
	opening, opened := context.WithTimeout(ctx, openTimeout)
	defer opened()
	kv, err := conn.KeyValue(opening, bus.BucketTargets)
	if err != nil {
		return err
	}
	watcher, err := kv.Watch(ctx, bus.Token(w.node))
	if err != nil {
		return fmt.Errorf("watch targets: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // Its context ends too.
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if conn.NATS().Stats().Reconnects != reconnects {
				return errReconnected
			}
		case entry, open := <-watcher.Updates():
			if !open {
				return errors.New("watch targets: it ended")
			}
			w.take(entry)
		}
	}
}

// take takes an entry; nil: all that is stored was seen.
func (w *Watcher) take(entry jetstream.KeyValueEntry) {
	switch {
	case entry == nil && w.table.read:
		return
	case entry == nil:
		w.table = w.table.Empty()
	case entry.Operation() != jetstream.KeyValuePut:
		return // The node left the cluster. Its processes may still be there.
	default:
		next, err := w.table.Next(entry.Value(), time.Now())
		if err != nil {
			w.tell(err)
			return
		}
		w.table = next
	}
	select { // What was not taken yet is older.
	case <-w.out:
	default:
	}
	w.out <- w.table
	switch {
	case !w.table.decided:
		w.tell(fmt.Errorf("no enricher has decided about the pods of node %q: until one does, rules that name Kubernetes match nothing (it needs "+
			"access to the cluster, and capture.node must be the node's name there)", w.node))
	case w.table.missing > 0:
		w.tell(fmt.Errorf("the enricher does not judge by %d of the %d rules that name Kubernetes: until it does, those match nothing (its "+
			"configuration is another one)", w.table.missing, len(w.table.rules)))
	default:
		w.tell(nil)
	}
}

// tell reports a reason, where rules need verdicts, and logs it when it is another one.
func (w *Watcher) tell(reason error) {
	if len(w.table.rules) == 0 {
		return
	}
	w.report(reason)
	said := ""
	if reason != nil {
		said = reason.Error()
	}
	if said == w.said {
		return
	}
	if w.said = said; reason == nil {
		w.log.Info("the rules that name Kubernetes are in force", "node", w.node, "rules", len(w.table.rules))
		return
	}
	w.log.Warn("rules that name Kubernetes are not in force", "reason", reason)
}
