package redact

import "millrace.dev/protocols"

// Cause is why a connection, or one direction of it, is no longer looked at.
type Cause uint8

// Causes.
const (
	// CauseNone: it is looked at.
	CauseNone Cause = iota
	// CauseUnknown: its first bytes are those of no protocol that is decoded.
	CauseUnknown
	// CauseUnconfirmed: it was likely taken for a protocol, and the other end's answer was none of it.
	CauseUnconfirmed
	// CauseBroken: it went on with what is not of the protocol.
	CauseBroken
	// CauseUpgraded: it left its protocol in an orderly way: an upgrade, CONNECT, encryption.
	CauseUpgraded
	// CauseWithheld: its first bytes, or those of all such connections, exceeded the bounds before they told anything.
	CauseWithheld
	// CauseEnded: it ended before its first bytes told anything.
	CauseEnded
	// CauseUnframed, of one direction alone: where its next message begins will never be known for certain.
	CauseUnframed
	// Causes is the number of causes.
	Causes
)

// String gives the cause as metrics name it.
func (c Cause) String() string {
	return [...]string{"", "unknown_protocol", "not_confirmed", "broken", "upgraded", "withheld_full", "ended", "unframed"}[c]
}

func (c *Connection) giveUp(cause Cause) { c.cause = cause }

// GivenUp says why nothing of the connection leaves any more; [CauseNone] as long as something may.
func (c *Connection) GivenUp() Cause { return c.cause }

// Taken is what the connection was recognised as, or likely taken for before it was given up; nil for nothing.
func (c *Connection) Taken() *protocols.Protocol { return c.taken }

// DirectionsGivenUp is how many directions of the connection were given up alone, for [CauseUnframed].
func (c *Connection) DirectionsGivenUp() int { return int(c.unframed) }
