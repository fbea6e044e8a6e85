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
}

// Output takes what a processor emits. It is not safe for concurrent use; the stage gives each call of the processor one.
type Output interface {
	// Publish queues data for subject. The stage owns data from then on. The message is stored before the checkpoint that
	// covers the record that caused it. id identifies the message's content: a message published twice under one id within
	// the stream's duplicate window is stored once. An empty id means that readers drop duplicates by the records' own keys.
	Publish(subject, id string, data []byte)
}

// Processor is the pure part of a stage: state of one partition and what to do with records. It knows nothing of NATS. The stage
// never calls one processor concurrently; several processors (of several partitions) run in parallel.
type Processor interface {
	// Process handles records in stream order. Malformed records are counted and skipped by the processor; an error means
	// that the processor cannot go on, and that the records will be handed in again after a pause. Process may block, for
	// example on a backend that is away: the stage then shows lag, not memory. It must return when ctx ends.
	Process(ctx context.Context, records []Record, out Output) error
	// Tick tells the time. It is called about every 100 ms, also without records.
	Tick(ctx context.Context, now time.Time, out Output) error
	// Snapshot appends the state to dst. The bytes begin with a version.
	Snapshot(dst []byte) ([]byte, error)
	// Restore replaces the state by that of a snapshot. An unknown version or damaged bytes are an error that says so.
	Restore(snapshot []byte) error
}

// Factory makes the processor of a partition with empty state.
type Factory func(partition int) (Processor, error)
