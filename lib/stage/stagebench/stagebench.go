package stagebench

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sys/unix"

	"millrace.dev/lib/stage"
)

const (
	// tick is how often processors get the time, see [stage.Processor].
	tick = 100 * time.Millisecond
	// checkpoints is the default of [stage.Options.CheckpointInterval].
	checkpoints = 5 * time.Second
	// round is the stream time of one iteration, unless the load says otherwise.
	round = 10 * time.Second
	// rate is how many items come per second of the stream's time.
	rate = 10_000
)

// epoch is when the stream begins.
var epoch = time.Unix(1_800_000_000, 0)

// Load is what one partition reads.
type Load struct {
	// Next makes what comes in one call of Process, stored at the given time, and says how many items are in it:
	// exchanges, spans, deltas. The data is not changed afterwards. It is called outside of the clock, many times
	// before the first record is processed.
	Next func(at time.Time) (records []stage.Record, items int)
	// Warm is the stream time that passes before anything is measured, so that state is what it is in the long run.
	Warm time.Duration
	// Checkpoints is the stream time between them; 5 s if zero.
	Checkpoints time.Duration
	// Round is the stream time of one iteration; 10 s if zero.
	Round time.Duration
	// Sent is how many bytes went somewhere else than to the output since the beginning; nil if none do.
	Sent func() int
}

// call is the input of a call of Process.
type call struct {
	at      time.Time
	records []stage.Record
}

// counting is an output that nobody reads.
type counting struct{ bytes int }

// Publish implements [stage.Output].
func (c *counting) Publish(_, _ string, data []byte) { c.bytes += len(data) }

// driver hands records to a processor.
type driver struct {
	b         *testing.B
	processor stage.Processor
	load      Load
	out       counting

	now, told, saved time.Time
	snapshot, stored []byte
	// What was spent on checkpoints, and on all.
	checkpointing, spent time.Duration
	// least is the smallest CPU time of an item in a round, in seconds: what else the machine does only adds to it.
	least              float64
	allocations, bytes uint64
	in, items, sent    int
}

// Run measures a processor under a load of 10,000 items per second of the stream's time. It reports, of the CPU of the
// process and therefore with the collection of garbage:
//
//   - items/cpu-s: items per second of CPU, in the cheapest iteration, which other work on the machine has
//     disturbed least
//   - in-MB/cpu-s: millions of bytes of decompressed input per second of CPU, in the same
//   - in-B/item, out-B/item: bytes of input, decompressed, and of what is published before compression or sent
//   - allocs/item, alloc-B/item: allocations, and their bytes
//   - checkpoint-%: the part of the CPU that snapshots and their compression take
//   - checkpoint-B: size of the last checkpoint, compressed
func Run(b *testing.B, p stage.Processor, load Load) {
	if load.Checkpoints == 0 {
		load.Checkpoints = checkpoints
	}
	if load.Round == 0 {
		load.Round = round
	}
	if load.Sent == nil {
		load.Sent = func() int { return 0 }
	}
	d := &driver{b: b, processor: p, load: load, now: epoch, told: epoch, saved: epoch}
	for d.now.Before(epoch.Add(load.Warm)) {
		d.play(d.make(min(load.Round, load.Warm)))
	}
	d.checkpointing, d.spent, d.least, d.allocations, d.bytes, d.in, d.items, d.out.bytes = 0, 0, 0, 0, 0, 0, 0, 0
	d.sent = load.Sent()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		items, spent := d.items, d.spent
		calls := d.make(load.Round)
		b.StartTimer()
		d.play(calls)
		if each := (d.spent - spent).Seconds() / float64(d.items-items); d.least == 0 || each < d.least {
			d.least = each
		}
	}
	items := float64(d.items)
	b.ReportMetric(0, "ns/op") // An iteration is a round: it says nothing.
	b.ReportMetric(1/d.least, "items/cpu-s")
	b.ReportMetric(float64(d.in)/items/1e6/d.least, "in-MB/cpu-s")
	b.ReportMetric(float64(d.in)/items, "in-B/item")
	b.ReportMetric(float64(d.out.bytes+load.Sent()-d.sent)/items, "out-B/item")
	b.ReportMetric(float64(d.allocations)/items, "allocs/item")
	b.ReportMetric(float64(d.bytes)/items, "alloc-B/item")
	b.ReportMetric(100*d.checkpointing.Seconds()/d.spent.Seconds(), "checkpoint-%")
	b.ReportMetric(float64(len(d.stored)), "checkpoint-B")
}

// make makes the input of some stream time, and removes what was left over by making it.
func (d *driver) make(span time.Duration) (calls []call) {
	for end := d.now.Add(span); d.now.Before(end); {
		records, items := d.load.Next(d.now)
		for i := range records {
			records[i].Time = d.now
			d.in += len(records[i].Data)
		}
		calls = append(calls, call{d.now, records})
		d.items += items
		d.now = d.now.Add(time.Duration(items) * time.Second / rate)
	}
	runtime.GC()
	return calls
}

// play processes what was made.
func (d *driver) play(calls []call) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu(d.b)
	for _, c := range calls {
		if !c.at.Before(d.told.Add(tick)) {
			d.told = c.at
			if err := d.processor.Tick(context.Background(), c.at, &d.out); err != nil {
				d.b.Fatal(err)
			}
		}
		if err := d.processor.Process(context.Background(), c.records, &d.out); err != nil {
			d.b.Fatal(err)
		}
		if !c.at.Before(d.saved.Add(d.load.Checkpoints)) {
			d.saved = c.at
			d.checkpoint()
		}
	}
	d.spent += cpu(d.b) - began
	runtime.ReadMemStats(&after)
	d.allocations += after.Mallocs - before.Mallocs
	d.bytes += after.TotalAlloc - before.TotalAlloc
}

func (d *driver) checkpoint() {
	began := cpu(d.b)
	var err error
	if d.snapshot, err = d.processor.Snapshot(d.snapshot[:0]); err != nil {
		d.b.Fatal(err)
	}
	d.stored = s2.Encode(nil, d.snapshot) // The runtime keeps no buffer for this either.
	d.checkpointing += cpu(d.b) - began
}

// cpu is the processor time that the process has used: unlike the clock, it tells little of what else the machine does.
func cpu(b *testing.B) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
}
