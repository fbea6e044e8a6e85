package stage_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// An instance tells how far its partitions are: never past a record that is not processed and whose outputs are not
// stored.
func TestProgress(t *testing.T) {
	t.Parallel()
	conn := connect(t, 2)
	var mu sync.Mutex
	told := map[int]time.Time{}
	blocked, release := make(chan struct{}), make(chan struct{})
	tally := newTally()
	tally.fail = func(p int, records []stage.Record) error {
		if p == 1 && string(records[0].Data) == "2" {
			close(blocked)
			<-release
		}
		return nil
	}
	start(t, stage.Options{
		Name: "telling", Stream: bus.StreamRaw, Subjects: rawSubjects, Factory: tally.factory, Bus: conn,
		Progress: func(partitions []stage.Progress) (string, []byte) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range partitions {
				if p.Time.Before(told[p.Partition]) {
					t.Errorf("partition %d went back from %v to %v", p.Partition, told[p.Partition], p.Time)
				}
				told[p.Partition] = p.Time
			}
			return bus.ProgressSubject, []byte{1}
		},
	})
	publish := func(p, n int) time.Time {
		f, err := conn.Publish(context.Background(), rawSubjects(p)[0], "", []byte(strconv.Itoa(n)))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	at := func(p int) time.Time {
		mu.Lock()
		defer mu.Unlock()
		return told[p]
	}
	first := max(publish(0, 1).UnixNano(), publish(1, 1).UnixNano())
	for p := range 2 {
		eventually(t, 20*time.Second, "progress passes the first record", func() bool { return at(p).UnixNano() > first })
	}
	second := publish(1, 2)
	<-blocked
	other := publish(0, 2)
	eventually(t, 20*time.Second, "the partition that is not blocked goes on", func() bool { return at(0).After(other) })
	if stands := at(1); stands.After(second) {
		t.Errorf("told %v, %v after a record that is being processed", stands, stands.Sub(second))
	}
	close(release)
	eventually(t, 20*time.Second, "progress passes what was blocked", func() bool { return at(1).After(second) })
	stream, err := conn.JetStream().Stream(t.Context(), bus.StreamExchange)
	if err != nil {
		t.Fatal(err)
	}
	if stream.CachedInfo().State.Msgs == 0 {
		t.Error("nothing was published")
	}
}
