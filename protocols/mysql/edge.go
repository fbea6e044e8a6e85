package mysql

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/inflate"
	"millrace.dev/protocols/sql"
)

// Edge is the node's half. What leaves is the headers of packets, what the server's packets count, statements with
// their literals blanked, and names of databases.
var Edge = edge.Room{
	Protocol: &Protocol,
	Prepare: func(r *edge.Rules) (func(seen bool) edge.Scanner, error) {
		inflater := &inflate.Inflater{}
		return func(seen bool) edge.Scanner { return newScanner(r, seen, inflater) }, nil
	},
}

const (
	// maxText is how much of the text of a statement leaves the node.
	maxText = 8 << 10
	// maxName is how much of the name of a database does.
	maxName = 256
	// maxWaiting is how many commands may wait for their answers.
	maxWaiting = 256
	// headBytes is the most bytes of a server's packet that are looked at; see [Need].
	headBytes = 24
)

// packet is where in a packet a direction is.
type packet struct {
	header   [HeaderBytes]byte
	have     int // bytes of header that were read
	length   uint32
	left     uint32 // bytes of the payload that are still to come
	sequence byte
	inside   bool // in the payload
	goesOn   bool // the next packet continues the message
}

// begin reads bytes of a header and gives how many; with inside the header is complete.
func (p *packet) begin(b []byte) int {
	n := copy(p.header[p.have:], b)
	if p.have += n; p.have == HeaderBytes {
		p.length, p.sequence, p.have = Length(p.header[:]), p.header[3], 0
		p.left, p.inside = p.length, true
	}
	return n
}

// scanner follows a connection.
type scanner struct {
	rules  *edge.Rules
	client asking
	server answering
	// login: the client has not been let in. greeted: the server's greeting was read.
	login, greeted bool
	version        int       // where in the greeting the version ends
	flags          [7]byte   // of the greeting
	capabilities   [2]uint32 // of the client, of the server
	known          bool      // capabilities are those of the connection
	syntax         sql.Syntax
	waiting        [maxWaiting]Kind // commands that wait for their answers
	first, count   int
	opaque         bool
	// encrypts: the client has asked for TLS, which follows its packet. read is how many bytes of what is scanned came
	// before it.
	encrypts bool
	read     int
	inflating
}

// Successor implements [edge.Successor].
func (s *scanner) Successor() (number millracev1.Protocol, read int) {
	if !s.encrypts || s.client.inside {
		return millracev1.Protocol_PROTOCOL_UNSPECIFIED, 0
	}
	return millracev1.Protocol_PROTOCOL_TLS, s.read
}

// asking is the direction of the client.
type asking struct {
	packet
	lost   bool
	part   part
	size   int // bytes of the part that were read
	index  int // bytes of the message that were read
	skip   int // bytes of a part of known length
	expect byte
	file   bool // packets that are no commands follow each other
	entry  entry
	text   sql.Blanker
	word   [64]byte // how a text begins
	// parameters are the attributes of the query that is being read.
	parameters Parameters
	user       userPart
}

// answering is the direction of the server.
type answering struct {
	packet
	lost   bool
	answer Answer
	active bool // an answer is being read
	class  Class
	head   [headBytes]byte
	size   int  // bytes of head
	past   bool // the needed bytes of the packet were read
	next   byte // number of the next packet
	free   bool // it is not known
}

func newScanner(r *edge.Rules, seen bool, inflater *inflate.Inflater) edge.Scanner {
	s := &scanner{rules: r, login: seen}
	s.inflater = inflater
	s.client.lost, s.server.lost = !seen, !seen
	s.forget()
	return s
}

