package decode

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	known "millrace.dev/protocols/redis"
	"millrace.dev/protocols/rediscommand"
)

// Protocol is Redis.
var Protocol = decode.Protocol{
	Number: millracev1.Protocol_PROTOCOL_REDIS, StateVersion: 2,
	New: func(o decode.Options) decode.Parser {
		return &parser{keepValues: o.KeepStatements, database: -2, selected: -1}
	},
	Detail: &decode.Detail{Field: fieldDetail, Append: appendDetail, Read: readDetail},
}

const (
	maxLine      = 64 << 10 // longest inline command (as the server's limit) or line of a reply
	maxArgument  = 128      // kept of an argument
	maxStatement = 1024
	maxFailures  = 16
)

type requestState uint8

const (
	atCommand  requestState = iota // before a command
	atArgument                     // before the length of an argument
	inArgument                     // before the kept part of an argument
	inValue                        // in the rest of an argument, with its CR LF
	lostCommand
	lastRequestState = iota // not a state: what a snapshot holds is below it
)

// parser holds both directions of a connection.
type parser struct {
	x          *decode.Exchange // exchange of the command that is being read
	resp       reply
	args       uint64 // arguments still to come
	remain     uint64 // bytes of the argument still to come
	index      int    // of the argument; 0 is the name
	name       []byte // upper case, with the second word of containers
	statement  []byte
	command    *command
	entry      *rediscommand.Command // of the command, or of its subcommand
	scanned    int
	failures   int
	batch      int
	batchEvent uint64
	database   int32 // -1 if not known, -2 before the first command
	selected   int32 // database that is selected in the transaction that is open, -1 none
	selecting  int32 // database that a SELECT being read names, -1 none
	silenced   uint8 // CLIENT REPLY: 1 SKIP for the next command, 2 OFF
	state      requestState
	replyMode  uint8 // CLIENT REPLY being read: 1 SKIP, 2 OFF, 3 ON

	keepValues bool
	subscribed bool
	monitoring bool
	answered   bool // a reply was understood: this is Redis
	opaque     bool
	replicates bool
	multi      bool   // a transaction is open
	missed     bool   // what the command that is being read changes is not known
	changes    uint32 // commands that wait, and change the database if they succeed
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	if p.database == -2 {
		p.database = 0
		if c.Requests.Joined {
			p.database = -1
		}
	}
	p.requests(c)
	p.closeBatch(c)
	p.replies(c)
	if ending != decode.Open && p.x != nil {
		p.cutCommand(c)
		p.state, p.scanned = lostCommand, 0
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
	for s.Next() != stream.None {
		ok := true
		switch p.state {
		case atCommand:
			ok = p.startCommand(c)
		case atArgument:
			ok = p.argumentLength(c)
		case inArgument:
			ok = p.argument(c)
		case inValue:
			if p.remain -= s.Skip(p.remain); p.remain == 0 {
				p.nextArgument(c)
			}
		case lostCommand:
			if b := s.Bytes(); len(b) > 0 && s.AtEventStart() &&
				known.Protocol.Recognise(b[:min(len(b), 64)], protocols.Client, protocols.Anywhere) != protocols.No {
				p.state = atCommand
			} else if !s.PassToEvent() {
				p.failures++
			}
		}
		if !ok {
			return
		}
	}
}

// lineEnd finds CR LF in b from the byte after the type; -1 if it is not there. Lines of numbers are short, so a plain
// loop is faster than a search.
func lineEnd(b []byte, from int) int {
	for i := from; i+1 < len(b); i++ {
		if b[i] == '\r' && b[i+1] == '\n' {
			return i
		}
		if i-from > 64 {
			j := bytes.Index(b[i:], []byte("\r\n"))
			if j < 0 {
				return -1
			}
			return i + j
		}
	}
	return -1
}

// number reads a decimal number of at most 18 digits.
func number(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

func (p *parser) startCommand(c *decode.Conn) bool {
	s := c.Requests
	b := s.Bytes()
	if len(b) == 0 {
		p.loseCommand(c, false)
		return true
	}
	if b[0] != '*' {
		return p.inline(c, b)
	}
	end := lineEnd(b, 1)
	if end < 0 {
		if len(b) > 32 || s.Cut() {
			p.loseCommand(c, len(b) > 32)
			return true
		}
		return false
	}
	if b[1] == '-' || b[1] == '0' { // an empty array is no command; servers pass over it
		s.Skip(uint64(end) + 2)
		return true
	}
	n, ok := number(b[1:end])
	if !ok || n > 1<<20 {
		p.loseCommand(c, true)
		return true
	}
	p.begin(c)
	p.args = n
	s.Skip(uint64(end) + 2)
	p.state = atArgument
	return true
}

func (p *parser) begin(c *decode.Conn) {
	if p.resp.state == cutReply {
		p.endCut(c)
	}
	if serial := c.Requests.Meta().Serial; serial != p.batchEvent {
		p.closeBatch(c)
		p.batchEvent = serial
	}
	p.batch++
	if p.changes > 0 && c.Open() == 0 { // they were ended without a reply
		p.changes, p.database = 0, -1
	}
	p.x = c.Begin()
	begun(p.x)
	p.index, p.command, p.entry, p.selecting, p.replyMode = 0, &ordinary, rediscommand.Unknown, -1, 0
	p.name, p.statement, p.missed = p.name[:0], p.statement[:0], false
}

func (p *parser) argumentLength(c *decode.Conn) bool {
	s := c.Requests
	b := s.Bytes()
	if len(b) == 0 {
		p.loseCommand(c, false)
		return true
	}
	end := lineEnd(b, 1)
	if end < 0 && b[0] == '$' && len(b) < 32 && !s.Cut() {
		return false
	}
	var n uint64
	ok := false
	if end > 0 && b[0] == '$' {
		n, ok = number(b[1:end])
	}
	if !ok || n > 1<<40 {
		p.loseCommand(c, end >= 0 || b[0] != '$' || len(b) >= 32)
		return true
	}
	s.Skip(uint64(end) + 2)
	p.remain = n + 2
	p.state = inArgument
	return true
}

// argument takes the part of an argument that is kept.
func (p *parser) argument(c *decode.Conn) bool {
	s := c.Requests
	want := min(p.remain-2, maxArgument)
	if p.index > 1 && (len(p.statement) >= maxStatement || !p.shows()) {
		want = 0 // not looked at
	}
	b := s.Bytes()
	if uint64(len(b)) < want && !s.Cut() && (len(b) > 0 || s.Next() == stream.None) {
		return false
	}
	kept := min(uint64(len(b)), want)
	if kept < want {
		p.missWord(c)
	}
	if kept == want || p.index > 1 || p.index == 1 && p.command.trait == traitNone {
		p.word(b[:kept], p.remain-2)
	}
	p.state = inValue
	return true
}

// missWord acts on a gap in a word of a command. Without its name, or what it selects, what the command changes and
// whether it has a reply is not known. Half a name is none.
func (p *parser) missWord(c *decode.Conn) {
	switch {
	case p.index == 0 && p.x != nil:
		p.x.Ignore = true
	case p.index > 0 && p.command.trait != traitClient && p.command.trait != traitSelect:
		return
	}
	p.missed = true
	c.RequestGap()
}

// shows reports whether the argument at the position is written into the statement.
func (p *parser) shows() bool {
	if p.keepValues && !p.entry.Secret() {
		return true
	}
	return p.entry.Shown(p.shownIndex())
}

func (p *parser) shownIndex() int {
	if p.command.trait == traitContainer || p.command.trait == traitClient {
		return p.index - 1
	}
	return p.index
}

func (p *parser) nextArgument(c *decode.Conn) {
	p.index++
	if p.args--; p.args > 0 {
		p.state = atArgument
		return
	}
	p.state = atCommand
	p.endCommand(c)
}

// loseCommand gives up the command that is being read and looks for the next. With failed, the bytes were not those of
// a command; otherwise a gap comes next.
func (p *parser) loseCommand(c *decode.Conn, failed bool) {
	if s := c.Requests; failed {
		p.failures++
		s.SkipToEvent() // never look at the same place twice
	} else {
		s.Skip(uint64(len(s.Bytes()))) // what a gap cuts, and the gap
		s.PassGap()
	}
	if p.resp.state == cutReply { // what is missing may be the next request
		p.loseReply(c)
	}
	if x := p.x; p.cutCommand(c) {
		c.BreakRequest(x)
	}
	p.state, p.scanned = lostCommand, 0
	p.database, p.selected, p.changes = -1, -1, 0 // until the next SELECT
	c.RequestGap()
}

// cutCommand ends the reading of a command whose rest will not be seen. It reports whether its exchange still waits. A
// command of which not even the name is known is followed, but not published.
func (p *parser) cutCommand(c *decode.Conn) bool {
	x := p.x
	p.x = nil
	if x == nil || x != c.Newest() {
		return false
	}
	if len(p.name) == 0 {
		x.Ignore = true
		return true
	}
	sayCommand(x, p.name, p.statement)
	if p.changes == 0 {
		sayDatabase(x, p.database)
	}
	c.Started(x)
	return true
}

// inline reads a command that is a line of words.
func (p *parser) inline(c *decode.Conn, b []byte) bool {
	s := c.Requests
	i := bytes.IndexByte(b[min(p.scanned, len(b)):], '\n')
	if i < 0 {
		p.scanned = len(b)
		if len(b) > maxLine || s.Cut() {
			p.loseCommand(c, true)
			return true
		}
		return false
	}
	end := min(p.scanned, len(b)) + i
	p.scanned = 0
	words := bytes.Fields(b[:end])
	if len(words) == 0 {
		s.Skip(uint64(end) + 1)
		return true
	}
	for _, ch := range words[0] {
		if ch < '!' || ch >= 0x7f {
			p.loseCommand(c, true)
			return true
		}
	}
	p.begin(c)
	for n, w := range words {
		p.index = n
		p.word(w[:min(len(w), maxArgument)], uint64(len(w)))
	}
	p.index = len(words)
	s.Skip(uint64(end) + 1)
	p.endCommand(c)
	return true
}

// closeBatch tells the commands of one send how many they are.
func (p *parser) closeBatch(c *decode.Conn) {
	if p.batch == 0 {
		return
	}
	if p.batch > 1 { // A batch has two operations or more.
		for _, x := range c.Recent(p.batch) {
			x.Said.Attributes.Number(attrBatchSize, int64(p.batch))
		}
	}
	p.batch, p.batchEvent = 0, 0
}
