package decode

import (
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/snapshot"
)

// Status is what a parser thinks of its connection.
type Status uint8

// Statuses.
const (
	// Continue: the connection speaks the protocol.
	Continue Status = iota
	// GiveUp: the guess was wrong. Open exchanges are dropped and the protocol is guessed again.
	GiveUp
	// Opaque: the connection has left the protocol for good (an upgrade). Nothing that follows is looked at.
	Opaque
)

// Ending says whether more of a connection will come.
type Ending uint8

// Endings.
const (
	// Open: more may come.
	Open Ending = iota
	// Ended: the connection ended, or the other end did, after all that was sent. No more responses will come.
	Ended
	// Left: more may have been said, but nothing of it will be seen.
	Left
)

// Options are settings that parsers heed.
type Options struct {
	// KeepStatements keeps literals in statements.
	KeepStatements bool
	// Layers are offered the exchanges of HTTP; nil: there are none.
	Layers *Layers
	// PreparedStatements is how many prepared statements of a connection are remembered, by protocol; 0 or absent: as
	// many as the room says.
	PreparedStatements map[millracev1.Protocol]int
}

// Parser is the state of one connection of one protocol.
type Parser interface {
	// Parse takes what it can from both streams. With Ended the parser ends what is ended by that; with Ended and Left
	// it writes into exchanges what it knows of messages that it has not read to their end, and leaves the rest to
	// [Conn.FinishAll].
	Parse(c *Conn, ending Ending) Status
	// AppendState and RestoreState carry the parser over a restart; exchanges are named by their index (see
	// [Conn.Index]). What outlives an exchange (the dynamic table of HPACK, prepared statements) belongs into it as
	// well; settings do not. A change of what is written needs another [Protocol.StateVersion]. RestoreState reads
	// what the given version wrote, that of today or the one before, into a parser that is new. It makes r fail if it
	// reads what cannot be, or does not know the version: then the parser is dropped, and its connection goes on as
	// one that was joined. It never panics.
	AppendState(c *Conn, w *snapshot.Writer)
	RestoreState(c *Conn, version uint64, r *snapshot.Reader)
	// Held is how many bytes the parser keeps beyond a few hundred, not less than they take in AppendState. It is
	// asked after each call of Parse. The parser bounds it; the processor adds it up, and gives up connections when a
	// partition holds too much.
	Held() int
}

// Successor is a parser whose connection may go on as another protocol behind what it called [Opaque], at the positions
// of the two streams. Exchanges that it left open go on with that.
type Successor interface {
	// Successor gives that protocol, 0 if there is none.
	Successor() millracev1.Protocol
}

// Heir is a parser that can go on where a [Successor] has stopped.
type Heir interface {
	// Inherit begins at the positions of the streams of c. The open exchanges of c are those of a protocol without ids.
	Inherit(c *Conn)
}

// Protocol is an entry of the list of protocols.
type Protocol struct {
	// Number as published. It is recognised by the entry of [millrace.dev/protocols/all] that has the same.
	Number millracev1.Protocol
	// StateVersion is that of what AppendState of its parsers writes.
	StateVersion uint64
	// New makes the parser of a connection; nil: the protocol is spoken in datagrams only.
	New func(Options) Parser
	// NewDatagram makes the parser of a pair of a socket and a remote address that exchange datagrams; nil: the
	// protocol is not spoken in datagrams.
	NewDatagram func(Options) DatagramParser
	// Timeout is after how long a datagram that asks counts as not answered.
	Timeout time.Duration
	// Conclude adds to what is said of an exchange what only its end or its place tells. It is called each time the
	// exchange is published. nil: there is nothing to add.
	Conclude func(x *Exchange, at Place)
	// Detail is how older versions describe exchanges of the protocol; nil: as this one.
	Detail *Detail
}

// Detail is a message of its own in Exchange, in which versions before attributes described a protocol: enrichers of
// those read nothing else, and snapshots of decoders hold it.
type Detail struct {
	// Field is its number in Exchange.
	Field uint8
	// Append appends to dst, as the message, what is said of an exchange that was concluded.
	Append func(dst []byte, x *Exchange) []byte
	// Read says of an exchange that is not concluded what the message says, but for what it has from a layer.
	Read func(x *Exchange, message []byte, at Place)
}

// Place is where an exchange was seen.
type Place struct {
	// Client: at the end of the client.
	Client bool
	// RemoteAddress has 4 or 16 bytes; it is empty where the connection is no TCP connection.
	RemoteAddress []byte
	RemotePort    uint32
}
