// Package decoder turns raw kernel events into exchanges and links.
//
// [Run] is the service; [New] is its pure part, one partition's worth, for tests and tools that have no NATS:
//
//	d := decoder.New(decoder.Options{Partitions: 1})
//	err := d.Process(ctx, []stage.Record{{Time: stored, Data: encodedRawBatch}}, out)
//	// Closed connections end, gaps and timeouts take effect, as they do before a record that was stored later.
//	err = d.Tick(ctx, now, out)
//
// Output goes to the subjects of package bus: ExchangeBatch messages to ExchangeSubject, LinkBatch messages to
// LinkSubject, each of the connection's partition.
package decoder
