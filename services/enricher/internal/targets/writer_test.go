package targets

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// cluster is one that a test makes up.
type cluster struct {
	mu   sync.Mutex
	pods map[string][]Pod // by node
}

func (c *cluster) Nodes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.pods))
}

func (c *cluster) PodsOf(node string) ([]Pod, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pods, exists := c.pods[node]
	return slices.Clone(pods), exists
}

func (c *cluster) set(node string, pods ...Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods[node] = pods
}

func (c *cluster) remove(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pods, node)
}

func server(t *testing.T) *embedded.Server {
	t.Helper()
	cfg := config.Default().Bus
	server, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

func connect(t *testing.T, server *embedded.Server) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(t.Context(), config.Default().Bus, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// running is a writer in a goroutine.
type running struct {
	*Writer
	stop func()
}

func start(t *testing.T, conn *bus.Conn, c Cluster, id string, services ...config.Service) *running {
	t.Helper()
	w := NewWriter(conn, c, compile(t, services...), id, slog.New(slog.DiscardHandler), func(error) {}, &Counters{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return &running{w, stop}
}

// eventually waits until f gives no error, for half a minute: how long things take is not what is tested.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func bucket(t *testing.T, conn *bus.Conn) jetstream.KeyValue {
	t.Helper()
	kv, err := conn.KeyValue(t.Context(), bus.BucketTargets)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// stored gives what is stored for a node: its pods' uids with how many rules match, as text.
func stored(ctx context.Context, kv jetstream.KeyValue, node string) (string, *millracev1.Targets, error) {
	entry, err := kv.Get(ctx, bus.Token(node))
	if err != nil {
		return "", nil, err
	}
	m := &millracev1.Targets{}
	if err := m.UnmarshalVT(entry.Value()); err != nil {
		return "", nil, err
	}
	text := ""
	for _, p := range m.Pods {
		text += fmt.Sprintf("%s:%d ", p.Uid, len(p.Rules))
	}
	return text, m, nil
}

func expectStored(t *testing.T, kv jetstream.KeyValue, node, want string) *millracev1.Targets {
	t.Helper()
	var m *millracev1.Targets
	eventually(t, func() (err error) {
		var got string
		if got, m, err = stored(t.Context(), kv, node); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s: %q, want %q", node, got, want)
		}
		return nil
	})
	return m
}

func podIn(uid, namespace string) Pod { return Pod{UID: uid, Namespace: namespace, OwnersKnown: true} }

func TestWriter(t *testing.T) {
	t.Parallel()
	conn := connect(t, server(t))
	kv := bucket(t, conn)
	c := &cluster{pods: map[string][]Pod{}}
	c.set("node 1", podIn("a", "shop"), podIn("b", "other"))
	c.set("node-2")
	// What is there of a node that is gone, and what nobody can read.
	for _, key := range []string{"gone", bus.Token("node 1")} {
		if _, err := kv.Put(t.Context(), key, []byte("\xff")); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, conn, c, "w", config.Service{K8sNamespace: "shop"})
	first := expectStored(t, kv, "node 1", "a:1 b:0 ")
	if first.Version != Version || first.Node != "node 1" || first.WrittenUnixNs == 0 || len(first.Rules) != 1 {
		t.Errorf("%v", first)
	}
	expectStored(t, kv, "node-2", "")
	eventually(t, func() error {
		if _, err := kv.Get(t.Context(), "gone"); err == nil {
			return fmt.Errorf("still there")
		}
		return nil
	})

	// A pod comes, and one goes; nothing else is written again.
	c.set("node 1", podIn("b", "shop"), podIn("c", "shop"))
	w.Changed("node 1")
	second := expectStored(t, kv, "node 1", "b:1 c:1 ")
	if second.Generation <= first.Generation {
		t.Errorf("generation %d after %d", second.Generation, first.Generation)
	}
	written := w.counts.Written.Load()
	w.Changed("node 1")
	c.set("node-2", podIn("z", "shop"))
	w.Changed("node-2")
	expectStored(t, kv, "node-2", "z:1 ")
	if got := w.counts.Written.Load(); got != written+1 {
		t.Errorf("%d documents were written, want one", got-written)
	}

	// An owner that is told later.
	c.set("node-2", Pod{UID: "z", Owners: []Owner{{"ReplicaSet", "r"}}})
	w.Changed("")
	w.Changed("node-2")
	expectStored(t, kv, "node-2", "z:0 ")
}

// What is not known of owners is judged again when the cluster tells of any.
func TestOwnersComeLater(t *testing.T) {
	t.Parallel()
	conn := connect(t, server(t))
	kv := bucket(t, conn)
	c := &cluster{pods: map[string][]Pod{}}
	c.set("n", Pod{UID: "z", Owners: []Owner{{"ReplicaSet", "r"}}})
	w := start(t, conn, c, "w", config.Service{K8sDeploymentName: "d"})
	if m := expectStored(t, kv, "n", "z:0 "); !slices.Equal(m.Pods[0].Undecided, []uint32{0}) {
		t.Errorf("%v", m)
	}
	c.set("n", Pod{UID: "z", Owners: []Owner{{"ReplicaSet", "r"}, {"Deployment", "d"}}, OwnersKnown: true})
	w.Changed("")
	expectStored(t, kv, "n", "z:1 ")
}

// Of two one writes; when it stops, or dies without a word, the other goes on.
func TestOneWrites(t *testing.T) {
	t.Parallel()
	conn := connect(t, server(t))
	kv := bucket(t, conn)
	c := &cluster{pods: map[string][]Pod{}}
	c.set("n", podIn("a", "shop"))
	writers := []*running{
		start(t, conn, c, "0", config.Service{K8sNamespace: "shop"}),
		start(t, conn, c, "1", config.Service{K8sNamespace: "shop"}, config.Service{K8sNamespace: "x"}),
	}
	deciding := func() (is int, err error) {
		is = -1
		for i, w := range writers {
			if w.counts.Deciding.Load() == 1 {
				if is >= 0 {
					return 0, fmt.Errorf("both decide")
				}
				is = i
			}
		}
		if is < 0 {
			return 0, fmt.Errorf("none decides")
		}
		return is, nil
	}
	first := 0
	eventually(t, func() (err error) { first, err = deciding(); return err })
	expectStored(t, kv, "n", "a:1 ")
	other := writers[1-first]
	if other.counts.Written.Load() != 0 {
		t.Error("both have written")
	}
	writers[first].stop()
	c.set("n", podIn("b", "shop"))
	other.Changed("n")
	m := expectStored(t, kv, "n", "b:1 ")
	if len(m.Rules) != len(other.rules.names) {
		t.Errorf("by %d rules", len(m.Rules))
	}

	// A lease whose holder is silent.
	other.stop()
	if _, err := kv.Put(t.Context(), leaseKey, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	c.set("n", podIn("c", "shop"))
	start(t, conn, c, "2", config.Service{K8sNamespace: "shop"})
	expectStored(t, kv, "n", "c:1 ")
}

// A holder that others have taken the lease from, because it was silent, writes nothing over what they have written.
func TestLateHolder(t *testing.T) {
	t.Parallel()
	conn := connect(t, server(t))
	kv := bucket(t, conn)
	now := time.Now()
	clock := func() time.Time { return now }
	a, b := &lease{id: "a", now: clock}, &lease{id: "b", now: clock}
	tend := func(l *lease, held bool) {
		t.Helper()
		if err := l.tend(t.Context(), kv); err != nil {
			t.Fatal(err)
		}
		if l.held() != held {
			t.Fatalf("%s holds: %v", l.id, l.held())
		}
	}
	tend(a, true)
	tend(b, false)
	now = now.Add(leaseTTL - time.Millisecond)
	if a.held() {
		t.Error("a holder that was silent for so long goes on")
	}
	tend(b, false)
	now = now.Add(time.Millisecond)
	tend(b, true)
	tend(a, false)
	tend(b, true)
	tend(a, false)
	b.release(t.Context(), kv)
	tend(a, true)
	tend(b, false)
}

// Documents that others delete, and buckets that are lost, are written again.
func TestDeletedDocument(t *testing.T) {
	t.Parallel()
	conn := connect(t, server(t))
	kv := bucket(t, conn)
	c := &cluster{pods: map[string][]Pod{}}
	c.set("n", podIn("a", "shop"))
	w := start(t, conn, c, "w", config.Service{K8sNamespace: "shop"})
	expectStored(t, kv, "n", "a:1 ")
	if err := conn.JetStream().DeleteKeyValue(t.Context(), bus.BucketTargets); err != nil {
		t.Fatal(err)
	}
	c.set("n", podIn("b", "shop"))
	w.Changed("n")
	eventually(t, func() error {
		kv, err := conn.JetStream().KeyValue(t.Context(), bus.BucketTargets)
		if err != nil {
			return err
		}
		got, _, err := stored(t.Context(), kv, "n")
		if err == nil && got != "b:1 " {
			err = fmt.Errorf("%q", got)
		}
		return err
	})
	kv = bucket(t, conn)
	if err := kv.Delete(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	c.set("n", podIn("c", "shop"))
	w.Changed("n")
	expectStored(t, kv, "n", "c:1 ")
	c.remove("n")
	c.set("m", podIn("d", "shop"))
	w.Changed("n")
	w.Changed("m")
	expectStored(t, kv, "m", "d:1 ")
}
