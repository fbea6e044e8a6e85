// Package pipeline is the path of an event through capture: whose it is, whether it is watched, redaction, and the
// batch of its process's partition. One goroutine runs all of it, the reader of the ring buffer; what is slow happens
// elsewhere and is taken over when the reader has a moment.
//
// An event belongs to the process that first moved data on its socket, whoever acts later. Events of a process of which
// it is not known yet whether it is watched are held, redacted, within bounds.
package pipeline
