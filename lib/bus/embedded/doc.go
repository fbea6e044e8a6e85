// Package embedded runs a NATS server with JetStream inside the process, for `millrace run` and for tests. It listens
// nowhere unless bus.embedded.listen says so; the process itself connects through memory, as the example shows.
//
// It is a package of its own so that services that only connect do not link the server.
package embedded
