package http2

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Edge is the node's half.
var Edge = edge.Room{Protocol: &Protocol, New: newScanner}

func newScanner(r *edge.Rules, seen bool) edge.Scanner {
	s := &scanner{screen: screenOf(r), strict: seen}
	for i := range s.directions {
		d := &s.directions[i]
		d.lost, d.opens = !seen, seen
	}
	if seen {
		s.directions[0].preface = uint8(len(Preface))
	}
	return s
}

// scanner follows the frames of a connection.
type scanner struct {
	screen     *screen
	directions [2]direction // of the client, of the server
	// strict: both directions were seen from their beginning, and nothing was missing since.
	strict bool
}

// direction is what the scanner knows of the bytes that one end sends.
type direction struct {
	preface uint8 // bytes of the client's preface to come
	opens   bool  // the next frame is the first
	lost    bool

	have  uint8 // bytes of the header of the frame that have come
	head  [HeaderSize]byte
	frame Header
	left  uint32 // bytes of the payload to come
	// before are the bytes to come that lie before a header block or data, padding those at the end of the payload.
	before, padding uint32
	// open is the stream whose header block goes on in CONTINUATION, 0 if none does; first is the frame in which it
	// began.
	open  uint32
	first Header

	block block
	names table
	// messages are the streams whose messages of gRPC are followed.
	messages map[uint32]message
	// bodies are the streams of whose bodies something leaves.
	bodies map[uint32]edge.BodyReader
}

func (s *scanner) of(from protocols.End) *direction {
	if from == protocols.Server {
		return &s.directions[1]
	}
	return &s.directions[0]
}

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	d := s.of(from)
	if d.lost {
		return edge.Lost
	}
	for i := 0; i < len(b); {
		switch {
		case d.preface > 0:
			n := min(int(d.preface), len(b)-i)
			if at := len(Preface) - int(d.preface); string(b[i:i+n]) != Preface[at:at+n] {
				return s.broken(d)
			}
			w.Keep(i, i+n)
			d.preface -= uint8(n)
			i += n
		case d.have < HeaderSize:
			n := copy(d.head[d.have:], b[i:])
			d.have += uint8(n)
			if d.have == HeaderSize && !d.begin(s.strict) {
				return s.broken(d)
			}
			w.Keep(i, i+n)
			i += n
		default:
			next, ok := s.payload(d, b, i, w)
			if !ok {
				return s.broken(d)
			}
			i = next
		}
		if d.have == HeaderSize && d.left == 0 && !s.end(d) {
			return s.broken(d)
		}
	}
	return edge.Following
}

// NextFrame implements [edge.Placer].
func (s *scanner) NextFrame(from protocols.End) (behind uint64, needed, known bool) {
	d := s.of(from)
	switch {
	case d.lost, d.have > 0 && d.have < HeaderSize:
		return 0, false, false
	case d.preface > 0:
		return uint64(d.preface), true, true
	}
	return uint64(d.left), true, true
}

// broken gives the direction up: for good where nothing can explain it but that the bytes are of another protocol.
func (s *scanner) broken(d *direction) edge.Status {
	s.lose(d)
	if s.strict {
		return edge.Broken
	}
	return edge.Lost
}

func (s *scanner) lose(d *direction) {
	*d = direction{lost: true, names: table{kinds: d.names.kinds[:0]}, messages: d.messages, bodies: d.bodies}
	clear(d.messages)
	clear(d.bodies)
}

// begin takes the header of a frame. Without strict it may be none, so it must look like one.
func (d *direction) begin(strict bool) bool {
	h := ReadHeader(d.head[:])
	d.frame, d.left, d.before, d.padding = h, h.Length, uint32(h.prelude()), 0
	switch {
	case d.opens && (h.Type > Continuation || h.Length > 1<<14): // the first are settings (RFC 9113, section 3.4)
		return false
	case !h.Valid(), !strict && !h.certain(), d.before > h.Length,
		d.open != 0 && (h.Type != Continuation || h.Stream != d.open), // RFC 9113, section 6.10
		d.open == 0 && h.Type == Continuation:
		return false
	case h.Type == Headers || h.Type == PushPromise:
		d.open, d.first = h.Stream, h
		d.block.begin()
	}
	d.opens = false
	return true
}

