package postgres

import (
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/sql"
)

// Edge is the node's half.
var Edge = edge.Room{Protocol: &Protocol, New: newScanner}

const (
	// maxQuery is how much of the text of a statement leaves the node.
	maxQuery = 8 << 10
	// maxName is how much of the name of a statement or portal does.
	maxName = 256
	// maxTag is how much of a command tag does.
	maxTag = 64
)

// scanner follows a connection of PostgreSQL.
type scanner struct {
	rules *edge.Rules
	ways  [2]way
	// answers is how many requests for encryption wait for their byte.
	answers int
	// syntax holds what the server said of its settings.
	syntax  sql.Syntax
	blanker sql.Blanker
	// encrypted is how many bytes of what is scanned came before the encryption that the server agrees to; 0: it does not.
	encrypted int
}

// Successor implements [edge.Successor].
func (s *scanner) Successor() (number millracev1.Protocol, read int) {
	if s.encrypted == 0 {
		return 0, 0
	}
	return millracev1.Protocol_PROTOCOL_TLS, s.encrypted
}

// way is one direction.
type way struct {
	// first: the next message is one without a type.
	first bool
	head  [StartupHeaderBytes]byte
	have  int // bytes of head that were read
	left  uint32
	part  part
	size  int // bytes of the part that were read
	// word is the beginning of the name of a parameter or setting, text that of a setting's value.
	word      [32]byte
	text      [16]byte
	wordBytes int
}

// part is a part of a message's body.
type part uint8

const (
	dropped     part = iota // does not leave, up to the end of the message
	whole                   // is kept, up to the end of the message
	number                  // four bytes that are kept, then the rest is dropped
	count                   // two bytes that are kept, then the rest is dropped
	query                   // a text up to its zero, blanked
	statement               // a name up to its zero, then a text
	portal                  // a name up to its zero, then another
	name                    // a name up to its zero, then the rest is dropped
	object                  // S or P, then a name
	tag                     // a text up to the end
	parameter               // the name of a parameter of the first message
	value                   // its value
	setting                 // the name of a setting that the server reports
	told                    // its value, if it is kept
	fieldType               // the type of a field of an error
	fieldShown              // a field that is kept
	fieldHidden             // one that is not
)

func newScanner(r *edge.Rules, seen bool) edge.Scanner {
	s := &scanner{rules: r, syntax: sql.Syntax{Dialect: sql.PostgreSQL}}
	s.ways[0].first = seen
	return s
}

func (s *scanner) way(from protocols.End) *way { return &s.ways[from-protocols.Client] }

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	return s.scan(from, b, 0, w)
}

// scan reads the bytes of b from i on.
func (s *scanner) scan(from protocols.End, b []byte, i int, w *edge.Writer) edge.Status {
	d := s.way(from)
	client := from == protocols.Client
	for i < len(b) {
		if d.left > 0 {
			n := min(len(b)-i, int(d.left))
			s.body(d, b[i:i+n], i, w)
			i += n
			d.left -= uint32(n)
			continue
		}
		if !client && s.answers > 0 && d.have == 0 {
			switch b[i] {
			case 'S', 'G':
				w.Keep(i, i+1)
				// That of GSSAPI has a form of its own. Behind the byte it is the client's turn.
				if b[i] == 'S' && i+1 == len(b) {
					s.encrypted = i + 1
				}
				return edge.Opaque
			case 'N':
				s.answers--
				s.ways[0].first = true
				w.Keep(i, i+1)
				i++
				continue
			}
			s.answers = 0 // an error, as any other
		}
		want := HeaderBytes
		if d.first {
			want = StartupHeaderBytes
		}
		n := copy(d.head[d.have:want], b[i:])
		w.Keep(i, i+n)
		i += n
		if d.have += n; d.have < want {
			break
		}
		d.have = 0
		if status := s.begin(d, client); status != edge.Following {
			s.forget()
			return status
		}
	}
	return edge.Following
}

// begin acts on a head that is complete.
func (s *scanner) begin(d *way, client bool) edge.Status {
	d.size = 0
	if d.first {
		return s.startup(d)
	}
	length, ok := BodyLength(d.head[:], client)
	if !ok {
		return edge.Broken
	}
	d.left = length
	if !client {
		return s.reply(d)
	}
	switch d.head[0] {
	case 'Q':
		d.part = query
		s.blanker.Reset(s.syntax, s.rules.Literals)
	case 'P':
		d.part = statement
	case 'B':
		d.part = portal
	case 'E':
		d.part = whole
		if length > maxName {
			d.part = name
		}
	case 'D', 'C':
		d.part = object
	case 'F':
		d.part = number
	default: // passwords, rows of COPY, why a COPY failed
		d.part = dropped
	}
	return edge.Following
}

// startup acts on the head of a first message.
func (s *scanner) startup(d *way) edge.Status {
	length, code := binary.BigEndian.Uint32(d.head[:]), binary.BigEndian.Uint32(d.head[4:])
	switch {
	case (code == CodeSSL || code == CodeGSS) && length == StartupHeaderBytes:
		s.answers++
	case length < StartupHeaderBytes || length > maxStartup:
		return edge.Broken
	case code == CodeCancel: // its key is a secret
		d.first, d.left, d.part = false, length-StartupHeaderBytes, dropped
	case IsVersion(code):
		d.first, d.left, d.part = false, length-StartupHeaderBytes, parameter
	default:
		return edge.Broken
	}
	return edge.Following
}

// reply acts on the head of a message of the server.
func (s *scanner) reply(d *way) edge.Status {
	switch d.head[0] {
	case 'R':
		d.part = number
	case 'S':
		d.part = setting
	case 'Z':
		d.part = whole
	case 'T':
		d.part = count
	case 'C':
		d.part = tag
	case 'E', 'N':
		d.part = fieldType
	case 'W': // replication: both ends send at will, for hours
		return edge.Opaque
	default: // rows, keys, notifications
		d.part = dropped
	}
	return edge.Following
}

// Skip implements [edge.Scanner].
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	d := s.way(from)
	if n > uint64(d.left) || d.have > 0 {
		s.forget()
		return false
	}
	if d.left -= uint32(n); d.part == setting || d.part == told {
		s.forget()
	}
	// Where the parts of the body are is not known any more.
	d.part = dropped
	return true
}

// forget forgets what the server said of its settings: it may have said something else meanwhile.
func (s *scanner) forget() { s.syntax.Backslash, s.syntax.Bytes = sql.Unknown, sql.Unknown }

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	if recognise(b, from, protocols.Anywhere) != protocols.Sure {
		return false
	}
	d := s.way(from)
	d.first, d.have, d.left = false, 0, 0
	s.answers = 0
	s.forget()
	return true
}

// Tail implements [edge.Tailer]: the end of a response tells how it ended, and that the next message begins behind it.
func (s *scanner) Tail(from protocols.End, b []byte, w *edge.Writer, within bool) bool {
	at := ResponseEnd(b)
	if from != protocols.Server || within || at < 0 {
		return false
	}
	d := s.way(from)
	d.have, d.left = 0, 0
	return s.scan(from, b, at, w) == edge.Following
}
