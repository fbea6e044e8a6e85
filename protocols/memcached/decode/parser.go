package decode

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/memcached"
)

// Protocol is Memcached.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_MEMCACHED,
	StateVersion: 1,
	New:          func(decode.Options) decode.Parser { return &parser{} },
}

const (
	maxStatement = 1024
	maxMessage   = 256
	maxFailures  = 16
	// maxQuiet is how many quiet commands wait whether something answers them.
	maxQuiet = 1024
)

// flagQuiet in Exchange.Flags: the command may have no answer. The other bits are a [memcached.Answer]; Exchange.Number
// is the hash of the opaque token.
const flagQuiet = 0x80

type state uint8

const (
	atLine state = iota
	inLine
	inValue
	lost
	lastState = iota // not a state: what a snapshot holds is below it
)

// parser holds both directions of a connection.
type parser struct {
	x         *decode.Exchange // exchange of the command that is being read
	line      memcached.Request
	read      []byte // of the line that is being read, at most maxStatement: for a restart within it
	statement []byte
	value     uint64 // bytes of the value still to come, with its CR LF
	failures  int
	state     state
	hidden    bool // the last piece of the statement is a hidden one
	answered  bool // an answer was understood: this is Memcached
	opaque    bool
	resp      reply
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	p.requests(c)
	p.replies(c)
	if ending != decode.Open {
		p.cutRequest(c)
		for x := c.Oldest(); x != nil && x.Flags&flagQuiet != 0 && x.RequestDone() && !x.Responding(); x = c.Oldest() {
			c.FinishOneWay(x)
		}
	}
	switch {
	case p.opaque:
		return decode.Opaque
	case p.failures > maxFailures, p.failures > 0 && !p.answered && c.Synced():
		return decode.GiveUp
	}
	return decode.Continue
}

func (p *parser) requests(c *decode.Conn) {
	s := c.Requests
	for s.Next() != stream.None && !p.opaque {
		switch p.state {
		case atLine:
			if len(s.Bytes()) == 0 {
				p.lose(c)
				continue
			}
			p.x = c.Begin()
			p.line, p.statement, p.read, p.hidden = memcached.Request{}, p.statement[:0], p.read[:0], false
			p.state = inLine
		case inLine:
			p.readLine(c)
		case inValue:
			if p.value -= s.Skip(p.value); p.value == 0 {
				p.end(c)
			}
		case lost:
			if b := s.Bytes(); len(b) > 0 && s.AtEventStart() && memcached.Begins(b) {
				p.state = atLine
			} else if !s.PassToEvent() {
				p.failures++
			}
		}
	}
}

// readLine reads what there is of a line.
func (p *parser) readLine(c *decode.Conn) {
	s := c.Requests
	b := s.Bytes()
	if len(b) == 0 {
		p.lose(c)
		return
	}
	for i := 0; i < len(b); {
		n, kind := p.line.Next(b[i:])
		if kind == memcached.End {
			p.pass(s, b[:i+n])
			p.endLine(c)
			return
		}
		p.say(b[i:i+n], kind)
		i += n
	}
	p.pass(s, b)
}

// pass takes bytes of the line.
func (p *parser) pass(s *stream.Stream, b []byte) {
	if room := maxStatement - len(p.read); p.state == inLine && room > 0 {
		p.read = append(p.read, b[:min(room, len(b))]...)
	}
	s.Skip(uint64(len(b)))
}

// say adds a piece of the line to the statement. A hidden word is one question mark.
func (p *parser) say(b []byte, kind memcached.Kind) {
	switch {
	case len(p.statement) >= maxStatement:
	case kind == memcached.Hidden:
		if !p.hidden {
			p.statement = append(p.statement, '?')
		}
	case kind == memcached.Space:
		if len(p.statement) > 0 && b[0] == ' ' {
			p.statement = append(p.statement, ' ')
		}
	default:
		p.statement = append(p.statement, b[:min(len(b), maxStatement-len(p.statement))]...)
	}
	p.hidden = kind == memcached.Hidden
}

// endLine acts on a line that was read to its end.
func (p *parser) endLine(c *decode.Conn) {
	x := p.x
	if x != nil && x == c.Newest() {
		describe(x, p.line.Command, p.statement)
		x.Flags, x.Number = byte(p.line.Command.Answer), p.line.Opaque
		if p.line.Quiet {
			x.Flags |= flagQuiet
		}
		c.Started(x)
	} else {
		p.x = nil // it was ended in the middle
	}
	switch {
	case p.line.Value:
		p.value = p.line.Length + 2
		p.state = inValue
	case p.line.Bad:
		p.failed(c)
	default:
		p.end(c)
	}
}

// end acts on a request that was read to its end.
func (p *parser) end(c *decode.Conn) {
	x := p.x
	p.x, p.state = nil, atLine
	log := p.line.Command != nil && p.line.Command.Answer == memcached.Log
	p.opaque = p.opaque || log
	if x == nil || x != c.Newest() {
		return
	}
	if p.line.NoReply || log || p.line.Command.Answer == memcached.Nothing {
		c.EndOneWay(x)
		return
	}
	if c.EndRequest(x); p.line.Quiet && c.Open() > maxQuiet {
		settleQuiet(c)
	}
}

// settleQuiet ends quiet commands at the front: nothing has answered them for so long that nothing will.
func settleQuiet(c *decode.Conn) {
	for x := c.Oldest(); c.Open() > maxQuiet/2 && x.Flags&flagQuiet != 0 && !x.Responding(); x = c.Oldest() {
		c.FinishOneWay(x)
	}
}

// failed gives up the place in the requests: what follows is not known to be a command.
func (p *parser) failed(c *decode.Conn) {
	p.failures++
	p.breakRequest(c)
	p.state = lost
	c.RequestGap()
}

// lose passes over a gap, behind which the next command is looked for.
func (p *parser) lose(c *decode.Conn) {
	c.Requests.PassGap()
	p.breakRequest(c)
	p.state = lost
	c.RequestGap()
}

func (p *parser) breakRequest(c *decode.Conn) {
	if x := p.x; p.cutRequest(c) {
		c.BreakRequest(x)
	}
}

// cutRequest ends the reading of a request whose rest will not be seen. It reports whether its exchange still waits. A
// request whose line is not complete is followed, but not published.
func (p *parser) cutRequest(c *decode.Conn) bool {
	x := p.x
	p.x = nil
	if p.state == inLine || p.state == inValue {
		p.state = lost
	}
	if x == nil || x != c.Newest() {
		return false
	}
	x.Ignore = x.Ignore || !x.IsStarted()
	return true
}

// Held implements [decode.Parser].
func (p *parser) Held() int { return len(p.read) + len(p.statement) }
