package announce

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
)

func TestAnnounce(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	server, err := embedded.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := bus.Connect(ctx, cfg, "test", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	start := func() (*Announcer, func()) {
		a := New("node.one")
		a.readInterval = 100 * time.Millisecond
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); a.Run(running, conn, slog.Default()) }()
		return a, func() { stop(); <-done }
	}
	expect := func(offer *Announcer, services map[uint64]string) {
		t.Helper()
		for ctx.Err() == nil {
			list := map[uint64]string{}
			for id, facts := range services {
				list[id] = facts
			}
			offer.Offer(list)
			time.Sleep(20 * time.Millisecond)
			if equal(ctx, conn, offer, services) {
				return
			}
		}
		t.Fatalf("never became %v", services)
	}
	a, stop := start()
	expect(a, map[uint64]string{1: "one", 2: "two"})
	expect(a, map[uint64]string{2: "two, changed", 3: "three"})
	stop()
	a, stop = start()
	expect(a, map[uint64]string{3: "three", 4: "four"}) // 2 was left by the instance before
	if err := conn.JetStream().DeleteKeyValue(ctx, bus.BucketProcesses); err != nil {
		t.Fatal(err)
	}
	expect(a, map[uint64]string{3: "three", 4: "four"})
	kv, err := conn.KeyValue(ctx, bus.BucketProcesses)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(ctx, a.key(3)); err != nil {
		t.Fatal(err)
	}
	expect(a, map[uint64]string{3: "three", 4: "four"})
	stop()
}

func equal(ctx context.Context, conn *bus.Conn, a *Announcer, want map[uint64]string) bool {
	kv, err := conn.KeyValue(ctx, bus.BucketProcesses)
	if err != nil {
		return false
	}
	keys, err := kv.Keys(ctx)
	if err != nil || len(keys) != len(want) {
		return false
	}
	for id, facts := range want {
		entry, err := kv.Get(ctx, a.key(id))
		if err != nil || string(entry.Value()) != facts {
			return false
		}
	}
	return true
}