// payload reads what b[i:] has of the payload of the frame, and gives the index behind it.
func (s *scanner) payload(d *direction, b []byte, i int, w *edge.Writer) (next int, ok bool) {
	next = i + min(int(d.left), len(b)-i)
	for d.before > 0 && i < next {
		if d.frame.Has(FlagPadded) && d.left == d.frame.Length {
			if d.padding = uint32(b[i]); d.padding+d.before > d.left {
				return 0, false
			}
		}
		w.Keep(i, i+1)
		d.before--
		d.left--
		i++
	}
	content := min(i+max(0, int(d.left)-int(d.padding)), next)
	at := int(d.frame.Length - d.left)
	d.left -= uint32(next - i)
	switch d.frame.Type {
	case Data:
		d.data(b[:content], i, w)
		d.body(b[:content], i, w)
	case Headers, PushPromise, Continuation:
		return next, s.fields(d, b[:content], i, w)
	case ResetStream, WindowUpdate, Priority:
		w.Keep(i, next)
	case GoAway: // the last stream and the error code, without debug data
		w.Keep(i, min(next, i+max(0, 8-at)))
	case Ping:
		w.Blank(i, next)
	case Settings:
		d.settings(b[:next], i, at, w)
	default:
	}
	return next, true
}

// settings keeps parameters that are registered; the values of others are blanked.
func (d *direction) settings(b []byte, i, at int, w *edge.Writer) {
	for i < len(b) {
		n := min(6-at%6, len(b)-i)
		if at%6 == 0 && n == 6 && registeredParameter(b[i:]) {
			w.Keep(i, i+n)
		} else {
			w.Blank(i, i+n)
		}
		i, at = i+n, at+n
	}
}

// end ends the frame.
func (s *scanner) end(d *direction) bool {
	h := &d.frame
	d.have = 0
	switch h.Type {
	case Headers, PushPromise, Continuation:
		if !h.Has(FlagEndHeaders) {
			return true
		}
		if !d.block.ends() {
			return false
		}
		d.open = 0
		if d.first.Type != Headers {
			return true
		}
		if d.first.Has(FlagEndStream) {
			d.forget(h.Stream)
		} else {
			d.follow(h.Stream)
		}
	case Data:
		if h.Has(FlagEndStream) {
			d.forget(h.Stream)
		}
	case ResetStream:
		for i := range s.directions {
			s.directions[i].forget(h.Stream)
		}
	default:
	}
	return true
}

// Skip implements [edge.Scanner].
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	d := s.of(from)
	if n == 0 || d.lost {
		return !d.lost
	}
	s.strict = false
	if d.preface > 0 || d.have < HeaderSize || n > uint64(d.left) {
		s.lose(d)
		return false
	}
	skipped := uint32(n)
	for d.before > 0 && skipped > 0 {
		if d.frame.Has(FlagPadded) && d.left == d.frame.Length { // How long the padding is was among what is missing.
			d.forget(d.frame.Stream)
		}
		d.before--
		d.left--
		skipped--
	}
	switch content := min(skipped, d.left-min(d.left, d.padding)); d.frame.Type {
	case Data:
		d.skipData(content)
		d.skipBody(content)
	case Headers, PushPromise, Continuation:
		if content > 0 {
			d.block.lose()
			d.names.lose()
		}
	default:
	}
	d.left -= skipped
	if d.left == 0 && !s.end(d) {
		s.lose(d)
		return false
	}
	return true
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	d := s.of(from)
	if from == protocols.Client && preface(b) == protocols.Sure {
		s.lose(d)
		d.lost, d.preface = false, uint8(len(Preface))
		return true
	}
	if !Certain(b, from) {
		return false
	}
	s.lose(d)
	d.lost = false
	return true
}
