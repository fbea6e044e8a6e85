package decoder_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// history is records with the times at which a stream stored them: mostly milliseconds apart, at times so far that
// waits end in between.
func history(r *rand.Rand) []stage.Record {
	traffic := crowd(r, 60)
	at := time.Unix(1_700_000_000, int64(r.IntN(1e9)))
	var records []stage.Record
	for events := traffic.Events; len(events) > 0; {
		n := min(len(events), 1+r.IntN(60))
		records = append(records, stage.Record{Time: at, Data: traffic.Batch(uint64(len(records)+1), events[:n])})
		events = events[n:]
		switch r.IntN(20) {
		case 0:
			at = at.Add(time.Duration(r.Int64N(int64(9 * time.Second))))
		case 1:
			at = at.Add(time.Duration(r.Int64N(int64(time.Second))))
		case 2:
			at = at.Add(-time.Millisecond) // by another server's clock
		default:
			at = at.Add(time.Duration(r.Int64N(int64(40 * time.Millisecond))))
		}
	}
	return records
}

// contents is what was published on each subject: exchanges and links in their order, whatever the batches that they
// came in.
func contents(t *testing.T, p *tape) map[string][]byte {
	t.Helper()
	bySubject := map[string][]byte{}
	for _, m := range p.messages {
		subject, data, _ := strings.Cut(m, " ")
		batch := &decodertest.Output{TB: t}
		batch.Publish(subject, "", []byte(data))
		for _, x := range batch.Exchanges {
			one, err := x.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			bySubject[subject] = append(bySubject[subject], one...)
		}
		for _, l := range batch.Links {
			one, err := l.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			bySubject[subject] = append(bySubject[subject], one...)
		}
	}
	return bySubject
}

// TestTimeIsInTheLog: what comes out is a function of the records and the times at which they were stored. It does not
// matter how many of them come in a call, how often and with which times in between Tick is called, nor where a
// snapshot is gone on from.
func TestTimeIsInTheLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 2))
			records := history(r)
			end := slices.MaxFunc(records, func(a, b stage.Record) int { return a.Time.Compare(b.Time) }).Time.Add(time.Minute)
			straight := replay(t, records, end, nil)
			if len(straight) < 4 {
				t.Fatalf("only %d subjects", len(straight))
			}
			for range 12 {
				other := replay(t, records, end, r)
				for subject, want := range straight {
					if !bytes.Equal(other[subject], want) {
						t.Fatalf("%s: %d bytes instead of %d, or others", subject, len(other[subject]), len(want))
					}
				}
			}
		})
	}
}

// replay hands records in: one by one and with the time told at the end alone, or cut into calls, with ticks and
// restarts, as r has it.
func replay(t *testing.T, records []stage.Record, end time.Time, r *rand.Rand) map[string][]byte {
	t.Helper()
	ctx, out := context.Background(), &tape{}
	p := decoder.New(decoder.Options{Partitions: 4})
	told := time.Time{}
	tick := func(now time.Time) {
		if now.After(told) {
			told = now
		}
		if err := p.Tick(ctx, told, out); err != nil {
			t.Fatal(err)
		}
	}
	for len(records) > 0 {
		n := 1
		if r != nil {
			n = 1 + r.IntN(min(8, len(records)))
		}
		if err := p.Process(ctx, records[:n], out); err != nil {
			t.Fatal(err)
		}
		last := records[n-1].Time
		if records = records[n:]; r == nil {
			continue
		}
		next := end
		for _, later := range records { // no mark is behind a record that is still to come
			next = slices.MinFunc([]time.Time{next, later.Time}, time.Time.Compare)
		}
		for range r.IntN(4) {
			last = last.Add(time.Duration(r.Int64N(1 + max(0, int64(next.Sub(last))))))
			for range 1 + r.IntN(5) { // the time of the stream stands still, and that of the process does not
				tick(last)
			}
		}
		if r.IntN(10) == 0 {
			p = restarted(t, p)
		}
	}
	tick(end)
	return contents(t, out)
}

// restarted is a processor that goes on where p is.
func restarted(t *testing.T, p stage.Processor) stage.Processor {
	t.Helper()
	snapshot, err := p.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	next := decoder.New(decoder.Options{Partitions: 4})
	if err := next.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	return next
}

// TestSilence: hours in which the stream tells no time pass at once, and to the same effect.
func TestSilence(t *testing.T) {
	t.Parallel()
	records := history(rand.New(rand.NewPCG(1, 3)))
	half := len(records) / 2
	silent := slices.Clone(records)
	for i := range silent[half:] {
		silent[half+i].Time = silent[half+i].Time.Add(30 * 24 * time.Hour)
	}
	end := silent[len(silent)-1].Time.Add(time.Minute)
	want := replay(t, silent, end, nil)
	p, out := decoder.New(decoder.Options{Partitions: 4}), &tape{}
	process := func(records []stage.Record) {
		t.Helper()
		if err := p.Process(context.Background(), records, out); err != nil {
			t.Fatal(err)
		}
	}
	process(silent[:half])
	for at := silent[half-1].Time; at.Before(silent[half].Time); at = at.Add(7777 * time.Millisecond) {
		if err := p.Tick(context.Background(), at, out); err != nil {
			t.Fatal(err)
		}
	}
	process(silent[half:])
	if err := p.Tick(context.Background(), end, out); err != nil {
		t.Fatal(err)
	}
	got := contents(t, out)
	for subject := range want {
		if !bytes.Equal(got[subject], want[subject]) {
			t.Errorf("%s: %d bytes instead of %d, or others", subject, len(got[subject]), len(want[subject]))
		}
	}
}
