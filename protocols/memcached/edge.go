package memcached

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Edge is the node's half. Names of commands, keys, numbers and options leave the node; what else stands in a line is
// blanked, and values are dropped, with the passwords that clients send as the value of their first set.
var Edge = edge.Room{
	Protocol: &Protocol,
	New: func(_ *edge.Rules, seen bool) edge.Scanner {
		s := &scanner{}
		s.client.lost, s.server.lost = !seen, !seen
		return s
	},
}

// scanner follows a connection. Requests and answers are lines, some with a value behind them, and each direction can
// be read without the other.
type scanner struct {
	client struct {
		place
		line Request
	}
	server struct {
		place
		line Reply
	}
	opaque bool // the server sends its log
}

// place is where in the syntax a direction is.
type place struct {
	value  uint64 // bytes of the value that are still to come, with its CR LF
	inLine bool   // behind the first byte of a line
	lost   bool
}

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	p, next := &s.client.place, s.nextRequest
	if from == protocols.Server {
		p, next = &s.server.place, s.nextReply
	}
	if p.lost {
		return edge.Lost
	}
	kept := 0 // b[kept:i] is kept
	for i := 0; i < len(b); {
		if p.value > 0 {
			w.Keep(kept, i)
			n := min(p.value, uint64(len(b)-i))
			p.value -= n
			i += int(n)
			kept = i
			continue
		}
		n, kind := next(b[i:])
		if kind == Hidden {
			w.Keep(kept, i)
			w.Blank(i, i+n)
			kept = i + n
		}
		i += n
		if p.inLine = kind != End; p.inLine {
			continue
		}
		switch {
		case p.lost:
			w.Keep(kept, i)
			return edge.Lost
		case s.opaque:
			w.Keep(kept, i)
			return edge.Opaque
		}
	}
	w.Keep(kept, len(b))
	return edge.Following
}

func (s *scanner) nextRequest(b []byte) (n int, kind Kind) {
	c := &s.client
	if n, kind = c.line.Next(b); kind != End {
		return n, kind
	}
	if c.line.Value {
		c.value = c.line.Length + 2
	}
	c.lost, s.opaque = c.line.Bad, c.line.Command.Answer == Log
	c.line = Request{}
	return n, kind
}

func (s *scanner) nextReply(b []byte) (n int, kind Kind) {
	c := &s.server
	if n, kind = c.line.Next(b); kind != End {
		return n, kind
	}
	if c.line.HasValue() {
		c.value = c.line.Length + 2
	}
	c.lost = c.line.Bad
	c.line = Reply{}
	return n, kind
}

// Skip implements [edge.Scanner]. Where the kernel side leaves out the rest of a long value, it may leave out the end
// of the items behind it.
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	p := &s.client.place
	if from == protocols.Server {
		p = &s.server.place
	}
	switch {
	case !p.lost && n <= p.value:
		p.value -= n
	case !p.lost && from == protocols.Server && p.value > 0 && n == p.value+EndBytes:
		p.value = 0
	default:
		p.lost = true
	}
	return !p.lost
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	if from == protocols.Client {
		if !Begins(b) {
			return false
		}
		s.client.place, s.client.line = place{}, Request{}
		return true
	}
	if !Answers(b) {
		return false
	}
	s.server.place, s.server.line = place{}, Reply{}
	return true
}
