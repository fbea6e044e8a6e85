// Package batch turns events into [millracev1.RawBatch] messages, one [Builder] per process partition.
//
// Events are encoded as they come, straight into the builder's buffers, without building the generated structs: at
// 40,000 events a second the structs and their garbage would cost more than all the rest of capture. Tests hold the
// encoding against the generated code, byte for byte. A batch is self-contained: connections and processes are written
// once per batch, when an event first refers to them.
package batch
