package stage_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// anonymous is [ordinal] with outputs that have no ids: what is processed twice is stored twice.
type anonymous struct{ ordinal }

func (c *anonymous) Process(ctx context.Context, records []stage.Record, out stage.Output) error {
	return c.ordinal.Process(ctx, records, withoutIDs{out})
}

type withoutIDs struct{ stage.Output }

func (o withoutIDs) Publish(subject, _ string, data []byte) { o.Output.Publish(subject, "", data) }

// anonymousFactory makes processors of the process that runs as "anonymous".
func anonymousFactory(p int) (stage.Processor, error) {
	return &anonymous{ordinal{partition: p}}, nil
}

// counted is a load whose extent is known: record n of a partition is the number n.
type counted struct {
	conn   *bus.Conn
	counts [crashPartitions]uint64
}

// publish stores the next n records of every partition.
func (c *counted) publish(t *testing.T, n int) {
	t.Helper()
	for range n {
		for p := range c.counts {
			c.counts[p]++
			if _, err := c.conn.Publish(t.Context(), rawSubjects(p)[0], "", strconv.AppendUint(nil, c.counts[p], 10)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// load publishes 800 records a second for d.
func (c *counted) load(t *testing.T, d time.Duration) {
	t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		c.publish(t, 1)
	}
}

// check compares the outputs with the truth. Extra ones must repeat what is there; how many there are is the result.
func (c *counted) check(t *testing.T, stream jetstream.Stream) (extra int) {
	t.Helper()
	if err := c.conn.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var sums [crashPartitions][]uint64
	total := 0
	for p, n := range c.counts {
		sum := uint64(0)
		for k := uint64(1); k <= n; k++ {
			sum = sum*31 + k
			sums[p] = append(sums[p], sum)
		}
		total += int(n)
	}
	for quiet := 0; quiet < 2 && (len(found) < total || quiet == 0); {
		batch, err := consumer.Fetch(1000, jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for msg := range batch.Messages() {
			n++
			var p int
			if _, err := fmt.Sscanf(msg.Subject(), "millrace.span.%d.", &p); err != nil {
				t.Fatalf("output on %s: %v", msg.Subject(), err)
			}
			count, sum := binary.BigEndian.Uint64(msg.Data()), binary.BigEndian.Uint64(msg.Data()[8:])
			if count < 1 || count > c.counts[p] || sums[p][count-1] != sum {
				t.Fatalf("partition %d: output %d with sum %d", p, count, sum)
			}
			key := fmt.Sprint(p, ".", count)
			if found[key] {
				extra++
			}
			found[key] = true
		}
		if n == 0 {
			quiet++
		}
	}
	if len(found) != total {
		t.Errorf("outputs of %d records, want %d", len(found), total)
	}
	return extra
}

// TestStop stops the process of an instance for longer than its leases last. With no other instance it goes on with its
// state, and nothing is processed twice; with another that one takes over.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, rival := range []bool{false, true} {
		t.Run("rival "+strconv.FormatBool(rival), func(t *testing.T) {
			t.Parallel()
			_, line := launch(t, "server", "")
			url := line()
			cfg := crashConfig()
			cfg.URL = url
			conn, err := bus.Connect(t.Context(), cfg, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := bus.EnsureStreams(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
			outputs, err := conn.JetStream().Stream(t.Context(), bus.StreamSpan)
			if err != nil {
				t.Fatal(err)
			}
			owners := func() map[string]int {
				status, err := stage.Partitions(t.Context(), conn, "ordinal")
				if err != nil {
					t.Fatal(err)
				}
				owners := map[string]int{}
				for _, s := range status {
					if !s.Checkpoint.IsZero() {
						owners[s.Owner]++
					}
				}
				return owners
			}
			load := counted{conn: conn}
			load.publish(t, 1)
			first, _ := launch(t, "anonymous", url)
			eventually(t, 15*time.Second, "the first instance owns everything", func() bool {
				load.load(t, 100*time.Millisecond)
				o := owners()
				return len(o) == 1 && o[""] == 0
			})
			before := owners()
			load.load(t, time.Second)
			signal := func(s os.Signal) {
				if err := first.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			if rival {
				launch(t, "anonymous", url)
				eventually(t, 15*time.Second, "both own half", func() bool {
					load.load(t, 100*time.Millisecond)
					return len(owners()) == 2
				})
			}
			signal(syscall.SIGSTOP)
			load.load(t, 6*time.Second)
			during := owners()
			signal(syscall.SIGCONT)
			load.load(t, 2*time.Second)
			extra := load.check(t, outputs)
			t.Logf("%v, stopped %v, %d records each, %d outputs twice", before, during, load.counts[0], extra)
			switch {
			case !rival && extra != 0:
				t.Errorf("%d records were processed twice", extra)
			case rival && during[only(before)] != 0:
				t.Errorf("the other instance has not taken everything: %v", during)
			}
		})
	}
}

// only gives the one key of a map.
func only(m map[string]int) string {
	for k := range m {
		return k
	}
	return ""
}
