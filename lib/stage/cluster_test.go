package stage_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

// natsCluster is three nats-server processes with file storage, on loopback.
type natsCluster struct {
	binary string
	dir    string
	ports  [6]int // three for clients, three for routes
	nodes  [3]*exec.Cmd
}

func startCluster(t *testing.T) *natsCluster {
	t.Helper()
	c := &natsCluster{dir: t.TempDir()}
	c.binary = filepath.Join(c.dir, "nats-server")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", c.binary, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v: %s", err, out)
	}
	for k := range c.ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // All are taken before the first is free again.
		c.ports[k] = l.Addr().(*net.TCPAddr).Port
	}
	return c
}

func (c *natsCluster) start(t *testing.T, n int) {
	t.Helper()
	file := filepath.Join(c.dir, fmt.Sprint("n", n, ".conf"))
	text := fmt.Sprintf(`server_name: n%d
listen: 127.0.0.1:%d
max_payload: 8MB
jetstream { store_dir: %q, max_file_store: 4GB, max_memory_store: 64MB }
cluster { name: millrace, listen: 127.0.0.1:%d, routes: [nats://127.0.0.1:%d, nats://127.0.0.1:%d, nats://127.0.0.1:%d] }
`, n, c.ports[n], filepath.Join(c.dir, fmt.Sprint("store", n)), c.ports[3+n], c.ports[3], c.ports[4], c.ports[5])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(c.binary, "-c", file, "-l", filepath.Join(c.dir, fmt.Sprint("n", n, ".log")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.nodes[n] = cmd
}

func (c *natsCluster) kill(n int) {
	_ = c.nodes[n].Process.Kill() // It may have ended.
	_ = c.nodes[n].Wait()         // It was killed.
}

func (c *natsCluster) url() string {
	var urls []string
	for _, port := range c.ports[:3] {
		urls = append(urls, "nats://127.0.0.1:"+strconv.Itoa(port))
	}
	return strings.Join(urls, ",")
}

// whole reports whether every stream has a leader and two followers that are up to date.
func whole(ctx context.Context, js jetstream.JetStream) bool {
	streams := js.ListStreams(ctx)
	n := 0
	ok := true
	for s := range streams.Info() {
		n++
		current := 0
		if s.Cluster != nil && s.Cluster.Leader != "" {
			for _, r := range s.Cluster.Replicas {
				if r.Current && !r.Offline {
					current++
				}
			}
		}
		ok = ok && current == 2
	}
	return ok && n > 0 && streams.Err() == nil
}

// TestCrashCluster kills one node of a NATS cluster after the other under an exactly counted load, with two instances,
// and compares the outputs with what the input stream holds.
func TestCrashCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs three NATS servers")
	}
	c := startCluster(t)
	for n := range c.nodes {
		c.start(t, n)
		defer func() { c.kill(n) }()
	}
	cfg := crashConfig()
	cfg.URL, cfg.Storage, cfg.Replicas, cfg.MaxBytes = c.url(), config.StorageFile, 3, 256<<20
	conn, err := bus.Connect(t.Context(), cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, 30*time.Second, "streams are made", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err = bus.EnsureStreams(ctx, conn)
		return err == nil
	})
	for range 2 {
		launch(t, "replicated", cfg.URL)
	}
	loading, stop := context.WithCancel(t.Context())
	var counts [crashPartitions]atomic.Uint64
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for ; loading.Err() == nil; time.Sleep(10 * time.Millisecond) {
			for p := range counts {
				n := counts[p].Add(1)
				data := strconv.AppendUint(nil, n, 10)
				if _, err := conn.Publish(t.Context(), rawSubjects(p)[0], fmt.Sprint("in.", p, ".", n), data); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	js := conn.JetStream()
	var spans jetstream.Stream
	eventually(t, 20*time.Second, "the stage works", func() bool {
		if spans, err = js.Stream(t.Context(), bus.StreamSpan); err != nil {
			return false
		}
		return spans.CachedInfo().State.NumSubjects == crashPartitions
	})
	kills := 0
	began := time.Now()
	duration := min(*crashDuration/4, time.Minute)
	for n := 0; ; n = (n + 1) % 3 {
		c.kill(n)
		kills++
		time.Sleep(3 * time.Second)
		c.start(t, n)
		if time.Since(began)+2*time.Second >= duration {
			break // By default after the first.
		}
		eventually(t, 30*time.Second, "the cluster is whole again", func() bool { return whole(t.Context(), js) })
	}
	stop()
	<-loaded
	flushing, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := conn.Flush(flushing); err != nil {
		t.Fatal(err)
	}
	total := 0
	for p := range counts {
		total += int(counts[p].Load())
	}
	eventually(t, 30*time.Second, "everything is processed", func() bool {
		info, err := spans.Info(t.Context())
		return err == nil && info.State.Msgs >= uint64(total)
	})
	// Reads by a node that is still catching up would end early.
	eventually(t, 30*time.Second, "the cluster is whole in the end", func() bool { return whole(t.Context(), js) })
	outputs := readOutputs(t, spans)
	records := 0
	var state [crashPartitions]crashOutput
	readInputs(t, js, func(p int, n uint64) {
		records++
		state[p].count++
		state[p].sum = state[p].sum*31 + n
		if o, found := outputs[fmt.Sprint(p, ".", n)]; !found || o.count != state[p].count || o.sum != state[p].sum {
			t.Fatalf("partition %d, record %d: output %+v, %v; want %+v", p, n, o, found, state[p])
		}
	})
	if records != total || len(outputs) != total {
		t.Errorf("%d records, %d stored, %d outputs", total, records, len(outputs))
	}
	t.Logf("%d nodes killed in %v, %d records", kills, time.Since(began).Round(time.Second), total)
}

// readInputs gives partition and number of every record, in the order of the stream: a producer's records may change
// places while a stream has no leader.
func readInputs(t *testing.T, js jetstream.JetStream, read func(partition int, n uint64)) {
	t.Helper()
	stream, err := js.Stream(t.Context(), bus.StreamRaw)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, stream, func(m jetstream.Msg, _ *jetstream.MsgMetadata) {
		if m.Subject() == bus.TimeSubject(bus.StreamRaw) {
			return
		}
		var p int
		if _, err := fmt.Sscanf(m.Subject(), "millrace.raw.%d.", &p); err != nil {
			t.Fatalf("record on %s: %v", m.Subject(), err)
		}
		n, err := strconv.ParseUint(string(m.Data()), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		read(p, n)
	})
}
