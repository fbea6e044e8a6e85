// Package stagebench measures processors of stages in units that can be compared. It drives a processor as the runtime
// does: records in stream order, the stream's time every 100 ms of it, and a checkpoint every few seconds of it, so
// that what a checkpoint costs is part of the whole. There is no NATS: what the runtime adds is a benchmark of its own,
// in lib/stage.
package stagebench
