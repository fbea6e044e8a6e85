// Package edge is what the node needs of a protocol: a scanner that decides, byte by byte, what of a connection may
// leave the node. Scanners run in the privileged service. They use bounded memory, allocate nothing per event, and are
// fuzzed with bytes that are cut, missing and repeated.
package edge

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Status is what a scanner says of a direction after a call.
type Status uint8

// Statuses.
const (
	// Following: the scanner knows where in the syntax the direction is.
	Following Status = iota
	// Lost: it does not. Nothing of the direction is kept until [Scanner.Resume] accepts the start of an event.
	Lost
	// Opaque: the connection leaves the protocol in an orderly way (an upgrade, encryption). Nothing more of it leaves
	// the node, but for what the same call kept.
	Opaque
	// GivenUp: where the next message of the direction begins will never be known for certain, and what is in between
	// may look like one. Nothing more of the direction leaves the node; the other one goes on.
	GivenUp
	// Broken: the bytes are not of the protocol. The connection is given up; nothing more of it leaves the node.
	Broken
)

// Scanner follows both directions of one connection. from is protocols.Client or protocols.Server, never Either.
//
// All methods are called by one goroutine.
type Scanner interface {
	// Scan reads bytes that follow those before. What it neither keeps nor blanks through w does not leave the node. It
	// may overwrite bytes of b through w only, and keeps no reference to b.
	Scan(from protocols.End, b []byte, w *Writer) Status
	// Skip passes over n bytes that are not there. False: where the syntax goes on is not known; the direction is lost.
	Skip(from protocols.End, n uint64) bool
	// Resume says that b begins an event of a direction that is lost, or that was never followed because its beginning
	// was not seen. It reports whether a message certainly begins here. Then Scan is called with the same bytes.
	Resume(from protocols.End, b []byte) bool
}

// DatagramScanner is a Scanner of a protocol that is also spoken in datagrams. Datagram keeps what may leave of the
// datagram b, of which the end may be missing. It needs nothing of datagrams before, so one scanner serves all; another
// status than Following says that b is none of the protocol, and nothing of it leaves.
type DatagramScanner interface {
	Scanner
	Datagram(from protocols.End, b []byte, w *Writer) Status
}

// Successor is a scanner whose connection may go on as another protocol behind what [Scanner.Scan] called Opaque.
type Successor interface {
	// Successor gives that protocol, 0 if there is none, and how many bytes of the last call of Scan came before it.
	// Nothing of it came before in the other direction.
	Successor() (number millracev1.Protocol, read int)
}

// Room is the node's half of a protocol. It has New or Prepare.
type Room struct {
	Protocol *protocols.Protocol
	// New makes the scanner of a connection. seen says whether both directions were seen from their first byte (without
	// the preface of a load balancer).
	New func(r *Rules, seen bool) Scanner
	// Prepare compiles settings once, and gives the function that makes scanners. It refuses settings that cannot be.
	// All scanners that the function makes are used by one goroutine, so they may share what they learn.
	Prepare func(r *Rules) (New func(seen bool) Scanner, err error)
	// Sender says which end sends b, of which Recognise is sure whichever end it is. It is asked where the socket does
	// not tell. Either, or no function: not known.
	Sender func(b []byte) protocols.End
}

// Scanners gives the function that makes the scanners of the room.
func (room *Room) Scanners(r *Rules) (func(seen bool) Scanner, error) {
	if room.Prepare != nil {
		return room.Prepare(r)
	}
	return func(seen bool) Scanner { return room.New(r, seen) }, nil
}

// Rules are the settings that scanners heed. They are the same for all connections, and constant.
type Rules struct {
	// Enable: what may be a secret is blanked (capture.redact.enable). Without it what is not needed is still dropped.
	Enable bool
	// Literals: literals of statements, commands and queries are blanked (capture.redact.literals, and
	// capture.redact.enable). What is never shown - passwords, bind values, rows, bodies - is blanked or dropped
	// whatever the settings are.
	Literals bool
	// Heads judges heads of HTTP by these settings, for scanners that decode them first. nil: nothing of them is shown.
	Heads Heads
	// Headers of HTTP and QueryParameters are names whose values are blanked besides those that are by default,
	// AllowHeaders and AllowQueryParameters those whose values are kept unless they look like credentials. '*' and '?'
	// stand for any bytes and for one byte. See the settings of capture.redact.
	Headers, AllowHeaders, QueryParameters, AllowQueryParameters []string
	// Layers are the protocols in exchanges of HTTP that are looked for.
	Layers []*Layer
}
