package edgetest

import (
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Framed is a made-up protocol whose server greets. A frame is 0xfa, a kind, the length of the body in two bytes (big
// endian), and the body. The server sends kinds 'G' (a greeting, kept) and 'R' (rows, dropped), the client 'Q' (four
// bytes of a command, then literals), 'P' (a password) and 'U' (no body; behind it the connection is opaque).
var Framed = protocols.Protocol{
	Number: millracev1.Protocol(1 << 20), Name: "framed", Decoded: true,
	Matches: []protocols.Match{protocols.Text("\xfa")},
	Recognise: func(b []byte, from protocols.End, _ protocols.Evidence) protocols.Guess {
		switch {
		case b[0] != 0xfa:
			return protocols.No
		case len(b) < 2:
			return protocols.More
		case from != protocols.Client && (b[1] == 'G' || b[1] == 'R'), from != protocols.Server && (b[1] == 'Q' || b[1] == 'P' || b[1] == 'U'):
			if len(b) < 4 {
				return protocols.More
			}
			return protocols.Sure
		}
		return protocols.No
	},
}

// FramedEdge is the room of [Framed].
var FramedEdge = edge.Room{Protocol: &Framed, New: func(r *edge.Rules, _ bool) edge.Scanner { return &framed{rules: r} }}

// Frame makes a frame of [Framed].
func Frame(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint16([]byte{0xfa, kind}, uint16(len(body)))) + body
}

// FramedConversations are how [Framed] is spoken.
func FramedConversations() []Conversation {
	return []Conversation{{
		Name: "framed",
		Pieces: []Piece{
			Server(Frame('G', "framed 1.0")), Client(Frame('P', "hunter2hunter2")), Server(Frame('R', "")),
			Client(Frame('Q', "FINDbattery staple") + Frame('Q', "DROP")), Server(Frame('R', "hunter2hunter2")), Client(Frame('Q', "DONE") + Frame('U', "")),
			Client("correct horse"), Server("correct horse"),
		},
		Secrets:  []string{"hunter2hunter2", "correct horse"},
		Literals: []string{"battery staple"},
		Kept:     []string{"framed 1.0", "FIND*****", "DROP", "DONE"},
	}}
}

// framed scans the protocol.
type framed struct {
	rules *edge.Rules
	ways  [2]struct {
		head      [4]byte
		have      int // bytes of the head
		at, total int // of the body
	}
}

func (s *framed) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	d := &s.ways[from-protocols.Client]
	for i := 0; i < len(b); {
		if d.have < len(d.head) {
			d.head[d.have] = b[i]
			d.have++
			if d.have <= 2 && Framed.Recognise(d.head[:d.have], from, protocols.Boundary) == protocols.No {
				d.have = 0
				return edge.Broken
			}
			w.Keep(i, i+1)
			if i++; d.have == len(d.head) {
				d.at, d.total = 0, int(binary.BigEndian.Uint16(d.head[2:]))
				if d.head[1] == 'U' {
					return edge.Opaque
				}
				if d.total == 0 {
					d.have = 0
				}
			}
			continue
		}
		n := min(len(b)-i, d.total-d.at)
		switch d.head[1] {
		case 'G':
			w.Keep(i, i+n)
		case 'P':
			w.Blank(i, i+n)
		case 'Q':
			shown := max(0, min(n, 4-d.at))
			w.Keep(i, i+shown)
			if s.rules.Literals {
				w.Blank(i+shown, i+n)
			} else {
				w.Keep(i+shown, i+n)
			}
		}
		i += n
		if d.at += n; d.at == d.total {
			d.have = 0
		}
	}
	return edge.Following
}

func (s *framed) Skip(from protocols.End, n uint64) bool {
	d := &s.ways[from-protocols.Client]
	if d.have < len(d.head) || n > uint64(d.total-d.at) {
		return false
	}
	if d.at += int(n); d.at == d.total {
		d.have = 0
	}
	return true
}

func (s *framed) Resume(from protocols.End, b []byte) bool {
	if Framed.Recognise(b, from, protocols.Anywhere) != protocols.Sure {
		return false
	}
	s.ways[from-protocols.Client].have = 0
	return true
}
