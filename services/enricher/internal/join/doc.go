// Package join brings the two sides of exchanges together, finds the trace of each and emits spans. It is the pure core
// of the enricher: values and times in, span batches and links out.
//
// An [entry] stands for one exchange key, with a half for each side. It is open while something is awaited (a span to
// be emitted, an exchange that has started, a trace to be told to others); a [memory] stays of it for a while, so that
// late questions are answered and duplicates are dropped.
//
// Files: entry.go and memory.go (state), queue.go (order and time), read.go and partition.go (input), resolve.go
// (traces), emit.go (spans), snapshot.go.
package join
