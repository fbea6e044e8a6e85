package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/test/internal/backend"
	"millrace.dev/test/internal/natsserver"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/traffic"
)

// Kinds of processes, as the command line names them.
const (
	decoder  = "decoder"
	enricher = "enricher"
	exporter = "exporter"
)

var kinds = []string{decoder, enricher, exporter}

// stages are the names of the stages that the kinds run.
var stages = map[string][]string{
	decoder: {"decoder"}, enricher: {"enricher"}, exporter: {"exporter-otlphttp", "exporter-metrics-otlphttp"},
}

const partitions = 8

// shape of a deployment. The zero value is two of each kind on one NATS server with file storage.
type shape struct {
	each    int // instances of each kind
	nodes   int // of NATS
	nats    natsserver.Options
	also    []string // further addresses of the backend
	more    string   // further sections of the configuration
	bytes   int      // bus.max_bytes in MiB
	pending int      // of the generator's connection, in MiB
	query   int      // bytes of the query of each HTTP request
	strait  bool     // between the second node of the load and NATS
	binary  string   // of the processes; empty: the product's
}

// deployment is Millrace without capture, with load and a backend.
type deployment struct {
	t         *testing.T
	shape     shape
	rng       *rand.Rand
	directory string
	nats      *natsserver.Servers
	backend   *backend.Backend
	endpoint  string
	conn      *bus.Conn
	load      *traffic.Load
	strait    *strait
	running   map[string][]*product.Instance
	ended     []*product.Instance
	serial    int
	began     time.Time
	takeovers []time.Duration
	repeats   bool // an exporter was killed: what it had sent since its checkpoint comes again
	// Spans at the backend that are not of the load, and how many.
	ignore  func(backend.Received) bool
	foreign int
}

// deploy starts everything and the load, and waits until spans arrive.
func deploy(t *testing.T, s shape) *deployment {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-chaos.seed=%d", seed)
	if s.each == 0 {
		s.each = 2
	}
	if s.nodes == 0 {
		s.nodes = 1
	}
	if s.bytes == 0 {
		s.bytes = 128
	}
	if s.pending == 0 {
		s.pending = 512
	}
	d := &deployment{
		t: t, shape: s, rng: rand.New(rand.NewPCG(seed, 1)),
		running: map[string][]*product.Instance{}, began: time.Now(),
	}
	var err error
	d.directory, err = os.MkdirTemp(workspace, t.Name()) // With -count, a test must not find the streams of the one before.
	d.must(err)
	d.startNATS()
	d.startBackend()
	cfg := config.Default().Bus
	cfg.URL, cfg.Partitions, cfg.Storage, cfg.MaxPending = d.nats.URL(), partitions, config.StorageFile, config.ByteSize(s.pending<<20)
	cfg.MaxBytes = config.ByteSize(s.bytes << 20)
	if s.nodes > 1 {
		cfg.Replicas = 3
	}
	if d.conn, err = bus.Connect(t.Context(), cfg, "chaos"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.conn.Close)
	d.within(time.Minute, "streams are made", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return bus.EnsureStreams(ctx, d.conn)
	})
	t.Cleanup(d.stopAll)
	for _, kind := range kinds {
		for range s.each {
			d.add(kind)
		}
	}
	for _, kind := range kinds {
		d.owned(kind, nil)
	}
	load := traffic.Options{Seed: seed, Rate: *rate, Query: s.query}
	if s.strait {
		load.Second = d.cross(cfg)
	}
	d.load = traffic.Start(d.conn, load)
	d.within(30*time.Second, "spans arrive", func() error {
		if d.backend.Len() == 0 {
			return errors.New("none yet")
		}
		return nil
	})
	return d
}

func (d *deployment) startNATS() {
	d.t.Helper()
	path, err := server()
	d.must(err)
	o := d.shape.nats
	o.Binary, o.Directory, o.Nodes = path, d.directory, d.shape.nodes
	d.nats, err = natsserver.New(o)
	d.must(err)
	d.t.Cleanup(d.nats.Close)
	for n := range d.shape.nodes {
		d.must(d.nats.Start(n))
	}
}

