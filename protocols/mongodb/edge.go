package mongodb

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/mongodb/message"
)

// Edge is the node's half.
var Edge = edge.Room{
	Protocol: &Protocol,
	New: func(*edge.Rules, bool) edge.Scanner {
		s := &scanner{}
		s.requests.Request = true
		s.replies.Command = s.commands.Has
		return s
	},
}

// scanner keeps what package message wants. Literals are never among it, so it heeds no rule.
type scanner struct {
	requests, replies message.Reader
	commands          message.Recent
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
		n, wanted := r.Next(b[at:])
		if r.Broken() {
			s.reset(from)
			return edge.Lost
		}
		if wanted {
			w.Keep(at, at+n)
		}
		at += n
		if r.AtStart() && r.IsCommand() {
			s.commands.Add(r.Header().ID)
		}
	}
	return edge.Following
}

// Skip implements [edge.Scanner].
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	r := s.reader(from)
	if !r.Skip(n) {
		s.reset(from)
		return false
	}
	if r.AtStart() && r.IsCommand() {
		s.commands.Add(r.Header().ID)
	}
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
	*r = message.Reader{Request: r.Request, Command: r.Command}
}
