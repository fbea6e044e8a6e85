package decode

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	known "millrace.dev/protocols/postgres"
)

// Protocol is PostgreSQL.
var Protocol = decode.Protocol{
	Number:       millracev1.Protocol_PROTOCOL_POSTGRESQL,
	StateVersion: 1,
	New:          newParser,
}

const (
	// maxBody is how much of the body of a message is held.
	maxBody = 10 << 10
	// maxText is how much of a text leaves the node.
	maxText = 8 << 10
	// maxItems is how many messages may wait for their responses.
	maxItems = 1 << 16
	// maxFailures is how often bytes may be no message.
	maxFailures = 16
)

// parser holds both directions of a connection.
type parser struct {
	keep              bool
	requests, replies reader
	user, database    []byte
	answers           int // requests for encryption that wait for their byte
	starting          bool
	opaque, encrypted bool
	answered          bool // a response was understood: this is PostgreSQL
	failures          int
	items             []item
	head              int // items[head:] wait
	units             int // exchanges that are begun and belong to items, or are being begun
	unit              *decode.Exchange
	parsed, bound     bool // the unit has a Parse, a Bind
	of                *statement
	failed            bool // the server passes over everything up to Sync
	hidden            bool // the message that is read answers no exchange
	doubted           bool // the beginning of the next response may have been missed
	copied            bool // what the newest exchange copies in came to its end
	result            result
	cache             cache
}

// item is a message that the server answers.
type item struct {
	// kind is the type of the message; 'd' for a Describe of a statement.
	kind byte
	// last: it is the last of its exchange.
	last bool
}

// result is what was read of the response to the oldest exchange.
type result struct {
	rows           uint64
	rowed, counted bool // the response has rows; a command told how many
	fatal          bool
	copies         bool // the server asked for data
	gapped         bool // the middle of the response is missing
	tag            [32]byte
	tagged         int
	tagRows        uint64
	status         [5]byte // SQLSTATE, 0: none
	failed         bool
}

func newParser(o decode.Options) decode.Parser {
	return &parser{keep: o.KeepStatements, requests: reader{client: true, first: true}, cache: cache{limit: statementsOf(o)}}
}

// Parse implements [decode.Parser].
func (p *parser) Parse(c *decode.Conn, ending decode.Ending) decode.Status {
	for again := true; again; {
		for p.request(c) {
			continue
		}
		waited := p.answers > 0
		for !p.opaque && p.reply(c) {
			continue
		}
		again = waited && p.answers == 0 && !p.opaque
	}
	if ending != decode.Open {
		p.end(c)
	}
	switch {
	case p.opaque:
		return decode.Opaque
	case p.failures > maxFailures, p.failures > 0 && !p.answered && c.Synced():
		return decode.GiveUp
	}
	return decode.Continue
}

// Successor implements [decode.Successor]: behind a request for encryption that the server agrees to. Opaque is never
// said twice, so the snapshot needs no word of it.
func (p *parser) Successor() millracev1.Protocol {
	if p.encrypted {
		return millracev1.Protocol_PROTOCOL_TLS
	}
	return millracev1.Protocol_PROTOCOL_UNSPECIFIED
}

// end acts on the end of the connection: of a unit without an Execute nothing is known.
func (p *parser) end(c *decode.Conn) {
	if p.unit != nil && p.unit == c.Newest() {
		p.unit.Ignore = true
		p.unit = nil
	}
	if x := c.Oldest(); x != nil && p.result.failed && x.Responding() && !x.ResponseDone() {
		p.finish(c, x)
	}
}

// begin opens an exchange at the position of the requests.
func (p *parser) begin(c *decode.Conn) {
	p.settle(c)
	p.unit, p.parsed, p.bound, p.of, p.copied = c.Begin(), false, false, nil, false
	p.units++
}

// endUnit ends the request of an exchange that has no Execute. Only if it fails it is one.
func (p *parser) endUnit(c *decode.Conn) {
	x := p.unit
	if p.unit = nil; x == nil || x != c.Newest() {
		return
	}
	p.describe(x, p.of)
	x.Ignore = true
	c.EndRequest(x)
	if n := len(p.items); n > p.head {
		p.items[n-1].last = true
	}
}