func (d *deployment) startBackend() {
	d.t.Helper()
	port, err := product.FreePort()
	d.must(err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	d.endpoint = "http://" + address
	d.backend = backend.New(append([]string{address}, d.shape.also...)...)
	d.must(d.backend.Open())
	d.t.Cleanup(d.backend.Close)
}

// start starts a process without telling anybody.
func (d *deployment) start(kind, endpoint string, through ...string) *product.Instance {
	d.t.Helper()
	path := d.shape.binary
	if path == "" {
		var err error
		path, err = millrace()
		d.must(err)
	}
	replicas := 1
	if d.shape.nodes > 1 {
		replicas = 3
	}
	d.serial++
	i, err := product.Start(product.Options{
		Binary: path, Arguments: []string{kind}, Directory: d.directory, Name: fmt.Sprint(kind, d.serial), NoFile: true, Through: through,
		Config: fmt.Sprintf("bus:\n  url: %q\n  storage: file\n  partitions: %d\n  replicas: %d\n  max_bytes: %dMiB\n%s"+
			"exporters:\n  otlphttp:\n    endpoint: %s\n    encoding: json\n    compression: none\n",
			d.nats.URL(), partitions, replicas, d.shape.bytes, features+d.shape.more, endpoint),
	})
	d.must(err)
	return i
}

// add starts one more of a kind.
func (d *deployment) add(kind string, through ...string) *product.Instance {
	d.t.Helper()
	i := d.start(kind, d.endpoint, through...)
	d.running[kind] = append(d.running[kind], i)
	return i
}

// pick gives a random one of a kind.
func (d *deployment) pick(kind string) *product.Instance {
	return d.running[kind][d.rng.IntN(len(d.running[kind]))]
}

// gone takes an instance off the list of those that run.
func (d *deployment) gone(kind string, i *product.Instance) {
	d.running[kind] = slices.DeleteFunc(d.running[kind], func(o *product.Instance) bool { return o == i })
	d.ended = append(d.ended, i)
}

// kill ends one with SIGKILL.
func (d *deployment) kill(kind string, i *product.Instance) {
	d.t.Helper()
	d.repeats = d.repeats || kind == exporter
	d.must(i.Kill())
	d.gone(kind, i)
}

// retire ends one with SIGTERM.
func (d *deployment) retire(kind string, i *product.Instance) {
	d.t.Helper()
	d.must(i.Stop())
	if code := i.ExitCode(); code != 0 {
		d.t.Errorf("%s ended with code %d: %s", kind, code, tail(i.Log(), 20))
	}
	d.gone(kind, i)
}

func (d *deployment) stopAll() {
	for _, kind := range kinds {
		for _, i := range slices.Clone(d.running[kind]) {
			if d.t.Failed() {
				_ = os.WriteFile(filepath.Join(d.directory, fmt.Sprintf("%s-%d.log", kind, i.PID())), []byte(i.Log()), 0o600)
			}
			if err := i.Stop(); err != nil {
				d.t.Errorf("%s: %v", kind, err)
			}
			if strings.Contains(i.Log(), "panic") {
				d.t.Errorf("%s panicked: %s", kind, tail(i.Log(), 60))
			}
		}
	}
	for _, i := range d.ended {
		if strings.Contains(i.Log(), "panic") {
			d.t.Errorf("panic: %s", tail(i.Log(), 60))
		}
	}
}

// members gives the instances of the stages of a kind that announce themselves, by id: a process has one in each stage.
func (d *deployment) members(kind string) (map[string]stage.Member, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	kv, err := d.conn.JetStream().KeyValue(ctx, bus.BucketMembers)
	if err != nil {
		return nil, err
	}
	var of []string
	for _, name := range stages[kind] {
		of = append(of, name+".*")
	}
	lister, err := kv.ListKeysFiltered(ctx, of...)
	if err != nil {
		return nil, err
	}
	found := map[string]stage.Member{}
	for key := range lister.Keys() {
		entry, err := kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // It expired.
		}
		if err != nil {
			return nil, err
		}
		var m stage.Member
		if err := json.Unmarshal(entry.Value(), &m); err != nil {
			return nil, err
		}
		found[m.ID] = m
	}
	return found, nil
}

// owned waits until every partition of a kind is worked on by an instance that is not among the ones given, and gives
// how long that took.
func (d *deployment) owned(kind string, without []string) time.Duration {
	d.t.Helper()
	began := time.Now()
	d.within(40*time.Second, "every partition of "+kind+" has an owner", func() error {
		all, err := d.partitions(kind)
		if err != nil {
			return err
		}
		for _, p := range all {
			if !p.Alive || p.Lag < 0 || p.Error != "" || slices.Contains(without, p.Owner) {
				return fmt.Errorf("partition %d: %+v", p.Partition, p)
			}
		}
		return nil
	})
	return time.Since(began)
}

// ids gives the names by which the stages of a kind know an instance.
func (d *deployment) ids(kind string, i *product.Instance) (ids []string) {
	d.t.Helper()
	d.within(10*time.Second, "the process is a member", func() error {
		members, err := d.members(kind)
		ids = nil
		for _, m := range members {
			if m.PID == i.PID() {
				ids = append(ids, m.ID)
			}
		}
		if len(ids) < len(stages[kind]) {
			return fmt.Errorf("process %d is not among %v: %w", i.PID(), members, errors.Join(err))
		}
		return nil
	})
	return ids
}

// takeover kills an instance of a kind and measures until others work on all of its partitions.
func (d *deployment) takeover(kind string, i *product.Instance) {
	d.t.Helper()
	ids := d.ids(kind, i)
	began := time.Now()
	d.kill(kind, i)
	d.owned(kind, ids)
	took := time.Since(began)
	d.takeovers = append(d.takeovers, took)
	if took > 10*time.Second {
		d.t.Errorf("takeover of a %s took %v", kind, took)
	}
}

// within asks until there is no error.
func (d *deployment) within(limit time.Duration, what string, ask func() error) {
	d.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("not after %v: %s: %v", limit, what, err)
		}
	}
}

func (d *deployment) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func tail(log string, n int) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
