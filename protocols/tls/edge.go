package tls

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Edge is the node's half. Of the hellos the heads, lengths, versions, server name and names of protocols leave the
// node; all else in them (randoms, session ids, ciphers, keys, tickets) is blanked. Nothing leaves after them.
var Edge = edge.Room{
	Protocol: &Protocol,
	New: func(_ *edge.Rules, seen bool) edge.Scanner {
		return &scanner{ends: [2]Reader{{From: protocols.Client}, {From: protocols.Server}}, seen: seen}
	},
}

// scanner follows a connection up to the hello of the server.
type scanner struct {
	ends [2]Reader
	seen bool
}

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	if !s.seen {
		return edge.Opaque
	}
	r := &s.ends[from-protocols.Client]
	if r.State() == Greeted { // of the client: what follows is a second hello, if it was asked for, or encrypted
		return edge.Following
	}
	begin, kept := 0, true // b[begin:i] is kept, or not
	put := func(end int) {
		if kept {
			w.Keep(begin, end)
		} else {
			w.Blank(begin, end)
		}
		begin = end
	}
	for i := 0; i < len(b); i++ {
		if shown := r.Next(b[i]); shown != kept {
			put(i)
			kept = shown
		}
		switch state := r.State(); {
		case state == Reading:
		case state == Greeted && from == protocols.Client:
			put(i + 1)
			return edge.Following
		case state == Over && from == protocols.Client:
			put(i + 1)
			return edge.Broken
		default:
			put(i + 1)
			return edge.Opaque
		}
	}
	put(len(b))
	return edge.Following
}

// Skip implements [edge.Scanner]. A hello that is not there as a whole says nothing.
func (s *scanner) Skip(from protocols.End, _ uint64) bool {
	return from == protocols.Client && s.ends[0].State() == Greeted
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(protocols.End, []byte) bool { return false }
