package mongodb

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/mongodb/message"
)

// Edge is the node's half.
var Edge = edge.Room{
	Protocol: &Protocol,
	Prepare: func(*edge.Rules) (func(bool) edge.Scanner, error) {
		u := &unpacker{}
		return func(bool) edge.Scanner {
			s := &scanner{unpacker: u}
			s.requests.Request = true
			s.replies.Command = s.commands.Has
			return s
		}, nil
	},
}

// scanner keeps what package message wants. Literals are never among it, so it heeds no rule.
type scanner struct {
	requests, replies message.Reader
	commands          message.Recent
	packed            [2]packed // of the client, of the server
	unpacker          *unpacker
}

func (s *scanner) reader(from protocols.End) *message.Reader {
	if from == protocols.Server {
		return &s.replies
	}
	return &s.requests
}

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	r := s.reader(from)
	for at := 0; at < len(b); {
		s.unpack(from, b, at, w)
		n, wanted := r.Next(b[at:])
		if r.Broken() {
			s.reset(from)
			return edge.Lost
		}
		if wanted {
			w.Keep(at, at+n)
		}
		at += n
		s.end(from)
	}
	return edge.Following
}

// unpack scans the compressed bytes of b from at on, if they are that.
func (s *scanner) unpack(from protocols.End, b []byte, at int, w *edge.Writer) {
	r, p := s.reader(from), &s.packed[from-protocols.Client]
	if _, _, ok := r.Packed(); ok {
		n := min(len(b)-at, int(r.Left()))
		p.scan(s.unpacker, r, b, at, at+n, n == int(r.Left()), w)
		if p.over && s.unpacker.command && from == protocols.Client {
			s.commands.Add(r.Header().ID)
			s.unpacker.command = false
		}
	}
}

// end takes the end of a message, if it is there.
func (s *scanner) end(from protocols.End) {
	r := s.reader(from)
	if !r.AtStart() {
		return
	}
	s.packed[from-protocols.Client].reset()
	if r.IsCommand() {
		s.commands.Add(r.Header().ID)
	}
}

// Skip implements [edge.Scanner].
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	r := s.reader(from)
	if _, _, ok := r.Packed(); ok && n > 0 {
		s.packed[from-protocols.Client].over = true
	}
	if !r.Skip(n) {
		s.reset(from)
		return false
	}
	s.end(from)
	return true
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	s.reset(from)
	if len(b) >= message.HeaderSize && from == protocols.Server {
		if h := message.ReadHeader(b); h.Op == message.OpReply && h.Valid(false) && s.commands.Has(h.ResponseTo) {
			return true
		}
	}
	return len(b) > 0 && recognise(b, from, protocols.Boundary) == protocols.Sure
}

func (s *scanner) reset(from protocols.End) {
	r := s.reader(from)
	s.packed[from-protocols.Client].reset()
	*r = message.Reader{Request: r.Request, Command: r.Command}
}
