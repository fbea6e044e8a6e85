package dns

import (
	"encoding/binary"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Edge is the node's half.
var Edge = edge.Room{
	Protocol: &Protocol,
	New: func(_ *edge.Rules, seen bool) edge.Scanner {
		return &scanner{[2]reader{{lost: !seen}, {lost: !seen}}}
	},
}

// part is what of a message the next byte belongs to.
type part uint8

const (
	partLength  part = iota
	partHeader       // the header
	partName         // the length of a label, or the first byte of a pointer
	partLabel        // a label
	partPointer      // the second byte of a pointer
	partFixed        // type and class behind a name, and of a record time to live and length of the data
	partData         // data of a record
	partRest         // what follows the announced records
)

// scanner follows the messages of both ends.
type scanner struct{ ends [2]reader }

// reader follows the messages of one direction, byte by byte: messages are short.
type reader struct {
	part    part
	lost    bool
	hides   bool // the data is blanked
	held    uint8
	name    uint8 // bytes of the name until now
	field   [HeaderBytes]byte
	skip    int // bytes of a label or of data still to come
	message int // bytes of the message still to come
	// questions and records still to come
	questions, records int
}

func (s *scanner) end(from protocols.End) *reader { return &s.ends[from-protocols.Client] }

// Scan implements [edge.Scanner].
func (s *scanner) Scan(from protocols.End, b []byte, w *edge.Writer) edge.Status {
	d := s.end(from)
	if d.lost {
		return edge.Lost
	}
	return d.scan(b, w)
}

// Datagram implements [edge.DatagramScanner].
func (*scanner) Datagram(_ protocols.End, b []byte, w *edge.Writer) edge.Status {
	d := reader{part: partHeader, message: maxDatagram}
	return d.scan(b, w)
}

// maxDatagram is more than any datagram has bytes, so that a message goes on to the end of what there is of it.
const maxDatagram = 1 << 16

func (d *reader) scan(b []byte, w *edge.Writer) edge.Status {
	start, hidden := 0, false
	flush := func(to int, hides bool) {
		if hidden {
			w.Blank(start, to)
		} else {
			w.Keep(start, to)
		}
		start, hidden = to, hides
	}
	for i, c := range b {
		if hides := d.part == partData && d.hides || d.part == partRest; hides != hidden {
			flush(i, hides)
		}
		if !d.read(c) {
			return edge.Broken
		}
	}
	flush(len(b), false)
	return edge.Following
}

// read takes the next byte; false: no message has it there.
func (d *reader) read(c byte) bool {
	if d.part == partLength {
		if d.collect(c, lengthBytes) {
			d.message = int(binary.BigEndian.Uint16(d.field[:]))
			d.part = partHeader
			return d.message >= HeaderBytes
		}
		return true
	}
	d.message--
	ok := d.inside(c)
	if d.message == 0 { // whatever was announced
		*d = reader{}
	}
	return ok
}

func (d *reader) inside(c byte) bool {
	switch d.part {
	case partHeader:
		if d.collect(c, HeaderBytes) {
			h, _ := ReadHeader(d.field[:])
			d.questions, d.records = int(h.Questions), int(h.Answers)+int(h.Authorities)+int(h.Additionals)
			d.next()
			return h.plausible()
		}
	case partName:
		switch {
		case c == 0:
			d.part = partFixed
		case c >= 0xc0:
			d.part = partPointer
		case c > 63 || int(d.name)+int(c) > 253:
			return false
		default:
			d.name += c + 1
			d.part, d.skip = partLabel, int(c)
		}
	case partLabel:
		if d.skip--; d.skip == 0 {
			d.part = partName
		}
	case partPointer:
		d.part = partFixed
	case partFixed:
		d.fixed(c)
	case partData:
		if d.skip--; d.skip == 0 {
			d.next()
		}
	default:
	}
	return true
}

// fixed reads what follows a name.
func (d *reader) fixed(c byte) {
	if d.questions > 0 {
		if d.collect(c, 4) {
			d.questions--
			d.next()
		}
		return
	}
	if !d.collect(c, 10) {
		return
	}
	d.records--
	switch binary.BigEndian.Uint16(d.field[:]) {
	case TypeA, TypeAAAA, TypeCNAME:
		d.hides = false
	default:
		d.hides = true
	}
	if d.part, d.skip = partData, int(binary.BigEndian.Uint16(d.field[8:])); d.skip == 0 {
		d.next()
	}
}

// next goes on to the next question or record.
func (d *reader) next() {
	d.name, d.part = 0, partName
	if d.questions+d.records == 0 {
		d.part = partRest
	}
}

// collect adds a byte to the field; it reports whether all size bytes are there.
func (d *reader) collect(c byte, size uint8) bool {
	d.field[d.held] = c
	if d.held++; d.held < size {
		return false
	}
	d.held = 0
	return true
}

// Skip implements [edge.Scanner]. The position stays known where no field is cut: in a label, in data, and up to the
// end of a message.
func (s *scanner) Skip(from protocols.End, n uint64) bool {
	d := s.end(from)
	switch {
	case d.lost:
		return false
	case d.part != partLength && d.part != partHeader && n == uint64(d.message):
		*d = reader{}
		return true
	case (d.part == partLabel || d.part == partData) && n <= uint64(d.skip):
		d.skip -= int(n)
		d.message -= int(n)
		if d.skip == 0 {
			d.part = partName
			if d.hides = false; d.questions == 0 {
				d.next()
			}
		}
		return true
	case d.part == partRest && n < uint64(d.message):
		d.message -= int(n)
		return true
	}
	*d = reader{lost: true}
	return false
}

// Resume implements [edge.Scanner].
func (s *scanner) Resume(from protocols.End, b []byte) bool {
	d := s.end(from)
	if recognise(b, from, protocols.Anywhere) != protocols.Sure {
		return false
	}
	*d = reader{}
	return true
}
