package join

import (
	"context"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// collect counts the messages of spans.
type collect struct{ messages, spans int }

func (c *collect) Publish(_, _ string, data []byte) {
	var b batch
	if b.read(data, 3) {
		c.messages++
		c.spans += len(b.records)
	}
}

// pairAt is a record with both sides of an exchange that was stored at a time.
func pairAt(t *testing.T, offset uint64, at time.Time) stage.Record {
	t.Helper()
	b := &millracev1.ExchangeBatch{Version: 1, Processes: []*millracev1.Process{{Id: 1, RuleServiceName: "shop"}}}
	for _, side := range []millracev1.Side{clientSide, serverSide} {
		b.Exchanges = append(b.Exchanges, &millracev1.Exchange{Key: &millracev1.ExchangeKey{Flow: 5, Offset: offset}, Side: side, Process: 1})
	}
	data, err := b.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Subject: bus.ExchangeSubject(0), Time: at, Data: data}
}

// The first spans after a pause go out at once, those that follow are gathered until the next tick, and a snapshot has
// them.
func TestGather(t *testing.T) {
	t.Parallel()
	settings := defaults
	settings.Partitions = 1
	counters := newCounters(t)
	p, out := New(0, settings, counters), &collect{}
	now := time.Unix(0, epoch)
	for i := range uint64(10) {
		if err := p.Process(context.Background(), []stage.Record{pairAt(t, i, now)}, out); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Millisecond)
	}
	if *out != (collect{1, 2}) {
		t.Errorf("%+v before the tick, want the first message only", *out)
	}
	snapshot, err := p.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Partition{"live": p, "restored": New(0, settings, counters)} {
		if name == "restored" {
			if err := p.Restore(snapshot); err != nil {
				t.Fatal(err)
			}
		}
		out := &collect{}
		if err := p.Tick(context.Background(), now, out); err != nil {
			t.Fatal(err)
		}
		if *out != (collect{1, 18}) {
			t.Errorf("%s: %+v at the tick, want all others in one message", name, *out)
		}
	}
	// Snapshots of version 1 ended before the spans, those of version 2 before the clock and the progress.
	if snapshot, err = p.snapshot(nil, 4); err != nil {
		t.Fatal(err)
	}
	for version, end := range map[byte]int{1: 3 + settings.Partitions, 2: 2 + settings.Partitions} {
		snapshot[0] = version
		if err := New(0, settings, counters).Restore(snapshot[:len(snapshot)-end]); err != nil {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
