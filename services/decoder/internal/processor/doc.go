// Package processor is the state of one partition: the connections, processes and nodes that raw batches report, what
// their parsers and causality know, and the exchanges and links that come out. It knows nothing of NATS.
package processor
