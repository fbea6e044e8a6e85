package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace.dev/test/internal/natsserver"
)

// The only NATS server, with its streams on disk, is killed, and ended, and comes back each time.
func TestServerRestart(t *testing.T) {
	d := deploy(t, shape{})
	d.repeats = true // Checkpoints of exporters that were on their way are lost with the server.
	for _, end := range []func(int) error{d.nats.Kill, d.nats.Stop} {
		d.must(end(0))
		time.Sleep(3 * time.Second)
		d.must(d.nats.Start(0))
		d.ready()
		time.Sleep(5 * time.Second)
	}
	d.check()
}

// Each node of a cluster of three is killed in turn and comes back.
func TestCluster(t *testing.T) {
	d := deploy(t, shape{nodes: 3})
	d.repeats = true
	for n := range 3 {
		d.must(d.nats.Kill(n))
		time.Sleep(5 * time.Second)
		d.must(d.nats.Start(n))
		d.within(time.Minute, "the cluster is whole", func() error { return d.whole() })
	}
	d.check()
}

// Instances of each kind are killed and stopped while a node of the cluster is away.
func TestClusterKill(t *testing.T) {
	d := deploy(t, shape{nodes: 3})
	d.repeats = true
	d.rounds(func(kind string) {
		gone := d.pick(kind)
		ids := d.ids(kind, gone)
		n := d.rng.IntN(3)
		d.must(d.nats.Kill(n))
		d.kill(kind, gone)
		d.add(kind)
		d.owned(kind, ids)
		stopped := d.pick(kind)
		d.must(stopped.Signal(syscall.SIGSTOP))
		time.Sleep(6 * time.Second)
		d.must(stopped.Signal(syscall.SIGCONT))
		d.must(d.nats.Start(n))
		d.within(time.Minute, "the cluster is whole", func() error { return d.whole() })
	})
	d.check()
}

// whole is an error as long as a stream lacks a leader or a follower that is up to date.
func (d *deployment) whole() error {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	streams := d.conn.JetStream().ListStreams(ctx)
	n := 0
	var found error
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
		if current != 2 {
			found = fmt.Errorf("stream %s: %+v", s.Config.Name, s.Cluster)
		}
	}
	if n == 0 && found == nil {
		found = errors.New("no streams")
	}
	return errors.Join(found, streams.Err())
}

// ready waits until every instance that can be asked is ready.
func (d *deployment) ready() {
	d.t.Helper()
	for _, kind := range kinds {
		for _, i := range d.running[kind] {
			d.must(i.Ready(40 * time.Second))
		}
		d.owned(kind, nil)
	}
}

// The disk under a NATS server is full for a while: publishers wait, nothing is lost, and when there is room again
// everything arrives.
func TestDiskFull(t *testing.T) {
	store := t.TempDir()
	if err := unix.Mount("tmpfs", store, "tmpfs", 0, "size=256m"); err != nil {
		t.Skip("needs to mount a tmpfs:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(store, 0); err != nil {
			t.Error(err)
		}
	})
	d := deploy(t, shape{nats: natsserver.Options{Store: store, MaxFile: "2GB"}, bytes: 32})
	d.repeats = true
	time.Sleep(3 * time.Second)
	ballast := filepath.Join(store, "ballast")
	written := fill(t, ballast)
	t.Logf("disk filled with %d MiB", written>>20)
	time.Sleep(10 * time.Second)
	t.Logf("%d spans arrived, %d bytes wait at the publisher; end of the server's log:\n%s", d.backend.Len(), d.conn.PendingBytes(), tail(d.nats.Log(0), 8))
	d.must(os.Remove(ballast))
	time.Sleep(10 * time.Second)
	t.Logf("%d spans arrived, %d bytes wait with room on the disk again", d.backend.Len(), d.conn.PendingBytes())
	// A stream whose file could not be written stays as it is until the server is started again.
	d.must(d.nats.Stop(0))
	d.must(d.nats.Start(0))
	d.ready()
	d.check()
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) (written int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		n, err := f.Write(block)
		written += int64(n)
		if errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2] // To the last byte.
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return written
}
