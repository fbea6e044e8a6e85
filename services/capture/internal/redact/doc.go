// Package redact is what stands between the kernel and the wire: it blanks credentials and drops what nobody needs, in
// place, on each event, before anything is batched.
//
// Blanked (overwritten with '*', same length, so that offsets hold): values of credential headers, cookies, credential
// query parameters and user information in HTTP targets, and the arguments of Redis commands that carry passwords.
// Dropped (expressed by the event's segments): HTTP bodies, everything after an HTTP upgrade, the rest of Redis strings
// longer than [MaxBulk], and the payload of connections that speak neither protocol.
//
// Each direction of a connection has a small state machine that reads each byte once, so a header that is split over
// any number of sends is blanked like one that is not. Where bytes are missing and the position is no longer known,
// nothing is kept until an event begins with what can only be the start of a message. A protocol is one file (http.go,
// redis.go) and one line in [direction.consume].
package redact
