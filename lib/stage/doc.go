// Package stage runs a stateful processor over partitioned JetStream streams.
//
// A stage owns some of the P partitions of its input. Each partition is read in stream order by one instance at a time, handed
// to a [Processor], and checkpointed together with the processor's state.
package stage
