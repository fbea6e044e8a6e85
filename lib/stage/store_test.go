package stage_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
)

// ballast has a large state that does not compress, and counts.
type ballast struct {
	bytes []byte
	count *atomic.Uint64
	got   *atomic.Pointer[[]byte]
}

func (c *ballast) Process(_ context.Context, records []stage.Record, _ stage.Output) error {
	c.count.Add(uint64(len(records)))
	return nil
}
func (c *ballast) Tick(context.Context, time.Time, stage.Output) error { return nil }
func (c *ballast) Snapshot(dst []byte) ([]byte, error)                 { return append(dst, c.bytes...), nil }

func (c *ballast) Restore(b []byte) error { c.got.Store(&b); return nil }

func TestLargeSnapshotsAreChunked(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	state := make([]byte, 5<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(state); i += 8 {
		binary.LittleEndian.PutUint64(state[i:], rng.Uint64())
	}
	var count atomic.Uint64
	var got atomic.Pointer[[]byte]
	options := stage.Options{
		Name: "ballast", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, CheckpointInterval: 50 * time.Millisecond,
		Factory: func(int) (stage.Processor, error) { return &ballast{state, &count, &got}, nil },
	}
	chunks := func() uint64 {
		s, err := conn.JetStream().Stream(t.Context(), "KV_"+bus.BucketCheckpoints)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	stop := start(t, options)
	for k := range 5 {
		publish(t, conn, 0, k, 1)
		time.Sleep(200 * time.Millisecond)
	}
	eventually(t, 5*time.Second, "records", func() bool { return count.Load() == 5 })
	stop()
	// One entry and the chunks of one checkpoint: older ones were removed, and the marks that this left ended by
	// themselves.
	eventually(t, 10*time.Second, "only what is needed in the bucket", func() bool { n := chunks(); return n >= 6 && n <= 14 })
	start(t, options)
	eventually(t, 5*time.Second, "restored", func() bool { return got.Load() != nil })
	if !bytes.Equal(*got.Load(), state) {
		t.Error("another state came back")
	}
}

// picky restores nothing, as a processor of an older version would refuse a newer snapshot.
type picky struct{ counter }

func (*picky) Restore([]byte) error { return errors.New("snapshot of version 9 is not understood") }

func TestRefusedPartitionGoesToAnother(t *testing.T) {
	t.Parallel()
	const partitions = 4
	conn := connect(t, partitions)
	old, current := newTally(), newTally()
	options := stage.Options{
		Name: "counter", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, Factory: current.factory,
		CheckpointInterval: 500 * time.Millisecond,
	}
	for p := range partitions {
		publish(t, conn, p, 0, 10)
	}
	start(t, options)
	eventually(t, 5*time.Second, "first records", func() bool { return current.total() == partitions*10 })
	options.Factory = func(p int) (stage.Processor, error) { return &picky{counter{tally: old, partition: p}}, nil }
	start(t, options)
	time.Sleep(time.Second)
	for p := range partitions {
		publish(t, conn, p, 10, 10)
	}
	eventually(t, 10*time.Second, "later records", func() bool { return current.total() == partitions*20 })
	if old.total() != 0 {
		t.Error("the old version processed without the state")
	}
}

// TestServerRestart restarts a server with files under a running stage.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	cfg.Partitions, cfg.Storage = 4, config.StorageFile
	cfg.Embedded.StoreDir, cfg.Embedded.Listen = t.TempDir(), "127.0.0.1:0"
	server, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.URL = server.ClientURL()
	cfg.Embedded.Listen = strings.TrimPrefix(cfg.URL, "nats://")
	conn, err := bus.Connect(t.Context(), cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := bus.EnsureStreams(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	counts := newTally()
	stop := start(t, stage.Options{Name: "counter", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, Factory: counts.factory})
	defer stop()
	for p := range cfg.Partitions {
		publish(t, conn, p, 0, 500)
	}
	eventually(t, 5*time.Second, "first records", func() bool { return counts.total() == 2000 })
	server.Shutdown()
	time.Sleep(6 * time.Second) // Leases end.
	if server, err = embedded.Start(cfg); err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	for p := range cfg.Partitions {
		publish(t, conn, p, 500, 500)
	}
	began := time.Now()
	eventually(t, 15*time.Second, "later records", func() bool { return counts.total() == 4000 })
	t.Logf("%v after the server was back", time.Since(began))
	time.Sleep(500 * time.Millisecond)
	for p := range cfg.Partitions {
		if want := uint64(999 * 1000 / 2); counts.sums[p] != want || counts.counts[p] != 1000 {
			t.Errorf("partition %d: %d records, sum %d, want %d", p, counts.counts[p], counts.sums[p], want)
		}
	}
}
