package decode

import (
	"bytes"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// state is where in a message one direction is.
type state uint8

const (
	atStart    state = iota // before the first byte of a message
	inLine                  // in the request or status line
	inHeaders               //
	inLength                // body of known length
	atChunk                 // before a chunk header
	inChunk                 // chunk data
	behindData              // before the line end that follows chunk data
	inTrailers              //
	untilClose              // body that ends with the connection
	blind                   // chunked body whose framing was lost
	resync                  // looking for the next message
	held                    // requests only: it depends on a response whether more follow
	severed                 // requests only: behind a gap in the head
	inLongLine              // in a line of the head that is too long to be held
	lastState
)

// side is the state of one direction.
type side struct {
	x       *decode.Exchange // exchange of the message; nil for a response that belongs to none
	remain  uint64           // of the body or chunk; in the head of a response toHTTP2 or toSocket, if its Upgrade header names either
	head    uint64           // bytes of the head so far
	body    uint64           // body bytes so far
	length  uint64           // Content-Length
	scanned int              // bytes at the position that hold no line end
	status  uint32
	state   state

	sized, badLength, coded, chunked, agent, hosted bool

	// bodies is set where a layer wants the body, which is that of a response if answers is set. It is found again
	// after a restart.
	bodies  *decode.Layers
	answers bool
}

// What the Upgrade header of a response names.
const (
	toHTTP2  = 1
	toSocket = 2
)

func (d *side) begin(x *decode.Exchange) {
	*d = side{x: x, state: inLine}
}

type found uint8

const (
	wait   found = iota // more bytes are needed
	line                // a line is complete
	broken              // the rest of the line is in a hole, or the line is too long
)

// next finds the line at the position: its content without the line end, and its size with it. With fold, a line that
// begins with white space belongs to the one before.
func (d *side) next(s *stream.Stream, fold bool) (content []byte, size int, f found) {
	b := s.Bytes()
	for {
		i := bytes.IndexByte(b[d.scanned:], '\n')
		if i < 0 {
			d.scanned = len(b)
			if len(b) > maxLine || s.Cut() {
				return nil, 0, broken
			}
			return nil, 0, wait
		}
		end := d.scanned + i
		if content = trimCR(b[:end]); fold && len(content) > 0 {
			if end+1 == len(b) && !s.Cut() {
				d.scanned = end
				return nil, 0, wait // the next byte tells whether the line goes on
			}
			if end+1 < len(b) && (b[end+1] == ' ' || b[end+1] == '\t') {
				d.scanned = end + 1
				if d.scanned > maxLine {
					return nil, 0, broken
				}
				continue
			}
		}
		d.scanned = 0
		return content, end + 1, line
	}
}

// longLine moves through the line that is too long to be held. It reports whether its end was reached; cut, that a gap
// comes before it.
func (d *side) longLine(s *stream.Stream) (done, cut bool) {
	b := s.Bytes()
	i := bytes.IndexByte(b, '\n')
	n := i + 1
	if i < 0 {
		if s.Cut() {
			return false, true
		}
		n = len(b)
	}
	d.head += uint64(n)
	s.Skip(uint64(n))
	return i >= 0, false
}

// counted moves over n body bytes at most and counts them.
func (d *side) counted(s *stream.Stream, n uint64) uint64 {
	if d.bodies != nil {
		return d.offered(s, n)
	}
	took := s.Skip(n)
	d.body += took
	return took
}

// offered is counted for a body that a layer wants.
func (d *side) offered(s *stream.Stream, n uint64) (took uint64) {
	for took < n && s.Next() != stream.None {
		run := min(n-took, s.Run())
		known := s.Bytes()
		if s.Next() == stream.Lost {
			d.bodies.BodyLost(d.x, d.answers)
		}
		d.bodies.Body(d.x, d.answers, known[:min(uint64(len(known)), run)], run)
		moved := s.Skip(run)
		if d.body, took = d.body+moved, took+moved; moved == 0 {
			break
		}
	}
	return took
}

// offer says whether a layer wants the body of the message.
func (d *side) offer(layers *decode.Layers, answers bool) {
	if d.x != nil && layers.WantsBody(d.x) {
		d.bodies, d.answers = layers, answers
	}
}

// readBody moves through the body. It reports whether its end was reached.
func (d *side) readBody(s *stream.Stream) (done bool) {
	for s.Next() != stream.None || d.state == inLength && d.remain == 0 {
		switch d.state {
		case inLength:
			d.remain -= d.counted(s, d.remain)
			return d.remain == 0
		case untilClose:
			d.counted(s, ^uint64(0))
		case inChunk:
			if d.remain -= d.counted(s, d.remain); d.remain == 0 {
				d.state = behindData
			}
		case behindData:
			if !d.lineEnd(s) {
				return false
			}
		case atChunk, inTrailers:
			if done, more := d.chunkLine(s); done || !more {
				return done
			}
		case blind:
			if d.readBlind(s) {
				return true
			}
		default:
			return false
		}
	}
	return false
}

// lineEnd moves over the line end behind chunk data. In a hole it is taken for CR LF.
func (d *side) lineEnd(s *stream.Stream) (more bool) {
	b := s.Bytes()
	switch {
	case len(b) == 0: // hole
		want := uint64(2) - uint64(d.scanned)
		took := s.Skip(want)
		if d.scanned += int(took); took < want {
			return false
		}
	case d.scanned == 0 && b[0] == '\r':
		s.Skip(1)
		d.scanned = 1
		return true
	case b[0] == '\n':
		s.Skip(1)
	default:
		d.scanned = 0
		d.state = blind
		return true
	}
	d.scanned = 0
	d.state = atChunk
	return true
}

// chunkLine reads a chunk header or a line of the trailer section.
func (d *side) chunkLine(s *stream.Stream) (done, more bool) {
	content, size, f := d.next(s, false)
	switch f {
	case wait:
		return false, false
	case broken:
		d.scanned = 0
		d.state = blind
		return false, true
	case line:
	}
	if d.state == inTrailers {
		s.Skip(uint64(size))
		return len(content) == 0, true
	}
	n, ok := chunkSize(content)
	if !ok {
		d.state = blind
		return false, true
	}
	s.Skip(uint64(size))
	if n == 0 {
		d.state = inTrailers
	} else {
		d.state, d.remain = inChunk, n
	}
	return false, true
}

// chunkSize reads the size of a chunk header, RFC 9112 section 7.1; extensions are ignored.
func chunkSize(b []byte) (n uint64, ok bool) {
	i := 0
	for ; i < len(b); i++ {
		c := b[i] | 0x20
		switch {
		case b[i] >= '0' && b[i] <= '9':
			n = n<<4 | uint64(b[i]-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return n, i > 0 && (b[i] == ';' || b[i] == ' ' || b[i] == '\t')
		}
		if i >= 15 {
			return 0, false
		}
	}
	return n, i > 0
}

// readBlind moves over one event of a chunked body whose framing was lost. It reports whether the event ends with the
// last chunk.
func (d *side) readBlind(s *stream.Stream) (done bool) {
	if d.x != nil {
		d.x.Estimated = true
	}
	if d.bodies != nil { // what follows may be chunk headers
		d.bodies.BodyLost(d.x, d.answers)
		d.bodies = nil
	}
	tail, before := s.EventTail()
	n := before + uint64(len(tail))
	d.counted(s, n)
	return endsChunks(tail, before == 0)
}

// endsChunks reports whether b ends with a last chunk and a trailer section.
func endsChunks(b []byte, whole bool) bool {
	if !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return false
	}
	at := bytes.LastIndex(b, []byte("\r\n0\r\n"))
	if at < 0 {
		if !whole || !bytes.HasPrefix(b, []byte("0\r\n")) {
			return false
		}
		at = -2
	}
	trailers := b[at+5:]
	for len(trailers) > 2 {
		end := bytes.Index(trailers, []byte("\r\n"))
		if end < 1 || bytes.IndexByte(trailers[:end], ':') < 1 {
			return false
		}
		trailers = trailers[end+2:]
	}
	return true
}

func (d *side) appendState(c *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(c.Index(d.x)))
	w.Uint(d.remain)
	w.Uint(d.head)
	w.Uint(d.body)
	w.Uint(d.length)
	w.Uint(uint64(d.scanned))
	w.Uint(uint64(d.status))
	w.Uint(uint64(d.state))
	for _, b := range d.bits() {
		w.Bool(*b)
	}
}

func (d *side) restoreState(c *decode.Conn, r *snapshot.Reader, s *stream.Stream) {
	*d = side{
		x: c.At(int(r.Uint())), remain: r.Uint(), head: r.Uint(), body: r.Uint(), length: r.Uint(),
		scanned: int(r.Uint()), status: uint32(r.Uint()), state: state(r.Uint()),
	}
	for _, b := range d.bits() {
		*b = r.Bool()
	}
	if d.state >= lastState || d.scanned < 0 || d.scanned > len(s.Bytes()) && d.state != behindData || d.scanned > maxLine+64<<10 {
		r.Fail()
		d.scanned, d.state = 0, resync
	}
}

func (d *side) bits() [6]*bool {
	return [6]*bool{&d.sized, &d.badLength, &d.coded, &d.chunked, &d.agent, &d.hosted}
}
