// Package decoder turns raw kernel events into exchanges and links.
//
// [Run] is the service. [New] is its pure part, one partition's worth, for tests and tools that have no NATS; its
// example shows a raw batch that becomes an exchange.
//
// Output goes to the subjects of package bus: ExchangeBatch messages to ExchangeSubject, LinkBatch messages to
// LinkSubject, each of the connection's partition.
package decoder