// push notes a message that the server answers.
func (p *parser) push(c *decode.Conn, kind byte, last bool) {
	if len(p.items)-p.head >= maxItems {
		p.lose(c)
	}
	if p.head > 64 && p.head*2 > len(p.items) {
		p.items = append(p.items[:0], p.items[p.head:]...)
		p.head = 0
	}
	p.items = append(p.items, item{kind, last})
}

// pop drops the oldest item.
func (p *parser) pop() {
	if p.items[p.head].last {
		p.units--
	}
	if p.head++; p.head == len(p.items) {
		p.items, p.head = p.items[:0], 0
	}
}

// settle drops the items of exchanges that were ended without their response.
func (p *parser) settle(c *decode.Conn) {
	if p.units <= c.Open() {
		return
	}
	for p.units > c.Open() && p.head < len(p.items) {
		p.pop()
	}
	if p.units > c.Open() {
		p.unit, p.units = nil, c.Open()
	}
	p.result = result{}
}

// lose forgets what waits: what the next response answers is not known.
func (p *parser) lose(c *decode.Conn) {
	c.FinishAll(decode.Lost, c.Responses.Last().End)
	p.items, p.head, p.units, p.unit = p.items[:0], 0, 0, nil
	p.failed, p.result = false, result{}
}

// reader reads the messages of one direction.
type reader struct {
	client, first bool
	// lost: the position is in the middle of a message.
	lost bool
	// reading: the head of a message of a kind was read, and left bytes of its body are to come.
	reading bool
	kind    byte
	code    uint32 // of a first message
	left    uint64
	// body is what is held of it; cut says that bytes of it are missing.
	body []byte
	cut  bool
}

type progress uint8

const (
	waits  progress = iota // for bytes
	ready                  // a head is there, a body is complete
	broken                 // no message
	missed                 // bytes are missing
)

// headBytes is how long the head of the next message is.
func (r *reader) headBytes() int {
	if r.first {
		return known.StartupHeaderBytes
	}
	return known.HeaderBytes
}

// peek looks for the head of a message at the position of s.
func (r *reader) peek(s *stream.Stream) progress {
	switch s.Next() {
	case stream.None:
		return waits
	case stream.Bytes:
	default:
		return missed
	}
	b := s.Bytes()
	if len(b) < r.headBytes() {
		if s.Cut() {
			return missed
		}
		return waits
	}
	if r.first {
		length, code := uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), codeOf(b)
		if length < known.StartupHeaderBytes || length > 1<<16 || code != known.CodeSSL && code != known.CodeGSS && code != known.CodeCancel && !known.IsVersion(code) {
			return broken
		}
		r.kind, r.code, r.left = 0, code, uint64(length-known.StartupHeaderBytes)
		return ready
	}
	length, ok := known.BodyLength(b, r.client)
	if !ok {
		return broken
	}
	r.kind, r.left = b[0], uint64(length)
	return ready
}

func codeOf(b []byte) uint32 {
	return uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])
}

// take moves s behind the head that peek found.
func (r *reader) take(s *stream.Stream) {
	s.Skip(uint64(r.headBytes()))
	r.reading, r.body, r.cut = true, r.body[:0], false
}

// read reads the body, of which it holds what has a place in maxBody and does not lie behind a hole; of an error, what
// lies between holes.
func (r *reader) read(s *stream.Stream, holds bool) progress {
	for r.left > 0 {
		switch s.Next() {
		case stream.None:
			return waits
		case stream.Bytes:
			b := s.Bytes()
			n := min(uint64(len(b)), r.left)
			switch room := maxBody - len(r.body); {
			case !holds:
				n = s.Skip(r.left) // over holes as well, where there is no message's end within
				r.left -= n
				continue
			case r.cut && r.kind != 'E' && r.kind != 'N' || r.kind == 0 && r.cut:
			case int(n) > room:
				r.cut = true
				r.body = append(r.body, b[:room]...)
			default:
				r.body = append(r.body, b[:n]...)
			}
			s.Skip(n)
			r.left -= n
		default:
			r.cut = true
			r.left -= s.Skip(min(r.left, s.Run()))
		}
	}
	r.reading = false
	return ready
}
