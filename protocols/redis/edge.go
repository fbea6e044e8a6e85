package redis

import (
	"bytes"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/rediscommand"
)

// Edge is the node's half of Redis. Blanked are the arguments of commands that are no keys, fields or options of known
// commands, and what replies contain. Of strings longer than [MaxBulk] the rest is dropped. Literals are the arguments
// of known commands that hold no credentials.
var Edge = edge.Room{
	Protocol: &Protocol,
	Prepare: func(settings *edge.Rules) (func(seen bool) edge.Scanner, error) {
		r := &rules{Rules: settings}
		return func(bool) edge.Scanner {
			s := &scanner{rules: r}
			s.directions[0].asks = true
			return s
		}, nil
	},
	Sender: func(b []byte) protocols.End {
		if command(b, false, protocols.Anywhere) == protocols.Sure {
			return protocols.Client // a reply may begin like this, but few name a command first
		}
		return protocols.Either
	},
}

// rules are the settings, and where the scanner that is at work writes. One goroutine uses them.
type rules struct {
	*edge.Rules
	out    *edge.Writer
	server *direction // of the same connection
}

// blank overwrites b, if the settings say so.
func (r *rules) blank(b []byte) {
	if r.Enable && len(b) > 0 {
		r.out.Mask(b)
	}
}

// phase is where in the grammar of RESP a direction is.
type phase uint8

const (
	phaseReply   phase = iota // the type byte of a value
	phaseLost                 // everything is dropped until the start of a message is recognised
	phaseNumber               // length of a bulk string or number of elements
	phaseSimple               // rest of a line
	phaseInline               // an inline command
	phaseBulk                 // remaining bytes of a bulk string
	phaseBulkEnd              // the line end behind it
)

// maxText is how much of a word is kept across events; names of commands are shorter.
const maxText = 64

// direction is one byte stream of a connection.
type direction struct {
	remaining uint64 // of a bulk string
	number    uint64 // being read, or the length of the bulk string
	position  uint64 // within a bulk string

	phase       phase
	asks        bool // the client sends it
	digits      uint8
	returned    bool // a carriage return was read, which ends a bulk string
	split       bool // what is being read began in an earlier run
	hidden      bool // the rest of an inline command is blanked
	valueType   byte
	use         bulkUse
	inContainer bool // command is a container's subcommand
	asking      bool // the array being read is a command
	pushed      bool // it is a push of RESP3
	awaited     bool // the client has asked for messages
	subscribed  bool // and was confirmed: arrays may be messages
	negative    bool
	textLength  uint8
	words       words
	command     *rediscommand.Command
	argument    uint32 // index of the next element
	arguments   uint32 // announced
	channels    uint32 // elements of a message, from the second on, that are shown
	text        [maxText]byte
}

// append adds to the text; false if it does not fit.
func (d *direction) append(b []byte) bool {
	if len(b) > maxText-int(d.textLength) {
		return false
	}
	copy(d.text[d.textLength:], b)
	d.textLength += uint8(len(b))
	return true
}

// lose gives the position up.
func (d *direction) lose() { d.phase, d.textLength = phaseLost, 0 }

// scanner follows a connection.
type scanner struct {
	rules      *rules
	directions [2]direction // of the client, of the server
	// strict: the connection was taken for Redis by a word, so that it has to be it to the letter.
	strict bool
}

// Opened implements [edge.Beginner].
func (s *scanner) Opened(client, _ []byte) { s.strict = len(client) > 0 && client[0] != '*' }

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	d := &s.directions[from-protocols.Client]
	s.rules.out, s.rules.server = w, &s.directions[1]
	s.rules.redis(d, b)
	switch {
	case d.phase != phaseLost:
		return edge.Following
	case s.strict:
		return edge.Broken
	}
	return edge.Lost
}

// Skip implements [edge.Scanner]. A string and the line end behind it are one: a hole may cover any of both.
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	d := &s.directions[from-protocols.Client]
	if d.phase == phaseBulk {
		if d.use == bulkCommand || d.use == bulkSubcommand {
			d.command = rediscommand.Unknown // its arguments may be passwords
		}
		if n < d.remaining {
			d.remaining -= n
			d.position += n
			return true
		}
		n -= d.remaining
		d.remaining = 0
		s.rules.bulkDone(d)
	}
	for n > 0 && d.phase == phaseBulkEnd {
		n--
		if !d.returned {
			d.returned = true
			continue
		}
		d.phase = phaseReply
	}
	if n > 0 {
		d.lose()
	}
	return n == 0
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	switch Protocol.Recognise(b, from, protocols.Anywhere) {
	case protocols.Sure:
	case protocols.More:
		if b[0] != '*' || bytes.IndexByte(b, '\n') <= 0 {
			return false // less than the line with which an array begins
		}
	default:
		return false
	}
	d := &s.directions[from-protocols.Client]
	d.phase, d.textLength, d.argument, d.arguments = phaseReply, 0, 0, 0
	return true
}

// Tail implements [edge.Tailer]: it shows whether a reply can end here.
func (s *scanner) Tail(_ protocols.End, b []byte, w *edge.Writer, within bool) bool {
	if n := len(b); !within && n >= 2 && string(b[n-2:]) == "\r\n" {
		w.Keep(n-2, n)
	}
	return false
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
