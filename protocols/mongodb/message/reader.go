package message

import "encoding/binary"

// Bounds of what is read, in bytes.
const (
	// maxName is the longest name of an element that is looked at; longer ones are none that is wanted.
	maxName = 64
	// maxText is the longest text that is kept: the longest namespace is of 255.
	maxText = 256
	// maxToken holds a type, a name and a length, or a header.
	maxToken = 1 + maxName + 1 + 4
	// maxDepth is how deep the documents lie that are looked at: reply, writeErrors, an error.
	maxDepth = 4
)

type state uint8

const (
	atHeader   state = iota
	atFixed          // the fields behind the header, up to the first text or document
	atFullName       // the full name of the collection, of legacy opcodes
	atNumbers        // the two numbers behind it in OP_QUERY
	atKind           // the kind of a section
	atSequence       // the size of a document sequence
	atSequenceName
	atSequenceDocument
	atDocument // the size of the body
	atElement
	inValue // a value that is kept
	inRegex // the two texts of a regular expression
	inDrop  // bytes of no interest
	lastState
)

// level is a document that is being read.
type level struct {
	end  uint32 // position in the message behind its last byte
	what context
}

// Reader follows the messages of one direction. The zero value is at the first byte of a message. It keeps no
// reference to what it reads. Not safe for concurrent use.
type Reader struct {
	// Request says that the direction is that of the client.
	Request bool
	// Facts is where what the message says goes; nil: nowhere. It is cleared at the start of each message.
	Facts *Facts
	// Command says of an OP_REPLY whether it answers a command; nil: none does. Documents of others are data.
	Command func(id uint32) bool

	h         Header
	state     state
	pos       uint32 // bytes of the message that were read
	end       uint32 // where sections end: before the checksum
	sequence  uint32 // where the document sequence ends
	left      uint32 // bytes of the value, or to drop
	then      state  // behind the value
	token     [maxToken]byte
	size      int  // bytes of token
	named     int  // bytes of token up to the end of the name of an element, 0: not there yet
	long      bool // the name is longer than maxName
	ends      int  // texts of a regular expression that are still to end
	keeping   text
	kind      byte // type of the value
	levels    [maxDepth]level
	depth     int
	command   command // what the command is, by its name
	first     bool    // no element of the command was read
	failed    bool    // the first of the write errors was read
	inCommand bool    // an OP_QUERY that is a command
	broken    bool
	packed    packed // op is 0 unless the rest of the message is compressed
}

// Header is that of the message that is being read, or was last.
func (r *Reader) Header() Header { return r.h }

// AtStart reports whether the next byte is the first of a message.
func (r *Reader) AtStart() bool { return r.state == atHeader && r.size == 0 }

// Left is how many bytes of the message have not been read; 0 where the next byte begins one.
func (r *Reader) Left() uint32 {
	if r.state == atHeader {
		return 0
	}
	return r.h.Length - r.pos
}

// Read is how many bytes of the message have been read.
func (r *Reader) Read() uint32 {
	if r.state == atHeader {
		return uint32(r.size)
	}
	return r.pos
}

// Broken reports whether the bytes were no message: nothing is known of what follows.
func (r *Reader) Broken() bool { return r.broken }

// IsCommand reports whether the message, a request of which all was read, is a command in an OP_QUERY.
func (r *Reader) IsCommand() bool { return r.h.Op == OpQuery && r.inCommand }

// Next reads bytes from the front of b, which is not empty: n of them, at least one, of which all are wanted or none.
func (r *Reader) Next(b []byte) (n int, wanted bool) {
	if r.state != atHeader {
		b = b[:min(uint64(len(b)), uint64(r.h.Length-r.pos))]
	}
	switch r.state {
	case inDrop, inValue:
		return r.inBytes(b)
	case inRegex:
		return r.regex(b), false
	case atFullName, atSequenceName:
		return r.text(b), true
	case atElement:
		return r.element(b)
	default:
	}
	t, n := r.gather(b, r.fixed())
	if t != nil {
		r.read(t)
	}
	r.settle()
	return n, true
}

// fixed is how many bytes the field has that is being read.
func (r *Reader) fixed() int {
	switch r.state {
	case atHeader:
		return HeaderSize
	case atFixed:
		switch r.h.Op {
		case OpReply:
			return 20
		case OpCompressed:
			return 9
		}
		return 4
	case atNumbers:
		return 8
	case atKind:
		return 1
	default:
	}
	return 4
}

// gather takes bytes until there are want of them; then it gives them. They are valid until the next call.
func (r *Reader) gather(b []byte, want int) (token []byte, n int) {
	if r.size == 0 && len(b) >= want {
		r.pos += uint32(want)
		return b[:want], want
	}
	n = copy(r.token[r.size:want], b)
	r.size += n
	r.pos += uint32(n)
	if r.size < want {
		return nil, n
	}
	r.size = 0
	return r.token[:want], n
}

// read takes a field of fixed size.
func (r *Reader) read(t []byte) {
	switch r.state {
	case atHeader:
		r.begin(t)
	case atFixed:
		r.behindHeader(t)
	case atNumbers:
		r.state = atDocument
		if !r.inCommand {
			r.dropRest()
		}
	case atKind:
		switch t[0] {
		case 0:
			r.state = atDocument
		case 1:
			r.state = atSequence
		default:
			r.dropRest()
		}
	case atSequence:
		n := binary.LittleEndian.Uint32(t)
		if n < 5 || n > r.end-(r.pos-4) {
			r.dropRest()
			return
		}
		r.sequence, r.state = r.pos-4+n, atSequenceName
	case atSequenceDocument:
		n := binary.LittleEndian.Uint32(t)
		if n < 5 || n > r.sequence-(r.pos-4) {
			r.uncounted()
			r.dropRest()
			return
		}
		r.count(1)
		r.drop(n-4, atSequenceDocument)
	case atDocument:
		n := binary.LittleEndian.Uint32(t)
		if n < 5 || n > r.end-(r.pos-4) {
			r.dropRest()
			return
		}
		r.levels[0] = level{end: r.pos - 4 + n, what: inReply}
		if r.Request {
			r.levels[0].what = inCommand
		}
		r.depth, r.first, r.state = 1, true, atElement
	default:
	}
}

// begin takes a header.
func (r *Reader) begin(t []byte) {
	h := ReadHeader(t)
	*r = Reader{
		Request: r.Request, Facts: r.Facts, Command: r.Command, h: h, pos: HeaderSize, end: h.Length, state: atFixed,
	}
	if r.Facts != nil {
		r.Facts.clear()
	}
	r.broken = !h.Valid(r.Request)
}

// behindHeader takes the fields that follow the header.
func (r *Reader) behindHeader(t []byte) {
	flags := binary.LittleEndian.Uint32(t)
	switch r.h.Op {
	case OpMsg:
		if flags&flagChecksum != 0 {
			r.end -= 4
		}
		if r.Facts != nil {
			r.Facts.MoreToCome = flags&flagMoreToCome != 0
		}
		r.state = atKind
	case OpReply:
		r.reply(t)
	case OpCompressed:
		r.readPacked(t)
	case OpKillCursors:
		r.dropRest()
	default:
		r.state = atFullName
	}
}
