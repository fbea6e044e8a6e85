package edgetest

import (
	"strings"

	"millrace.dev/protocols"
)

// Piece is what one call moves from one end to the other.
type Piece struct {
	From  protocols.End
	Bytes string
}

// Client is a piece that the client sends.
func Client(text string) Piece { return Piece{protocols.Client, text} }

// Server is a piece that the server sends.
func Server(text string) Piece { return Piece{protocols.Server, text} }

// Conversation is all that a client and a server say on a connection, from its beginning, in the order of time.
type Conversation struct {
	Name   string
	Pieces []Piece
	// Secrets are what must not leave the node, as they are on the wire. Each has at least 8 bytes that do not occur in
	// what may leave.
	Secrets []string
	// Literals are secrets that stay where the settings say that literals are not blanked.
	Literals []string
	// Kept are what must leave the node if nothing is missing and every piece is one event. Without them a scanner that
	// drops everything would pass.
	Kept []string
	// Shown is how many bytes in a row of a secret may leave. 0 stands for 3: by chance a byte is blanked with itself.
	Shown int
	// Masks are the bytes besides '*' with which the scanner blanks. "any" allows all.
	Masks string
}

// Streams gives all that each end sends: of the client, of the server.
func (c *Conversation) Streams() (client, server string) {
	var all [2]strings.Builder
	for _, p := range c.Pieces {
		all[p.From-protocols.Client].WriteString(p.Bytes)
	}
	return all[0].String(), all[1].String()
}

// Event is bytes that the kernel side reports: Length bytes at Offset of what From sends, of which Bytes were copied.
type Event struct {
	From     protocols.End
	Offset   uint64
	Length   uint32
	Bytes    []byte    // the node may change them
	Segments []Segment // where Bytes belong; nil: at the front
	// Restated and Restatements are what of them is restated, as in Event of raw.proto, in what leaves the node.
	Restated     []byte
	Restatements []uint32
	// Part: the event goes on with what the event before began, so that no message begins with it.
	Part bool
}

// Node is what decides what of a connection leaves the node.
type Node interface {
	// Pass takes an event and gives what leaves now, of it or of those before. What it gives is valid until the next
	// call.
	Pass(e *Event) []Event
}

// Start begins a connection. joined says that its beginning was not seen. role is the end at which it is observed, as
// far as that is known.
type Start func(joined bool, role protocols.End) Node
