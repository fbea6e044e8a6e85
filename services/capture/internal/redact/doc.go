// Package redact is what stands between the kernel and the wire: what Millrace does not need is blanked or dropped, in
// place, on each event, before anything is batched. docs/security.md says what leaves the node; the lists are in
// rules.go and protocols/rediscommand.
//
// Blanked (overwritten with '*', same length, so that offsets hold): values of headers that are not on a list, reason
// phrases, what may be a credential in targets, values of Redis commands, contents of replies. Dropped (expressed by
// the event's segments): HTTP bodies, everything after an HTTP upgrade, the rest of Redis strings longer than
// [MaxBulk], what should be the start of a message and is none, and the payload of connections that speak neither
// protocol.
//
// Nothing leaves of a connection before it is known what it speaks, and nothing of one that speaks something else: its
// events are withheld until [millrace.dev/protocols/all.Judge] is sure, see opening.go.
//
// Each direction of a connection has a small state machine that reads each byte once ([direction]). What is there as a
// whole is judged as a whole; what the end of an event cuts is kept only as far as it cannot be a secret. Where bytes
// are missing and the position is no longer known, nothing is kept until an event begins with what can only be the
// start of a message; where a head leaves open how long the body is, nothing more of the direction is kept at all.
//
// What a protocol's messages may show is the business of its room: a connection that is recognised gets the
// [edge.Scanner] of the room, if the list in protocols/edge/all has one, and scan.go passes it the bytes. A connection
// whose socket does not tell which end it is learns it from the first message that only one end can send. HTTP/1 is in
// http.go (messages), http_target.go and http_header.go, Redis in redis.go and redis_text.go. Package secret judges
// names and texts.
package redact
