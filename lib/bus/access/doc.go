// Package access is who may do what on the bus: one list of roles, each with the subjects on which its credentials may
// publish and subscribe and nothing else. The accounts of a server, docs/permissions.md and the tests of what is
// refused all come from it.
//
// A role says what its code does today. A service that gains a stream, a bucket or a stage gains a line here, or is
// refused: the tests run each service with its own credentials.
package access

//go:generate go run ./internal/page ../../../docs/permissions.md
