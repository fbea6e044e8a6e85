package stage

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/telemetry"
)

// Options of a stage. Zero values of everything below Bus stand for defaults.
type Options struct {
	// Name of the stage, for example "decoder": letters, digits, '-' and '_'. Instances of one name share the
	// partitions. It is part of keys in the buckets, and a label of metrics.
	Name string
	// Stream to read.
	Stream string
	// Subjects of the stream that make up a partition.
	Subjects func(partition int) []string
	// Factory of processors.
	Factory Factory
	// Bus to read from and to publish to. It must outlive Run.
	Bus *bus.Conn

	// Progress, if not nil, makes the message that tells readers of the outputs how far this instance's partitions are.
	// It is published four times a second.
	Progress func(partitions []Progress) (subject string, data []byte)
	// Watermarks, if not nil, makes the message that tells every partition of the input stream what those of this
	// instance witness, see [Watermarker]; a zero time stands for nothing. It goes to the input stream as often, as
	// long as there is something to tell, and may get lost.
	Watermarks func(partitions []Progress) (subject string, data []byte)

	// HighestVersion is the highest version of records that processors read: field 1 of their protobuf messages. A
	// partition is left at a record with a higher one, or with an encoding that is not known, so that an instance of a
	// newer release goes on there. 0: versions are not looked at.
	HighestVersion uint32

	// Telemetry for metrics, log and readiness (component Name). Nil: none.
	Telemetry *telemetry.Telemetry
	// Partitions of the stream. Default: those of Bus.
	Partitions int
	// TickInterval is how often [Processor.Tick] is called, and how far records may be apart that are handed in without
	// a Tick in between. Default 100 ms.
	TickInterval time.Duration
	// CheckpointInterval is the longest time between checkpoints of a partition in which something happens, and so how
	// much a crash replays. Default 5 s.
	CheckpointInterval time.Duration
	// HeartbeatInterval is how often an instance announces itself. Default 1 s.
	HeartbeatInterval time.Duration
	// LeaseTTL is how long after its last heartbeat an instance's partitions may be taken by others, at least three
	// heartbeat intervals. The owner itself stops a fifth of it earlier. Default 4 s. All instances of a stage must
	// have the same.
	LeaseTTL time.Duration
	// PrefetchBytes bounds what one pull request brings for one partition, compressed; at most two are in memory, one
	// being processed and one arriving. Never less than the server's max_payload. Default 2 MiB.
	PrefetchBytes int
	// PrefetchRecords bounds the same in records, and the records handed to Process at once. Default 1024.
	PrefetchRecords int
	// MaxRecordBytes bounds one record, decompressed; a larger one is counted as unreadable. Default 32 MiB.
	MaxRecordBytes int
	// MaxSnapshotBytes bounds a snapshot before compression; a larger one is not written. Default 64 MiB.
	MaxSnapshotBytes int
	// Upstream names the stages whose outputs this one reads. When Run's context ends and no other instance goes on,
	// Run reads what is in the stream before it hands its partitions over, and puts a closing mark behind it, see
	// [Finisher]. Instances of these stages that are stopping at the same time are waited for.
	Upstream []string
	// Linger is how long Run goes on at least when its context has ended, so that the signals to stop may reach the
	// services of a machine one after the other. Default 0.
	Linger time.Duration
	// CloseTimeout bounds all of that. Default 8 s.
	CloseTimeout time.Duration
	// ShutdownTimeout bounds how long Run hands over its partitions after that. Default 8 s.
	ShutdownTimeout time.Duration
}

var stageName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (o *Options) complete() error {
	switch {
	case !stageName.MatchString(o.Name):
		return fmt.Errorf("stage name %q: must be 1 to 64 letters, digits, '-' or '_'", o.Name)
	case o.Stream == "" || o.Subjects == nil || o.Factory == nil || o.Bus == nil:
		return errors.New("stage: Stream, Subjects, Factory and Bus are needed")
	}
	orDefault(&o.Partitions, o.Bus.Partitions())
	orDefault(&o.TickInterval, 100*time.Millisecond)
	orDefault(&o.CheckpointInterval, 5*time.Second)
	orDefault(&o.HeartbeatInterval, time.Second)
	orDefault(&o.LeaseTTL, 4*time.Second)
	orDefault(&o.PrefetchBytes, 2<<20)
	orDefault(&o.PrefetchRecords, 1024)
	orDefault(&o.MaxRecordBytes, 32<<20)
	orDefault(&o.MaxSnapshotBytes, 64<<20)
	orDefault(&o.CloseTimeout, 8*time.Second)
	orDefault(&o.ShutdownTimeout, 8*time.Second)
	switch {
	case o.Partitions < 1:
		return fmt.Errorf("stage %s: %d partitions", o.Name, o.Partitions)
	case o.LeaseTTL < 3*o.HeartbeatInterval:
		return fmt.Errorf("stage %s: lease TTL %v is less than three heartbeat intervals of %v", o.Name, o.LeaseTTL, o.HeartbeatInterval)
	case o.LeaseTTL > bus.MemberTTL:
		return fmt.Errorf("stage %s: lease TTL %v is more than %v, after which heartbeats are forgotten", o.Name, o.LeaseTTL, bus.MemberTTL)
	}
	return nil
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
