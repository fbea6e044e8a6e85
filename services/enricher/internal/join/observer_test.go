package join

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// witness writes down what an observer is told.
type witness struct {
	began    int64
	times    []int64
	sides    []millracev1.Side
	decision Decision
	state    uint64
	flows    []Flow
	ended    int // how often it was told to finish
}

func (w *witness) Begin(at int64)                    { w.began = at }
func (w *witness) Advance(now int64, _ stage.Output) { w.times = append(w.times, now) }

func (w *witness) Finish(stage.Output) { w.ended++ }
func (w *witness) Forget()             {}

func (w *witness) Observe(j *Joined) Decision {
	w.sides = append(w.sides, j.Exchange.Side)
	if !j.Again {
		w.state++
	}
	return w.decision
}

func (w *witness) ObserveFlow(f *Flow) { w.flows = append(w.flows, *f) }

func (w *witness) AppendSnapshot(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, w.state)
}

func (w *witness) Restore(snapshot []byte) error {
	if len(snapshot) != 8 {
		return errors.New("damaged")
	}
	w.state = binary.BigEndian.Uint64(snapshot)
	return nil
}

// observed gives settings with an observer, and the one that was made last.
func observed(decision Decision) (Settings, func() *witness) {
	var last *witness
	settings := defaults
	settings.Observer = func(int) Observer {
		last = &witness{decision: decision}
		return last
	}
	return settings, func() *witness { return last }
}

// An observer sees each exchange at its time, names the span, and its state is in the snapshot.
func TestObserver(t *testing.T) {
	t.Parallel()
	settings, last := observed(Decision{Route: "/a/:id"})
	settings.Partitions = 1
	p := New(0, settings, newCounters(t))
	out := &keep{}
	now := time.Unix(0, epoch)
	if err := p.Process(t.Context(), []stage.Record{pairAt(t, 1, now)}, out); err != nil {
		t.Fatal(err)
	}
	w := last()
	if w.began != epoch || !slices.Equal(w.times, []int64{epoch}) || len(w.sides) != 2 || out.spans != 2 {
		t.Errorf("%+v, %d spans", w, out.spans)
	}
	snapshot, err := p.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	restored := New(0, settings, newCounters(t))
	if err := restored.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	if last().state != 2 {
		t.Errorf("state %d is restored", last().state)
	}
	if err := New(0, settings, newCounters(t)).Restore(snapshot[:len(snapshot)-1]); err == nil {
		t.Error("a damaged state is taken")
	}
	// Snapshots of version 3 have no observer.
	if snapshot, err = p.snapshot(nil, 4); err != nil {
		t.Fatal(err)
	}
	snapshot[0] = 3
	if err := New(0, settings, newCounters(t)).Restore(snapshot[:len(snapshot)-8]); err != nil {
		t.Errorf("version 3: %v", err)
	}
}

// keep counts spans.
type keep struct{ spans int }

func (k *keep) Publish(_, _ string, data []byte) {
	var b batch
	if b.read(data, 3) {
		k.spans += len(b.records)
	}
}

// No span is made of what an observer drops.
func TestObserverDrops(t *testing.T) {
	t.Parallel()
	settings, last := observed(Decision{Drop: true})
	settings.Partitions = 1
	p, out := New(0, settings, newCounters(t)), &keep{}
	now := time.Unix(0, epoch)
	if err := p.Process(t.Context(), []stage.Record{pairAt(t, 1, now)}, out); err != nil {
		t.Fatal(err)
	}
	if err := p.Tick(t.Context(), now.Add(time.Second), out); err != nil {
		t.Fatal(err)
	}
	if out.spans != 0 || len(last().sides) != 2 || p.open.length != 0 {
		t.Errorf("%d spans, %d observed, %d open", out.spans, len(last().sides), p.open.length)
	}
}

// What is due between two ticks happens at its own time.
func TestObserverTimes(t *testing.T) {
	t.Parallel()
	settings, last := observed(Decision{})
	settings.Partitions = 1
	p, out := New(0, settings, newCounters(t)), &keep{}
	x := &millracev1.Exchange{Key: &millracev1.ExchangeKey{Flow: 5, Offset: 1}, Side: serverSide, Process: 1}
	data, err := (&millracev1.ExchangeBatch{Version: 1, Exchanges: []*millracev1.Exchange{x}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Process(t.Context(), []stage.Record{{Subject: "millrace.exchange.0", Time: time.Unix(0, epoch), Data: data}}, out); err != nil {
		t.Fatal(err)
	}
	if err := p.Tick(t.Context(), time.Unix(0, epoch).Add(time.Minute), out); err != nil {
		t.Fatal(err)
	}
	due := epoch + int64(settings.Hold)
	due += (slotWidth - due%slotWidth) % slotWidth
	if want := []int64{epoch, due, epoch + int64(time.Minute)}; !slices.Equal(last().times, want) {
		t.Errorf("told %v, want %v", last().times, want)
	}
}

// What waits for its other side when the stage ends goes out when the stages before have ended too, and not before;
// what was counted is published in both cases.
func TestFinish(t *testing.T) {
	t.Parallel()
	for _, final := range []bool{false, true} {
		settings, last := observed(Decision{})
		settings.Partitions = 1
		p, out := New(0, settings, newCounters(t)), &keep{}
		batch := &millracev1.ExchangeBatch{Version: 1}
		for n := range 5 {
			side := serverSide
			if n == 4 {
				side = clientSide
			}
			batch.Exchanges = append(batch.Exchanges, &millracev1.Exchange{
				Key: &millracev1.ExchangeKey{Flow: uint64(n + 1), Offset: 1}, Side: side, Process: 1,
			})
		}
		data, err := batch.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Process(t.Context(), []stage.Record{{Subject: "millrace.exchange.0", Time: time.Unix(0, epoch), Data: data}}, out); err != nil {
			t.Fatal(err)
		}
		if err := p.Finish(t.Context(), final, out); err != nil {
			t.Fatal(err)
		}
		want := 0
		if final {
			want = 5
		}
		if out.spans != want || last().ended != 1 {
			t.Errorf("final %v: %d spans, want %d; the observer was told %d times", final, out.spans, want, last().ended)
		}
		if err := p.Tick(t.Context(), time.Unix(0, epoch).Add(time.Minute), out); err != nil {
			t.Fatal(err)
		}
		if out.spans != 5 {
			t.Errorf("final %v: %d spans in the end", final, out.spans)
		}
	}
}
