package targets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// gather is how long a change waits for others of its node.
	gather = 50 * time.Millisecond
	// readInterval is how often what is stored is compared with what was written: others may have deleted it.
	readInterval = 30 * time.Second
)

// Writer keeps the documents of all nodes up to date, as long as it holds the lease. [Writer.Changed] is safe for
// concurrent use.
type Writer struct {
	conn    *bus.Conn
	cluster Cluster
	rules   *Rules
	log     *slog.Logger
	report  func(error)
	counts  *Counters
	lease   lease
	kv      jetstream.KeyValue

	mu sync.Mutex
	// dirty are the nodes to judge again; undecided those whose document may change without a change of a pod.
	dirty, undecided map[string]struct{}
	wake             chan struct{}

	// stored are the documents by key; nil: to be read.
	stored map[string]document
	readAt time.Time
	failed error // as reported last
}

// document is what is stored for a node.
type document struct {
	node       string // empty: what is stored cannot be read
	revision   uint64
	generation uint64
	content    string // encoded without generation and time of writing; of what cannot be read, empty
	leftOut    uint32
	removed    bool // a mark of a key that was removed
}

// Counters are what a writer did. Safe for concurrent use.
type Counters struct {
	Written, Errors atomic.Uint64
	// LeftOut pods found no room in the documents of their nodes; Deciding is 1 for the one that writes.
	LeftOut, Deciding atomic.Int64
}

// NewWriter makes a writer. id is its name in the lease. report is told why documents are not up to date, and nil when
// they are again.
func NewWriter(conn *bus.Conn, cluster Cluster, rules *Rules, id string, log *slog.Logger, report func(error), counts *Counters) *Writer {
	return &Writer{
		conn: conn, cluster: cluster, rules: rules, log: log, report: report, counts: counts, lease: lease{id: id, now: time.Now},
		dirty: map[string]struct{}{}, undecided: map[string]struct{}{}, wake: make(chan struct{}, 1),
	}
}

// Changed has a node judged again. The empty name stands for what is not on a node: the owners of pods.
func (w *Writer) Changed(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if node != "" {
		w.dirty[node] = struct{}{}
	} else if len(w.undecided) == 0 {
		return
	}
	for node := range w.undecided {
		w.dirty[node] = struct{}{}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends. The cluster must have been listed before, or what is stored would be taken for what is
// gone.
func (w *Writer) Run(ctx context.Context) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		w.tell(ctx, w.step(ctx))
		select {
		case <-ctx.Done():
			if w.kv != nil {
				w.lease.release(context.WithoutCancel(ctx), w.kv)
			}
			w.counts.Deciding.Store(0)
			return
		case <-ticker.C:
			w.tell(ctx, w.tend(ctx))
		case <-w.wake:
			select {
			case <-ctx.Done():
			case <-time.After(gather):
			}
		}
	}
}

// tell reports a failure, once, and its end.
func (w *Writer) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		w.counts.Errors.Add(1)
		w.stored, w.kv = nil, nil // The bucket may be another one now.
	}
	if (err == nil) != (w.failed == nil) || err != nil && err.Error() != w.failed.Error() {
		if err != nil {
			w.log.Warn("capture is not told which pods to watch; trying again", slog.Any("error", err))
		} else {
			w.log.Info("capture is told again which pods to watch")
		}
	}
	w.failed = err
	w.report(err)
}

// tend takes the lease or renews it.
func (w *Writer) tend(ctx context.Context) error {
	if w.kv == nil {
		opening, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		kv, err := w.conn.KeyValue(opening, bus.BucketTargets)
		if err != nil {
			return err
		}
		w.kv = kv
	}
	held := w.lease.held()
	if err := w.lease.tend(ctx, w.kv); err != nil {
		return err
	}
	if now := w.lease.held(); now != held {
		w.stored = nil
		w.counts.Deciding.Store(0)
		if now {
			w.counts.Deciding.Store(1)
			w.log.Info("this enricher decides which pods are watched", slog.Int("rules", len(w.rules.names)))
		}
	}
	return nil
}

