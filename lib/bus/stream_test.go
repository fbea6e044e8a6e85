package bus_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

func TestEnsureStreams(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	conn := connect(t, cfg, ns.InProcess())
	subjects := map[string][]string{
		bus.StreamRaw:      {bus.RawSubject(1, "node"), bus.WatermarkSubject},
		bus.StreamExchange: {bus.ExchangeSubject(1), bus.LinkSubject(2)},
		bus.StreamSpan:     {bus.SpanSubject(1, "", "service")},
		bus.StreamSampled:  {bus.SampledSubject(1, "", "service")},
		bus.StreamMetric:   {bus.MetricSubject(1), bus.KeptSubject(1)},
		bus.StreamFlow:     {bus.FlowSubject(1)},
	}
	for name, list := range subjects {
		for _, subject := range list {
			got, err := conn.JetStream().StreamNameBySubject(bounded(t), subject)
			if err != nil || got != name {
				t.Errorf("%s goes to %q (%v), want %s", subject, got, err, name)
			}
		}
		stream, err := conn.JetStream().Stream(bounded(t), name)
		if err != nil {
			t.Fatal(err)
		}
		got := stream.CachedInfo().Config
		if got.Metadata[bus.MetadataPartitions] != "32" || got.Storage != jetstream.MemoryStorage || got.MaxAge != cfg.MaxAge ||
			got.MaxBytes != int64(cfg.MaxBytes) || got.Discard != jetstream.DiscardOld || got.Duplicates != 2*time.Minute || !got.AllowDirect {
			t.Errorf("%s: %+v", name, got)
		}
	}

	t.Run("limits are updated", func(t *testing.T) {
		changed := cfg
		changed.MaxAge, changed.MaxBytes = time.Minute, 32*config.MiB
		connect(t, changed, ns.InProcess())
		stream, err := conn.JetStream().Stream(bounded(t), bus.StreamSpan)
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().Config; got.MaxAge != time.Minute || got.MaxBytes != 32<<20 || got.Duplicates != time.Minute {
			t.Errorf("limits: %+v", got)
		}
	})
	t.Run("what cannot change", func(t *testing.T) {
		for _, tt := range []struct {
			change func(*config.Bus)
			want   string
		}{
			{func(c *config.Bus) { c.Partitions = 16 }, "stream MILLRACE_RAW: number of partitions differs: the stream has 32, bus.partitions is 16"},
			{func(c *config.Bus) { c.Storage = config.StorageFile }, "its storage is memory and cannot be changed: set bus.storage"},
			{func(c *config.Bus) { c.Replicas = 3 }, "set bus.replicas to 1, or run a cluster"},
			{func(c *config.Bus) { c.MaxBytes = 1 << 40 }, "lower bus.max_bytes"},
		} {
			changed := cfg
			tt.change(&changed)
			other, err := bus.Connect(bounded(t), changed, "other", ns.InProcess())
			if err != nil {
				t.Fatal(err)
			}
			err = bus.EnsureStreams(bounded(t), other)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if bus.Temporary(err) {
				t.Errorf("%v counts as temporary", err)
			}
			other.Close()
		}
	})
}

func TestEnsureStreamsAtOnce(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			conn, err := bus.Connect(bounded(t), cfg, "test", ns.InProcess())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if err := bus.EnsureStreams(bounded(t), conn); err != nil {
				t.Error(err)
			}
			if _, err := conn.KeyValue(bounded(t), bus.BucketLeases); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestForeignStream(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	conn, err := bus.Connect(bounded(t), cfg, "test", ns.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.JetStream().CreateStream(bounded(t), jetstream.StreamConfig{
		Name: bus.StreamFlow, Subjects: []string{"other.>"}, Storage: jetstream.MemoryStorage,
	}); err != nil {
		t.Fatal(err)
	}
	if err := bus.EnsureStreams(bounded(t), conn); !errors.Is(err, bus.ErrPartitions) || !strings.Contains(err.Error(), "none recorded") {
		t.Errorf("error %v", err)
	}
}

func TestNoJetStream(t *testing.T) {
	t.Parallel()
	ns, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer ns.Shutdown()
	conn, err := bus.Connect(bounded(t), config.Default().Bus, "test", nats.InProcessServer(ns))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = bus.EnsureStreams(bounded(t), conn)
	if err == nil || !strings.Contains(err.Error(), "start nats-server with JetStream") {
		t.Errorf("error %v", err)
	}
	if !bus.Temporary(err) {
		t.Error("a server without JetStream may still be starting, but the error is not temporary")
	}
}

func TestKeyValue(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	conn := connect(t, cfg, ns.InProcess())
	kv, err := conn.KeyValue(bounded(t), bus.BucketMembers)
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if status.TTL() != bus.MemberTTL || status.History() != 1 {
		t.Errorf("time to live %v, history %d", status.TTL(), status.History())
	}
	kv, err = conn.KeyValue(bounded(t), bus.BucketCheckpoints, func(c *jetstream.KeyValueConfig) { c.History = 3 })
	if err != nil {
		t.Fatal(err)
	}
	if status, err = kv.Status(bounded(t)); err != nil || status.TTL() != 0 || status.History() != 3 {
		t.Errorf("%v: %+v", err, status)
	}
	if _, err := kv.Put(bounded(t), "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	again, err := conn.KeyValue(bounded(t), bus.BucketCheckpoints)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := again.Get(bounded(t), "a"); err != nil || string(entry.Value()) != "b" {
		t.Errorf("%v: %v", err, entry)
	}
}
