package stage_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
)

// harm is what somebody does to the buckets of a running stage.
type harm struct {
	name    string
	buckets []string
	do      func(t *testing.T, ctx context.Context, js jetstream.JetStream, bucket string)
}

func deleteBucket(t *testing.T, ctx context.Context, js jetstream.JetStream, bucket string) {
	t.Helper()
	if err := js.DeleteKeyValue(ctx, bucket); err != nil {
		t.Errorf("delete bucket %s: %v", bucket, err)
	}
}

func purgeStream(t *testing.T, ctx context.Context, js jetstream.JetStream, bucket string) {
	t.Helper()
	s, err := js.Stream(ctx, "KV_"+bucket)
	if err == nil {
		err = s.Purge(ctx)
	}
	if err != nil {
		t.Errorf("purge bucket %s: %v", bucket, err)
	}
}

// keys does something to every key of a bucket.
func keys(f func(ctx context.Context, kv jetstream.KeyValue, key string) error) func(*testing.T, context.Context, jetstream.JetStream, string) {
	return func(t *testing.T, ctx context.Context, js jetstream.JetStream, bucket string) {
		t.Helper()
		kv, err := js.KeyValue(ctx, bucket)
		if err != nil {
			t.Fatal(err)
		}
		lister, err := kv.ListKeys(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for key := range lister.Keys() {
			if err := f(ctx, kv, key); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
}

var (
	all   = []string{bus.BucketMembers, bus.BucketLeases, bus.BucketCheckpoints}
	harms = func() []harm {
		ways := map[string]func(*testing.T, context.Context, jetstream.JetStream, string){
			"delete": deleteBucket, "purge": purgeStream,
			"delete keys": keys(func(ctx context.Context, kv jetstream.KeyValue, key string) error { return kv.Delete(ctx, key) }),
			"purge keys":  keys(func(ctx context.Context, kv jetstream.KeyValue, key string) error { return kv.Purge(ctx, key) }),
		}
		sets := map[string][]string{
			"members": all[:1], "leases": all[1:2], "checkpoints": all[2:], "everything": all,
		}
		var out []harm
		for way, do := range ways {
			for set, buckets := range sets {
				out = append(out, harm{name: way + " " + set, buckets: buckets, do: do})
			}
		}
		return out
	}()
)

// quiet is a telemetry of a test's own.
func quiet(t *testing.T) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// Whatever is deleted of what the instances of a stage keep, they go on with what they have in memory: each record
// counts once, and a new owner finds the state.
func TestBucketsLost(t *testing.T) {
	t.Parallel()
	for _, h := range harms {
		instances := 2
		if len(h.buckets) > 1 {
			instances = 1 // With two is in test/chaos.
		}
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			loseBuckets(t, h, instances)
		})
	}
}

func loseBuckets(t *testing.T, h harm, instances int) {
	const partitions, records, rounds = 4, 400, 6
	conn := connect(t, partitions)
	counts := newTally()
	counts.output = true
	options := stage.Options{Name: "lost", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, Factory: counts.factory, CheckpointInterval: time.Second}
	var stops []func()
	for range instances {
		own := options
		own.Telemetry = quiet(t)
		stops = append(stops, start(t, own))
	}
	publishNumbers(t, conn, records)
	eventually(t, 20*time.Second, "they read", func() bool { return counts.total() == records })
	eventually(t, 20*time.Second, "they share", func() bool { return shares(t, conn, "lost") == instances })
	if instances > 1 {
		settled(t, conn, "lost")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, bucket := range h.buckets {
		h.do(t, ctx, conn.JetStream(), bucket)
	}
	for k := range rounds {
		publishNumbers(t, conn, records)
		eventually(t, 30*time.Second, "they go on", func() bool { return counts.total() >= uint64((k+2)*records) })
		time.Sleep(300 * time.Millisecond)
	}
	eventually(t, 30*time.Second, "every partition has an owner and a state again", func() bool {
		asking, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		status, err := stage.Partitions(asking, conn, "lost")
		if err != nil {
			return false
		}
		for _, p := range status {
			if p.Owner == "" || !p.Alive || p.Checkpoint.IsZero() {
				return false
			}
		}
		return true
	})
	for _, stop := range stops {
		stop()
	}
	if got := counts.total(); got != (rounds+1)*records {
		t.Errorf("%d records are counted, want %d", got, (rounds+1)*records)
	}
	// Whoever comes next has the whole state.
	next := newTally()
	options.Factory = next.factory
	stop := start(t, options)
	publishNumbers(t, conn, partitions)
	eventually(t, 30*time.Second, "the next goes on", func() bool { return next.total() >= (rounds+1)*records+partitions })
	stop()
	if got := next.total(); got != (rounds+1)*records+partitions {
		t.Errorf("the next counts %d records, want %d", got, (rounds+1)*records+partitions)
	}
}

// settled waits until no partition of a stage was handed over for three heartbeats. On the way from one owner to the
// next the state of a partition is in its checkpoint alone: deleted then, it is gone, which is counted and not what
// is tested.
func settled(t *testing.T, conn *bus.Conn, name string) {
	t.Helper()
	var owners string
	var since time.Time
	eventually(t, 30*time.Second, "partitions stay where they are", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		partitions, err := stage.Partitions(ctx, conn, name)
		if err != nil {
			t.Fatal(err)
		}
		now := ""
		for _, p := range partitions {
			if p.Owner == "" || !p.Alive || p.Lag != 0 {
				owners = ""
				return false
			}
			now += fmt.Sprint(p.Owner, " ", p.Epoch, " ")
		}
		if now != owners {
			owners, since = now, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
}

// The input stream is deleted and made anew, with sequences from 1: what was processed stays counted, what comes
// after it counts once.
func TestStreamLost(t *testing.T) {
	t.Parallel()
	for _, instances := range []int{1, 2} {
		t.Run(strconv.Itoa(instances), func(t *testing.T) {
			t.Parallel()
			const partitions, records = 4, 400
			conn := connect(t, partitions)
			counts := newTally()
			options := stage.Options{Name: "lost", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, Factory: counts.factory}
			var stops []func()
			for range instances {
				stops = append(stops, start(t, options))
			}
			total := uint64(0)
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			for round := range 4 {
				// Fewer, as many and more than before: sequences of the new stream pass old positions.
				n := records * (1 + round%3)
				publishNumbers(t, conn, n)
				total += uint64(n)
				eventually(t, 30*time.Second, "they read all", func() bool { return counts.total() >= total })
				if err := conn.JetStream().DeleteStream(ctx, bus.StreamRaw); err != nil {
					t.Fatal(err)
				}
				if round%2 == 0 {
					if err := bus.EnsureStreams(ctx, conn, bus.StreamRaw); err != nil {
						t.Fatal(err)
					}
				}
			}
			publishNumbers(t, conn, records)
			total += records
			eventually(t, 30*time.Second, "they go on", func() bool { return counts.total() >= total })
			for _, stop := range stops {
				stop()
			}
			if got := counts.total(); got != total {
				t.Errorf("%d records are counted, want %d", got, total)
			}
		})
	}
}
