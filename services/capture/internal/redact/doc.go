// Package redact is what stands between the kernel and the wire: what Millrace does not need is blanked or dropped, in
// place, on each event, before anything is batched. docs/security.md says what leaves the node.
//
// Blanked is overwritten with as many bytes, so that offsets hold. Dropped is expressed by the event's segments.
//
// Nothing leaves of a connection before it is known what it speaks, and nothing of one that speaks something else: its
// events are withheld until [millrace.dev/protocols/all.Judge] is sure (opening.go).
//
// What a protocol's messages may show is the business of its room: a connection that is recognised gets the
// [edge.Scanner] of the room, from the list in protocols/edge/all. This package keeps what is common: offsets and
// gaps (redact.go), lost directions, which end is which, what is given up (scan.go), and what load balancers say first
// (preface.go).
//
// Where bytes are missing and the scanner does not know how the syntax goes on, nothing is kept until an event begins
// with what can only be the start of a message.
package redact
