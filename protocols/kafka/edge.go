package kafka

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/kafka/message"
)

// Edge is the node's half.
var Edge = edge.Room{
	Protocol: &Protocol,
	New: func(*edge.Rules, bool) edge.Scanner {
		s := &scanner{}
		s.requests.Request = true
		s.responses.Asked, s.responses.Begins = s.asked.of, s.asked.begins
		return s
	},
}

// scanner keeps what package message wants. Literals are never among it, so it heeds no rule.
type scanner struct {
	requests, responses message.Reader
	asked               asked
}

// asked remembers the last requests that have a response.
type asked struct {
	last [64]message.Header
	next uint8
}

func (a *asked) add(h message.Header) {
	a.last[a.next&63] = h
	a.next++
}

// latest gives the correlation id of the last request.
func (a *asked) latest() (correlation uint32, ok bool) {
	h := &a.last[(a.next-1)&63]
	return h.Correlation, h.Size > 0
}

// begins reports whether one of the correlation ids begins with b, of at most four bytes.
func (a *asked) begins(b []byte) bool {
	var start uint32
	for _, c := range b {
		start = start<<8 | uint32(c)
	}
	for i := range a.last {
		if a.last[i].Size > 0 && a.last[i].Correlation>>(32-8*len(b)) == start {
			return true
		}
	}
	return false
}

// of gives the API and the version of the request with a correlation id.
func (a *asked) of(correlation uint32) (api, version int16, ok bool) {
	for i := range a.last { // the newest first: ids may come again
		h := &a.last[(a.next-1-uint8(i))&63]
		if h.Size > 0 && h.Correlation == correlation {
			return h.API, h.Version, true
		}
	}
	return 0, 0, false
}

func (s *scanner) reader(from protocols.End) *message.Reader {
	if from == protocols.Server {
		return &s.responses
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
		if r.Begun() && r.Request {
			s.asked.add(r.Header())
		}
		if r.AtStart() && raw(r) {
			s.reset(from)
			return edge.Lost
		}
	}
	return edge.Following
}

// Skip implements [edge.Scanner].
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	r := s.reader(from)
	if !r.Skip(n) || n > 0 && r.AtStart() && raw(r) {
		s.reset(from)
		return false
	}
	return true
}

// raw reports whether tokens without headers follow the message.
func raw(r *message.Reader) bool {
	h := r.Header()
	return h.Raw()
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	s.reset(from)
	if from == protocols.Server {
		return s.resumeResponses(b)
	}
	if len(b) < message.RequestHeader {
		return false
	}
	h, how := message.ReadRequest(b), protocols.Anywhere
	if last, ok := s.asked.latest(); ok { // ids of a client ascend
		if h.Correlation-last-1 < 1<<10 {
			how = protocols.Boundary
		}
		if h.Correlation-last-1 > 1<<24 {
			return false
		}
	}
	return recognise(b, from, how) == protocols.Sure
}

// certain is the correlation id from which on bytes that are by chance a known one are rare enough.
const certain = 1 << 8

// resumeResponses reports whether b begins with responses. Many clients read the length of a response alone: if it is
// one, what follows must begin with the id of a request.
func (s *scanner) resumeResponses(b []byte) bool {
	if len(b) == 4 {
		return b[0] == 0
	}
	for len(b) >= message.ResponseHeader {
		h := message.ReadResponse(b)
		api, version, ok := s.asked.of(h.Correlation)
		h.API, h.Version = api, version
		switch {
		case !ok || !h.Valid(false) || h.Raw():
			return false
		case uint64(h.Size) == uint64(len(b)):
			return true
		case uint64(h.Size) > uint64(len(b)):
			return h.Correlation >= certain
		}
		b = b[h.Size:]
	}
	return false
}

func (s *scanner) reset(from protocols.End) {
	r := s.reader(from)
	*r = message.Reader{Request: r.Request, Asked: r.Asked, Begins: r.Begins}
}
