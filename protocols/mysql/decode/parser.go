package decode

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/mysql"
)

// Protocol is the protocol of MySQL and MariaDB.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_MYSQL,
	StateVersion: 2,
	New: func(o decode.Options) decode.Parser {
		return &parser{keepStatements: o.KeepStatements, prepared: cache{most: o.PreparedStatements[mysql.Protocol.Number]}}
	},
}

const (
	maxText     = 8 << 10 // bytes of a statement that are looked at, as many as leave the node
	maxName     = 256     // bytes of the name of a database
	maxFailures = 16
)

// Exchange.Flags: a [mysql.Kind], and what else an answer of OK means.
const (
	kindBits      = 0x0f
	flagPrepare   = 0x10 // Scratch is the text that is prepared
	flagNamespace = 0x20 // Scratch is the name of the database that is current from then on
	flagReset     = 0x40 // prepared statements are forgotten
	flagLate      = 0x80 // the current database is known when the answer comes: a command before it may change that
)

type state uint8

const (
	atHeader state = iota
	inPayload
	lost
	cut              // of the answers only: see parser.cutReply
	lastState = iota // not a state: what a snapshot holds is below it
)

// direction is where in its packets a direction is.
type direction struct {
	x      *decode.Exchange // of the message that is being read
	left   uint64           // bytes of the packet still to come
	state  state
	goesOn bool // the next packet continues the message
	// wrapped: the direction is behind the login, and compressed.
	wrapped bool
}

// parser holds both directions of a connection.
type parser struct {
	ask    direction
	resp   direction
	answer mysql.Answer
	active bool // an answer is being read
	ended  bool // the packet that is being read ends it
	next   byte // number of the next packet of the answer
	free   bool // it is not known

	begun      bool
	login      bool // the server has not let the client in
	greeted    bool
	known      bool // capabilities are those of the client
	mariadb    bool
	answered   bool
	opaque     bool
	file       bool // packets that are no commands follow each other
	expect     byte // number of the next of them
	failures   int
	capability uint32
	offered    uint32 // capabilities of the server
	wrapped    bool   // both ends compress behind the login: what the node inflates is restated
	encrypted  bool   // TLS follows. Opaque is said at once, so that no snapshot holds it
	database   []byte
	prepared   cache
	// pending is the statement that was prepared last, by the request at offset pendingAt; its number may not be
	// known.
	pending   *statement
	pendingAt uint64

	// last is what lastText says, the text that was read last. They are no state: they come again.
	last     *statement
	lastText []byte

	keepStatements bool
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	if !p.begun {
		p.begun = true
		p.login = !c.Requests.Joined && !c.Responses.Joined
		if !p.login {
			p.ask.state, p.resp.state = lost, lost
		}
	}
	if p.login && !p.greeted {
		p.replies(c) // what the client answers is read by what the server offers
	}
	p.requests(c)
	p.replies(c)
	if ending != decode.Open {
		p.cutRequest(c)
	}
	switch {
	case p.opaque:
		return decode.Opaque
	case p.failures > maxFailures, p.failures > 0 && !p.answered && c.Synced():
		return decode.GiveUp
	}
	return decode.Continue
}

// Successor implements [decode.Successor].
func (p *parser) Successor() millracev1.Protocol {
	if p.encrypted {
		return millracev1.Protocol_PROTOCOL_TLS
	}
	return millracev1.Protocol_PROTOCOL_UNSPECIFIED
}

// unwrapped reports whether what is at the position of s, in the direction d, is not what a compressed packet holds,
// though it should be: the node did not inflate it, or was not there.
func (p *parser) unwrapped(d *direction, s *stream.Stream) bool {
	d.wrapped = d.wrapped || p.wrapped && !p.login && d.state != inPayload
	return d.wrapped && !s.Restated()
}

// Held implements [decode.Parser].
func (p *parser) Held() int {
	n := len(p.database) + p.prepared.size + 300
	if p.pending != nil {
		n += p.pending.size() + 40
	}
	return n
}

// use takes the name of the current database.
func (p *parser) use(name []byte) {
	p.database = append(p.database[:0], name[:min(len(name), maxName)]...)
}

// useOf gives the database that a text changes to, nil if it does not.
func useOf(text []byte) []byte {
	text = bytes.TrimSpace(text)
	if len(text) < 5 || !bytes.EqualFold(text[:3], []byte("use")) || text[3] != ' ' && text[3] != '\t' && text[3] != '\n' && text[3] != '`' {
		return nil
	}
	return bytes.Trim(text[3:], " \t\r\n;`")
}

// mayUse reports whether a text that begins with b may change the database.
func mayUse(b []byte) bool {
	b = bytes.TrimSpace(b)
	n := min(len(b), 3)
	return bytes.EqualFold(b[:n], []byte("use")[:n])
}
