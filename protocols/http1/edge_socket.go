package http1

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/websocket"
)

// sockets follow the frames of WebSocket of a connection that was upgraded, those of the client and those of the
// server. The headers of frames leave the node, and of a close frame its status code, with the masking key where it has
// one; no other payload does.
type sockets [2]websocket.Reader

func newSockets() *sockets { return &sockets{{From: protocols.Client}, {From: protocols.Server}} }

// scan reads the bytes of b from i on.
func (s *sockets) scan(from protocols.End, b []byte, i int, w *edge.Writer) edge.Status {
	r := &s[from-protocols.Client]
	for i < len(b) && !r.Over() {
		if n := r.Needs(); n > 0 {
			n = r.Read(b[i:min(len(b), i+n)])
			if !r.Broken { // what is no header may be anything
				w.Keep(i, i+n)
			}
			i += n
			continue
		}
		i += int(r.Skip(uint64(len(b) - i)))
	}
	if r.Broken {
		return edge.GivenUp
	}
	return edge.Following
}

// skip passes over bytes that are not there.
func (s *sockets) skip(from protocols.End, n uint64) bool {
	r := &s[from-protocols.Client]
	return r.Closed || r.Skip(n) == n
}

// NextFrame implements [edge.Placer].
func (s *scanner) NextFrame(from protocols.End) (behind uint64, needed, known bool) {
	if s.sockets == nil {
		return 0, false, false
	}
	r := &s.sockets[from-protocols.Client]
	behind, known = r.Next()
	return behind, r.Needs() > 0, known
}
