package mysql

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/inflate"
)

// The compressed protocol: what either end sends behind its login is in packets of their own, each with a header of
// seven bytes: three of the length on the wire, little-endian, a number, and three of the length of what it holds; 0:
// that is stored as it is. See "Compressed Packet" in the MySQL internals. Packets of the protocol begin and end
// anywhere in them.
//
// The node inflates them, reads what they hold by the rules of the protocol, and restates each: see
// [edge.Writer.Restate]. It never inflates what it needs not: the rest of a long text, of a row, and what is behind
// maxInflated of a turn.
const (
	wrapHeader = 7
	// maxWrapped is how many bytes of a packet are collected where it comes in several events: what is inflated of it.
	maxWrapped = 32 << 10
	// maxInflated is how many bytes are inflated for a command and its answer.
	maxInflated = 8 << 20
)

// wrapping is where in its compressed packets a direction is.
type wrapping struct {
	header  [wrapHeader]byte
	have    int // bytes of header that were read
	left    int // bytes on the wire still to come
	size    int // bytes that it holds
	sized   bool
	inside  bool
	held    []byte // what has come of it, where it comes in several events
	read    bool   // it was inflated, and is in text; no more of it is looked at
	started bool   // a part of it was deferred
	text    edge.Text
}

// inflating is what the compressed protocol needs besides.
type inflating struct {
	wrapped  bool // it is spoken
	agreed   bool // it is, behind the packet that is being read
	ways     [2]wrapping
	inflater *inflate.Inflater // of all connections
	inner    edge.Writer
	budget   int // bytes that may still be inflated in this turn
}

// start begins a packet whose header is complete. It reports whether there can be one.
func (d *wrapping) start() bool {
	d.left, d.size, d.have = int(Length(d.header[:])), int(Length(d.header[4:])), 0
	if d.sized = d.size > 0; !d.sized {
		d.size = d.left
	}
	d.inside, d.read, d.held = true, false, d.held[:0]
	d.text.Reset()
	return d.left > 0
}

// number is that of the packet: 0 for the first of a command.
func (d *wrapping) number() byte { return d.header[3] }

// scanWrapped reads bytes of the compressed protocol.
func (s *scanner) scanWrapped(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	d := &s.ways[from-protocols.Client]
	for i := 0; i < len(b); {
		begin := i
		if !d.inside {
			n := copy(d.header[d.have:], b[i:])
			i += n
			if d.have += n; d.have < wrapHeader {
				w.Defer(begin, i, d.started)
				d.started = true
				break
			}
			if !d.start() {
				s.loseWrapped(from)
				return edge.Lost
			}
			s.beginWrapped(from)
		}
		n := min(len(b)-i, d.left)
		part := b[i : i+n]
		i += n
		d.left -= n
		switch {
		case d.read:
		case d.left == 0 && len(d.held) == 0:
			s.readWrapped(from, part)
		default:
			d.held = append(d.held, part[:min(n, maxWrapped-len(d.held))]...)
			if d.left == 0 || len(d.held) == maxWrapped {
				s.readWrapped(from, d.held)
			}
		}
		if d.left > 0 {
			w.Defer(begin, i, d.started)
			d.started = true
			break
		}
		w.Restate(begin, i, &d.text, d.started)
		s.endWrapped(d)
	}
	return edge.Following
}

func (s *scanner) endWrapped(d *wrapping) {
	d.inside, d.started = false, false
	if cap(d.held) > 4<<10 {
		d.held = nil
	}
	if d.text.Kept() > 16<<10 {
		d.text = edge.Text{}
	}
}

// beginWrapped acts on the header of a packet: with a command a turn begins.
func (s *scanner) beginWrapped(from protocols.End) {
	if from == protocols.Client && s.ways[0].number() == 0 {
		s.budget = maxInflated
	}
}