// step writes what is due.
func (w *Writer) step(ctx context.Context) error {
	if w.kv == nil || !w.lease.held() {
		return nil
	}
	if w.stored == nil || time.Since(w.readAt) > readInterval {
		if err := w.read(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	due := w.dirty
	w.dirty = map[string]struct{}{}
	w.mu.Unlock()
	var failed error
	for node := range due {
		err := errDeferred
		if failed == nil && w.stored != nil && w.lease.held() {
			err = w.write(ctx, node)
		}
		if err != nil {
			w.mu.Lock()
			w.dirty[node] = struct{}{}
			w.mu.Unlock()
		}
		if err != nil && !errors.Is(err, errDeferred) {
			failed = err
		}
	}
	var left int64
	for _, d := range w.stored {
		left += int64(d.leftOut)
	}
	w.counts.LeftOut.Store(left)
	return failed
}

// errDeferred: a document is to be written, and it is not the time to.
var errDeferred = errors.New("deferred")

// read learns what is stored, has every node judged again, and removes the documents of nodes that there are no more.
func (w *Writer) read(ctx context.Context) error {
	reading, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	watcher, err := w.kv.Watch(reading, "*")
	if err != nil {
		return fmt.Errorf("read targets: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // Its context ends too.
	stored := map[string]document{}
	for {
		select {
		case <-reading.Done():
			return fmt.Errorf("read targets: %w", reading.Err())
		case entry, open := <-watcher.Updates():
			if !open {
				return errors.New("read targets: the watch ended")
			}
			if entry != nil {
				if entry.Key() != leaseKey {
					stored[entry.Key()] = documentOf(entry)
				}
				continue
			}
			w.stored, w.readAt = stored, time.Now()
			return w.compare(ctx)
		}
	}
}

func documentOf(entry jetstream.KeyValueEntry) document {
	d := document{revision: entry.Revision(), removed: entry.Operation() != jetstream.KeyValuePut}
	m := &millracev1.Targets{}
	if d.removed || m.UnmarshalVT(entry.Value()) != nil {
		return d
	}
	d.node, d.generation, d.leftOut = m.Node, m.Generation, m.LeftOut
	if m.Version == Version {
		d.content = contentOf(m)
	}
	return d
}

// contentOf is what of a document capture goes by.
func contentOf(m *millracev1.Targets) string {
	generation, written := m.Generation, m.WrittenUnixNs
	m.Generation, m.WrittenUnixNs = 0, 0
	data, _ := m.MarshalVT() // It can always be marshalled.
	m.Generation, m.WrittenUnixNs = generation, written
	return string(data)
}

// compare has every node judged, and removes what belongs to none.
func (w *Writer) compare(ctx context.Context) error {
	present := map[string]struct{}{}
	for _, node := range w.cluster.Nodes() {
		present[bus.Token(node)] = struct{}{}
		w.Changed(node)
	}
	for key, d := range w.stored {
		if _, found := present[key]; found || d.removed {
			continue
		}
		removing, cancel := context.WithTimeout(ctx, requestTimeout)
		err := w.kv.Purge(removing, key, jetstream.LastRevision(d.revision))
		cancel()
		if err != nil && !conflict(err) {
			return fmt.Errorf("remove targets of %s: %w", key, err)
		}
		delete(w.stored, key)
	}
	return nil
}

// write judges a node and stores the document if it is another one.
func (w *Writer) write(ctx context.Context, node string) error {
	pods, exists := w.cluster.PodsOf(node)
	if !exists {
		return nil // What is stored of it is removed with the next look.
	}
	m, undecided := w.rules.Document(node, pods)
	w.mu.Lock()
	delete(w.undecided, node)
	if undecided {
		w.undecided[node] = struct{}{}
	}
	w.mu.Unlock()
	key, content := bus.Token(node), contentOf(m)
	before := w.stored[key]
	if before.content == content && !before.removed {
		return nil
	}
	m.Generation = before.generation + 1
	m.WrittenUnixNs = uint64(time.Now().UnixNano())
	data, err := m.MarshalVT()
	if err != nil {
		return fmt.Errorf("targets of %s: %w", node, err)
	}
	writing, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var revision uint64
	if before.revision == 0 {
		revision, err = w.kv.Create(writing, key, data)
	} else {
		revision, err = w.kv.Update(writing, key, data, before.revision)
	}
	if conflict(err) {
		w.stored = nil // Another has written since it was read: the one before, or the one after.
		return errDeferred
	}
	if err != nil {
		return fmt.Errorf("write targets of %s: %w", node, err)
	}
	if m.LeftOut > 0 && before.leftOut == 0 {
		w.log.Warn("pods of a node find no room in its targets: capture does not know them", "node", node, "pods", m.LeftOut)
	}
	w.stored[key] = document{node: node, revision: revision, generation: m.Generation, content: content, leftOut: m.LeftOut}
	w.counts.Written.Add(1)
	return nil
}