// forget forgets what the server said of its settings, and the client of its character set.
func (s *scanner) forget() { s.syntax = sql.Syntax{Dialect: sql.MySQL} }

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	lost := &s.client.lost
	scan := s.scanClient
	if from == protocols.Server {
		lost, scan = &s.server.lost, s.scanServer
	}
	for i := 0; i < len(b); {
		switch {
		case s.opaque:
			return edge.Opaque
		case s.wrapped:
			w.Advance(i)
			if status := s.scanWrapped(from, b[i:], w); status != edge.Following || !s.opaque {
				return status
			}
			return edge.Opaque
		case *lost:
			return edge.Lost
		}
		i += scan(b[i:], i, w)
		if s.encrypts && s.opaque {
			s.read = i
			return edge.Opaque
		}
	}
	switch {
	case *lost && !s.wrapped:
		return edge.Lost
	case s.opaque:
		return edge.Opaque
	}
	return edge.Following
}

// push notes a command that waits for its answer.
func (s *scanner) push(k Kind) {
	if k == Nothing {
		return
	}
	if s.server.lost { // the next answer is that to the newest command
		s.count = 0
	}
	if s.count == maxWaiting {
		s.loseClient()
		s.loseServer()
		return
	}
	s.waiting[(s.first+s.count)%maxWaiting] = k
	s.count++
}

// pop gives the kind of the command whose answer begins.
func (s *scanner) pop() Kind {
	if s.count == 0 {
		return Unknown
	}
	k := s.waiting[s.first]
	s.first = (s.first + 1) % maxWaiting
	s.count--
	return k
}

// loseClient gives up the place in what the client sends. Who lets the client in may let it go on in another way, so
// that of the server is given up as well before that is known.
func (s *scanner) loseClient() {
	s.client.lost = true
	s.forget()
	if s.login {
		s.opaque = s.opaque || s.known && Compresses(s.capabilities[0], s.capabilities[1])
		s.loseServer()
	}
}

// loseServer is the same for the server.
func (s *scanner) loseServer() {
	s.server.lost, s.server.active = true, false
	s.opaque = s.opaque || s.agreed && !s.wrapped
	s.forget()
	if s.login {
		s.opaque = s.opaque || s.known && Compresses(s.capabilities[0], s.capabilities[1])
		s.client.lost = true
	}
}

// Framing implements [edge.Framer]: it is the usual one unless the login agrees on compression.
func (s *scanner) Framing() edge.Framing {
	switch {
	case s.wrapped:
		return edge.FramingOther
	case s.login || s.agreed:
		return edge.FramingPending
	}
	return edge.FramingUsual
}

// Skip implements [edge.Scanner].
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	if s.wrapped {
		return s.skipWrapped(from, n)
	}
	return s.skipInner(from, n)
}

// skipInner passes over bytes of packets.
func (s *scanner) skipInner(from protocols.End, n uint64) bool {
	if from == protocols.Client {
		c := &s.client
		if c.lost || n > uint64(c.left) || !c.inside || s.login || c.index == 0 && c.part == partFixed {
			s.loseClient()
			return false
		}
		c.left -= uint32(n)
		c.index, c.part = c.index+int(n), partDropped
		s.endClient()
		return !c.lost
	}
	c := &s.server
	if c.lost || n > uint64(c.left) || !c.inside || !c.past {
		s.loseServer()
		return false
	}
	c.left -= uint32(n)
	s.endServer()
	return true
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	switch {
	case s.wrapped:
		return s.resumeWrapped(from, b)
	case from == protocols.Client:
		return s.resumeClient(b, true)
	}
	return s.resumeServer(b)
}

// resumeClient goes on with the command with which b begins; whole says that all of the event is in b.
func (s *scanner) resumeClient(b []byte, whole bool) bool {
	if !Begins(b, whole) {
		return false
	}
	s.client = asking{}
	s.login = false
	if s.server.lost {
		s.count = 0
	}
	return true
}

// resumeServer goes on with the answer with which b begins, where one is waited for.
func (s *scanner) resumeServer(b []byte) bool {
	if s.count != 1 || s.client.lost || !Answers(b) {
		return false
	}
	known := s.server.answer.DeprecateEOF
	s.server = answering{}
	s.server.answer.DeprecateEOF = known
	return true
}
