// Package protocols is what every stage knows of a protocol: its number and name, its first bytes as the kernel side
// looks for them, and the one function that judges whether bytes begin a message of it.
//
// Three stages recognise protocols, each with less in its hands than the one after it. The kernel side compares the
// first 16 bytes of a send with [Match] and decides what is copied. The node asks [Protocol.Recognise] and decides what
// may leave it. The decoder asks the same function and decides what becomes a span. So a match must let through
// whatever Recognise accepts, and what the node refuses is never published.
//
// The packages below this one hold one protocol each; [millrace.dev/protocols/all] lists them. None of them imports
// anything of Millrace but the schemas.
package protocols

//go:generate go run ./internal/page ../docs/protocols.md ../docs/accuracy.md
