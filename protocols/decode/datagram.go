package decode

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// DatagramParser is the state of one pair of a socket and a remote address, where a protocol is spoken in datagrams.
// Order of its protocol is ByID.
type DatagramParser interface {
	// Datagram reads a datagram of size bytes that from sent, Client or Server. b are its first bytes, as many as left
	// the node; they are valid during the call. m says who moved it, and when.
	//
	// Its bytes lie at the position of c.Requests, or of c.Responses if from is Server, and are taken from there as
	// those of a stream are: with [Conn.BeginAt], [Conn.Take], [Conn.Started] and [Conn.End]. What is left is dropped.
	// Whoever begins an exchange sets its Flow. Datagrams may be missing, and come in another order.
	Datagram(c *Conn, from protocols.End, b []byte, size uint32, m *stream.Meta) Status
	// Unanswered writes into x that its answer did not come: within [Protocol.Timeout], or before the socket was
	// closed. x ends then.
	Unanswered(c *Conn, x *Exchange)
	// AppendState, RestoreState and Held are those of [Parser].
	AppendState(c *Conn, w *snapshot.Writer)
	RestoreState(c *Conn, version uint64, r *snapshot.Reader)
	Held() int
}

// Datagrams makes a [Parser] of a DatagramParser, so that both are kept alike. Its Parse does nothing.
type Datagrams struct{ DatagramParser }

// Parse implements [Parser].
func (Datagrams) Parse(*Conn, Ending) Status { return Continue }

// Push passes a datagram to the parser: e, of what from sends.
func (d Datagrams) Push(c *Conn, from protocols.End, e *stream.Event) Status {
	s := c.Requests
	if from == protocols.Server {
		s = c.Responses
	}
	s.StartOver(e.Offset)
	if !s.Push(e) {
		return Continue
	}
	status, m := Continue, *s.Meta()
	if b := s.Bytes(); len(b) > 0 {
		status = d.Datagram(c, from, b, e.Length, &m)
	}
	s.Discard()
	s.TakeLost() // of what was taken for nobody
	s.Settle()
	return status
}