// readWrapped reads what a packet holds, of which b is there.
func (s *scanner) readWrapped(from protocols.End, b []byte) {
	d := &s.ways[from-protocols.Client]
	d.read = true
	got := 0
	begins := true
	take := func(chunk []byte) bool {
		if begins && s.innerLost(from) && !s.resumeInner(from, d.number(), chunk) {
			return false
		}
		begins = false
		s.inner.Start(chunk)
		s.inner.Run(0, 0)
		s.scanInner(from, chunk)
		d.text.Take(&s.inner, len(chunk))
		got += len(chunk)
		return !s.innerLost(from) && !s.opaque && !s.needless(from, d.size-got)
	}
	limit := min(d.size, s.budget)
	if !s.innerLost(from) && s.needless(from, d.size) {
		limit = 0
	}
	if d.sized {
		s.budget -= s.inflater.Inflate(inflate.KindOf(b), b, limit, take)
	} else {
		for n := 0; len(b) > 0 && got < limit; b = b[n:] { // in place: only what is restated is kept of it
			if n = min(len(b), inflate.Chunk, limit-got); !take(b[:n]) {
				break
			}
		}
	}
	if rest := d.size - got; rest > 0 {
		d.text.Skip(uint32(rest))
		if !s.innerLost(from) {
			s.skipInner(from, uint64(rest))
		}
	}
}

// scanInner reads bytes that a packet holds.
func (s *scanner) scanInner(from protocols.End, b []byte) {
	for i := 0; i < len(b) && !s.innerLost(from) && !s.opaque; {
		if from == protocols.Client {
			i += s.scanClient(b[i:], i, &s.inner)
		} else {
			i += s.scanServer(b[i:], i, &s.inner)
		}
	}
}

func (s *scanner) innerLost(from protocols.End) bool {
	if from == protocols.Client {
		return s.client.lost
	}
	return s.server.lost
}

// needless reports whether none of the next n bytes that a packet holds is needed.
func (s *scanner) needless(from protocols.End, n int) bool {
	if from == protocols.Client {
		c := &s.client
		return c.inside && n <= int(c.left) && c.index > 0 && (c.part == partDropped || c.part == partText && c.size >= maxText)
	}
	d := &s.server
	return d.inside && d.past && n <= int(d.left)
}

// resumeInner looks whether b, with which a packet begins, begins a command or its answer.
func (s *scanner) resumeInner(from protocols.End, number byte, b []byte) bool {
	if from == protocols.Client {
		return number == 0 && s.resumeClient(b, false)
	}
	return number == 1 && s.resumeServer(b)
}

// skipWrapped passes over bytes that are not there.
func (s *scanner) skipWrapped(from protocols.End, n uint64) bool {
	d := &s.ways[from-protocols.Client]
	if !d.inside || n >= uint64(d.left) { // where a packet ends, what it stands for is said
		s.loseWrapped(from)
		return false
	}
	d.left -= int(n)
	if !d.read {
		s.readWrapped(from, d.held)
	}
	return true
}

// loseWrapped gives up the place in the packets of a direction.
func (s *scanner) loseWrapped(from protocols.End) {
	d := &s.ways[from-protocols.Client]
	*d = wrapping{held: d.held[:0], text: d.text}
	if from == protocols.Client {
		s.loseClient()
	} else {
		s.loseServer()
	}
}

// resumeWrapped looks whether b begins with a whole packet that begins a command or its answer.
func (s *scanner) resumeWrapped(from protocols.End, b []byte) bool {
	if len(b) <= wrapHeader || int(Length(b))+wrapHeader > len(b) || Length(b) == 0 {
		return false
	}
	d := wrapping{}
	copy(d.header[:], b)
	d.start()
	part := b[wrapHeader : wrapHeader+d.left]
	ok := false
	look := func(chunk []byte) bool {
		if from == protocols.Client {
			ok = d.number() == 0 && len(chunk) > HeaderBytes && Begins(chunk, false)
		} else {
			ok = d.number() == 1 && s.count == 1 && !s.client.lost && Answers(chunk)
		}
		return false
	}
	if d.sized {
		s.inflater.Inflate(inflate.KindOf(part), part, headBytes, look)
	} else {
		look(part)
	}
	if ok { // Scan comes with the same bytes
		s.ways[from-protocols.Client] = wrapping{}
	}
	return ok
}
