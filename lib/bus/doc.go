// Package bus is everything Millrace knows about NATS: subjects, partitions, streams, buckets, compression and
// connections. Subjects and schemas are public: anyone may subscribe.
//
// A service calls [Connect], which waits for a server; [EnsureStreams], which creates or checks the streams; and then
// publishes with [Conn.Publish] or reads through [Conn.JetStream]. A connection lives until [Conn.Close]: servers may
// go away and come back, and even come back empty (streams in memory), in which case the connection creates again what
// it had ensured and sends again what was not acknowledged, in order. What is published and not yet acknowledged is
// bounded in bytes by bus.max_pending.
//
// The package embedded runs a NATS server inside the process.
package bus
