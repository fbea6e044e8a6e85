// Package stage runs a stateful processor over partitioned JetStream streams.
//
// A stage owns some of the P partitions of its input. Each partition is read in stream order by one instance at a time,
// handed to a [Processor], and checkpointed together with the processor's state. Instances of a stage share its
// partitions through key-value buckets; they may be started, ended and killed at any time. docs/stage.md says what is
// guaranteed and why.
//
// [Run] is one instance. Inside, what decides is plain Go over values with the time as an argument, and simulated from
// seeds:
//
//   - roster (who is alive), place (who should own what), coordinator (acquire, drain, release, give up),
//   - session (what was handed in, which time was told, what a checkpoint covers), frontier (what retention removed).
//
// Around it are NATS and goroutines: instance (heartbeats, watches), worker (one partition), puller (reading), outputs
// (publishing), store (checkpoints).
package stage
