package stage

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// transcript writes down what it is told.
type transcript struct{ lines []string }

func (c *transcript) Process(_ context.Context, records []Record, out Output) error {
	line := "records"
	for _, r := range records {
		line += " " + strconv.FormatUint(r.Sequence, 10)
		out.Publish("", "", nil)
	}
	c.lines = append(c.lines, line)
	return nil
}

func (c *transcript) Tick(_ context.Context, now time.Time, _ Output) error {
	c.lines = append(c.lines, "tick "+strconv.FormatInt(now.UnixMilli(), 10))
	return nil
}

func (c *transcript) Snapshot(dst []byte) ([]byte, error) {
	return append(dst, byte(len(c.lines))), nil
}
func (c *transcript) Restore([]byte) error { return nil }

type handSink struct{ published, acked uint64 }

func (o *handSink) Publish(string, string, []byte) { o.published++ }
func (o *handSink) issued() uint64                 { return o.published }
func (o *handSink) settled() (uint64, error)       { return o.acked, nil }
func at(sequence uint64, milliseconds int64) Record {
	return Record{Subject: "record", Sequence: sequence, Time: time.UnixMilli(milliseconds)}
}

func markAt(sequence uint64, milliseconds int64) Record {
	return Record{Subject: "mark", Sequence: sequence, Time: time.UnixMilli(milliseconds)}
}

func TestSessionTellsStreamTime(t *testing.T) {
	t.Parallel()
	c, sink, valid := &transcript{}, &handSink{}, true
	s := &session{
		processor: c, out: sink, enter: func() context.Context {
			if valid {
				return t.Context()
			}
			return nil
		}, tickEvery: 100 * time.Millisecond, interval: time.Second, marks: "mark",
		told: time.UnixMilli(1000), position: 2, saved: 2,
	}
	// A backlog: 2 was handed in before; the time is given where records are 100 ms apart; the time of a record that is
	// older than what was told (another server's clock) does not go back.
	err := s.deliver([]Record{at(2, 1000), at(3, 1050), at(5, 1099), at(6, 1100), at(9, 1050), at(10, 5000)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tick(time.UnixMilli(4000)); err != nil {
		t.Fatal(err)
	}
	want := []string{"records 3 5", "tick 1100", "records 6 9", "tick 5000", "records 10", "tick 5000"}
	if !reflect.DeepEqual(c.lines, want) || s.position != 10 || s.duplicates != 1 {
		t.Errorf("%q, position %d, %d duplicates", c.lines, s.position, s.duplicates)
	}
	// A checkpoint waits for the outputs before it, not for those after it.
	if err := s.prepare(0, false); err != nil || s.pending == nil {
		t.Fatalf("not prepared: %v", err)
	}
	if err := s.deliver([]Record{at(11, 5001)}); err != nil {
		t.Fatal(err)
	}
	sink.acked = 4
	if p, err := s.ready(); p != nil || err != nil {
		t.Errorf("ready with an output missing: %v", err)
	}
	sink.acked = 5
	p, err := s.ready()
	if p == nil || err != nil || p.position != 10 {
		t.Fatalf("not ready: %+v, %v", p, err)
	}
	s.stored()
	if !s.dirty() || s.prepare(time.Millisecond, false) != nil || s.pending != nil {
		t.Error("the next checkpoint is not due yet, but wanted")
	}
	valid = false
	if err := s.deliver([]Record{at(12, 5002)}); !errors.Is(err, errLapsed) || s.position != 11 {
		t.Errorf("after the lease: %v, position %d", err, s.position)
	}
	if err := s.prepare(time.Hour, true); !errors.Is(err, errLapsed) {
		t.Errorf("snapshot after the lease: %v", err)
	}
}

// Marks tell their time in order with the records and are no records. They alone make no checkpoint, unless there are
// many of them or the partition is handed over.
func TestSessionMarks(t *testing.T) {
	t.Parallel()
	c := &transcript{}
	s := &session{
		processor: c, out: &handSink{}, enter: t.Context, tickEvery: 100 * time.Millisecond, interval: time.Second, marks: "mark",
		told: time.UnixMilli(1000), savedTold: time.UnixMilli(1000), position: 2, changed: 2, saved: 2,
	}
	err := s.deliver([]Record{markAt(1, 900), markAt(3, 1010), markAt(4, 1500)})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"tick 1010", "tick 1500"}
	if !reflect.DeepEqual(c.lines, want) || s.position != 4 {
		t.Errorf("%q, position %d", c.lines, s.position)
	}
	if s.unsaved(false) || !s.unsaved(true) {
		t.Errorf("after marks: unsaved %v, at a hand-over %v", s.unsaved(false), s.unsaved(true))
	}
	if err := s.deliver([]Record{markAt(5, 1000+markRun.Milliseconds())}); err != nil || !s.unsaved(false) {
		t.Errorf("after %v of marks: unsaved %v, %v", markRun, s.unsaved(false), err)
	}
	// Another server's clock: the time does not go back.
	c.lines = nil
	err = s.deliver([]Record{at(6, 400_000), at(7, 400_010), markAt(8, 400_020), at(9, 400_030), markAt(10, 300_000), at(11, 400_040)})
	if err != nil {
		t.Fatal(err)
	}
	want = []string{"tick 400000", "records 6 7", "tick 400020", "records 9", "tick 400020", "records 11"}
	if !reflect.DeepEqual(c.lines, want) || s.position != 11 || s.changed != 11 {
		t.Errorf("%q, position %d, changed %d", c.lines, s.position, s.changed)
	}
}

// sending is a processor that sends something at every tick.
type sending struct {
	transcript
	sent bool
}

func (s *sending) Tick(ctx context.Context, now time.Time, out Output) error {
	s.sent = true
	return s.transcript.Tick(ctx, now, out)
}

func (s *sending) Snapshot(dst []byte) ([]byte, error) {
	s.sent = false
	return s.transcript.Snapshot(dst)
}

func (s *sending) Sent() bool { return s.sent }

// What was sent because time passed is in the checkpoint of a hand-over, and makes none before.
func TestSessionSavesWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		processor Processor
		handOver  bool
		want      bool
	}{{&sending{}, true, true}, {&sending{}, false, false}, {&transcript{}, true, false}} {
		s := &session{processor: c.processor, out: &handSink{}, enter: t.Context, position: 2, saved: 2}
		if err := s.tick(time.UnixMilli(1000)); err != nil {
			t.Fatal(err)
		}
		if err := s.prepare(time.Hour, c.handOver); err != nil || (s.pending != nil) != c.want {
			t.Errorf("%T, hand-over %v: a snapshot %v, %v", c.processor, c.handOver, s.pending != nil, err)
		}
		if c.want && s.unsaved(true) {
			t.Errorf("%T: unsaved after a snapshot", c.processor)
		}
	}
}
