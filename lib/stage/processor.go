package stage

import (
	"context"
	"time"
)

// Record is one message of the input stream.
type Record struct {
	// Subject the message was published on.
	Subject string
	// Sequence of the message in its stream.
	Sequence uint64
	// Time at which the stream stored the message.
	Time time.Time
	// Data is the decompressed message. It is valid only until Process returns; a processor copies what it keeps.
	Data []byte

	// unknown is why there is no Data: it has an encoding that is not known.
	unknown error
}

// Output takes what a processor emits. It is not safe for concurrent use; the stage gives each call of the processor
// one.
type Output interface {
	// Publish queues data for subject; it copies data, which is the processor's again when it returns. The message is
	// stored before the checkpoint that covers the record that caused it. id identifies the message's content: a
	// message published twice under one id within the stream's duplicate window is stored once. An empty id means that
	// readers drop duplicates by the records' own keys.
	Publish(subject, id string, data []byte)
}

// Processor is the pure part of a stage: state of one partition and what to do with records. It knows nothing of NATS.
// The stage never calls one processor concurrently; several processors (of several partitions) run in parallel. After
// an error of Process, Tick or Snapshot, or a panic, the processor is discarded, and a new one is restored from the
// last checkpoint that was written and gets the records after it again. A processor that is an io.Closer is closed when
// it is discarded.
type Processor interface {
	// Process handles records in stream order. Malformed records are counted and skipped by the processor. An error, or
	// a panic, while ctx has not ended, means that it cannot handle these records: they are handed in again after a
	// pause, then one by one, and one at which it fails three times more is skipped for good. So Process blocks on what
	// is away outside, for example a backend: the stage then shows lag, not memory. It must return when ctx ends.
	Process(ctx context.Context, records []Record, out Output) error
	// Tick tells the stream's time, which never goes back: that of the next record before it is handed in when it was
	// stored 100 ms or more after the time told last, and that of marks, which instances put into the stream while they
	// wait for records (four or five a second, one a second when there was nothing for ten). No record that was stored
	// before comes after it. A processor that works off a backlog is so told the time at which records came, not at
	// which it gets to them, and waits that it measures by now end at the same record in a replay. Local clocks do not
	// matter. It is also called about every 100 ms without a new time (every 500 ms when there was nothing for ten
	// seconds), for what is not to wait longer in this process.
	Tick(ctx context.Context, now time.Time, out Output) error
	// Snapshot appends the state to dst. The bytes begin with a version.
	Snapshot(dst []byte) ([]byte, error)
	// Restore replaces the state by that of a snapshot. An unknown version or damaged bytes are an error that says so.
	Restore(snapshot []byte) error
}

// Follower is what a [Processor] may be besides: one whose state others look at from outside, for example a scrape.
// After a takeover the state is at first that of the checkpoint, older than what the predecessor has shown.
type Follower interface {
	// CaughtUp is called once per processor, when nothing was left to read for the first time: the state then has
	// everything that any earlier owner can have processed. It is called between other calls of the processor, never
	// concurrently with them.
	//
	// owned reports whether the instance still owns the partition, by the rule that a processor is called and outputs
	// are published (guarantee 4): while it is true nobody else shows this partition. It is quick and safe for
	// concurrent use, also after the processor was discarded; it may become true again after a lapse without a rival.
	CaughtUp(owned func() bool)
}

// Sender is what a [Processor] may be besides: one that sends something out of Millrace when time passes, without a
// record. A checkpoint is not made for that, since a replay comes to the same, but a partition that is handed over
// should not send it again.
type Sender interface {
	// Sent reports whether anything was sent since the newest snapshot was taken or restored. It is called between
	// other calls of the processor, never concurrently with them.
	Sent() bool
}

// Finisher is what a [Processor] may be besides: one that holds back until a time comes what it could put out now.
type Finisher interface {
	// Finish is called when the stage ends, at a place in the stream that is the same in every replay: what was added
	// up is to be put out, since nobody may be there when its time comes. final says that the stages before have
	// ended as well, so that what waits for them waits in vain. More records may follow all the same, when the stage
	// is started again: then they are processed with the state that Finish has left. It may block, and fail, as
	// Process may.
	Finish(ctx context.Context, final bool, out Output) error
}

// Forgetter is what a [Processor] may be besides: one that numbers its outputs, or remembers in another way what it
// has put out.
type Forgetter interface {
	// Forget is called on a processor that was restored when the records after its snapshot are gone, because the
	// stream was made anew: a predecessor may have processed them and put out what follows from them, which nobody
	// will do again. What the snapshot has that may have been put out since must not be put out again, nor under
	// numbers that were used.
	Forget()
}

// Watermarker is what a [Processor] may be besides: one whose records tell of things that happened before they were
// stored, and that knows how far back some may still come. It lowers the time that [Progress] tells.
type Watermarker interface {
	// Watermark gives the time before which everything that happened has been processed, given that every record that was
	// stored before read was: at most read. The time that a processor gets does not go back when it does. It is called
	// between other calls of the processor, never concurrently with them.
	Watermark(read time.Time) time.Time
	// Witness gives the time before which everything that happened is stored, as far as this partition alone was told;
	// zero if it was told nothing. See [Options.Watermarks].
	Witness() time.Time
}

// Factory makes the processor of a partition with empty state.
type Factory func(partition int) (Processor, error)
