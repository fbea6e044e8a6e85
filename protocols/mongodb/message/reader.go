package message

import (
	"bytes"
	"encoding/binary"
)

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
		if r.Facts != nil {
			r.Facts.Compressed = true
		}
		r.dropRest()
	case OpKillCursors:
		r.dropRest()
	default:
		r.state = atFullName
	}
}

// Flags of OP_REPLY.
const (
	replyCursorNotFound = 1 << 0
	replyQueryFailure   = 1 << 1
)

// reply takes the fields of OP_REPLY: flags, id of the cursor, and how many documents there are.
func (r *Reader) reply(t []byte) {
	flags, documents := binary.LittleEndian.Uint32(t), binary.LittleEndian.Uint32(t[16:])
	failed := flags&(replyCursorNotFound|replyQueryFailure) != 0
	answers := r.Command != nil && r.Command(r.h.ResponseTo)
	if r.Facts != nil {
		r.Facts.Failed = failed
		if !answers && !failed {
			r.Facts.Returned = int(documents)
		}
	}
	if documents == 1 && (answers || failed) {
		r.state = atDocument
		return
	}
	r.dropRest()
}

// text reads a text that ends with a zero byte, and keeps it.
func (r *Reader) text(b []byte) int {
	n := bytes.IndexByte(b, 0)
	whole := n >= 0
	if !whole {
		n = len(b)
	}
	r.left += uint32(n)
	if r.left > maxText { // no namespace is so long
		r.pos += uint32(n)
		r.size, r.left = 0, 0
		r.dropRest()
		r.settle()
		return n
	}
	name := b[:n] // only the end of it tells whether it is ".$cmd"
	name = name[max(0, len(name)-len(r.token)):]
	if over := r.size + len(name) - len(r.token); over > 0 {
		r.size = copy(r.token[:], r.token[over:r.size])
	}
	r.size += copy(r.token[r.size:], name)
	if r.Facts != nil && r.state == atFullName {
		r.Facts.add(fullName, b[:n])
	}
	if !whole {
		r.pos += uint32(n)
		r.settle()
		return n
	}
	r.pos += uint32(n) + 1
	name = r.token[:r.size]
	r.size, r.left = 0, 0
	switch {
	case r.state == atSequenceName:
		if r.state = atSequenceDocument; !isCounted(name) {
			r.drop(max(r.sequence, r.pos)-r.pos, atKind)
		}
	case r.h.Op == OpQuery:
		r.inCommand, r.state = bytes.HasSuffix(name, []byte(".$cmd")), atNumbers
	default:
		r.dropRest()
	}
	r.settle()
	return n + 1
}

// inBytes reads on in a value.
func (r *Reader) inBytes(b []byte) (n int, wanted bool) {
	n = int(min(uint64(len(b)), uint64(r.left)))
	wanted = r.state == inValue
	if wanted && r.Facts != nil {
		r.Facts.add(r.keeping, b[:n])
	}
	r.advance(uint32(n))
	return n, wanted
}

// advance moves over n bytes of a value, of which r.left are still to come.
func (r *Reader) advance(n uint32) {
	r.pos += n
	if r.left -= n; r.left == 0 {
		if r.state == inValue && r.Facts != nil {
			r.Facts.done(r.keeping, r.kind)
		}
		r.state = r.then
		r.settle()
	}
}

// drop passes over n bytes, behind which then follows.
func (r *Reader) drop(n uint32, then state) {
	r.left, r.then, r.state = n, then, inDrop
	if n == 0 {
		r.state = then
	}
}

// dropRest passes over the rest of the message.
func (r *Reader) dropRest() {
	r.depth = 0
	r.drop(r.h.Length-r.pos, atHeader)
	if r.state == atHeader {
		r.size = 0
	}
}

// settle moves on where a document, a sequence or the message ends at the position.
func (r *Reader) settle() {
	for r.depth > 0 && r.state == atElement && r.pos >= r.levels[r.depth-1].end {
		r.depth--
		if r.depth == 0 {
			r.state = atKind
			if r.h.Op != OpMsg {
				r.dropRest()
			}
		}
	}
	if r.state == atSequenceDocument && r.size == 0 && r.pos >= r.sequence {
		r.state = atKind
	}
	switch {
	case r.state == atHeader || r.broken:
	case r.pos >= r.h.Length: // the message ends, in whatever state
		r.state, r.size, r.depth = atHeader, 0, 0
	case r.state == atKind && r.size == 0 && r.pos >= r.end, r.state != inDrop && r.pos > r.end:
		r.dropRest()
	}
}

// Skip passes over n bytes that are not there, wherever in the message. It reports whether the position is known
// behind them. What is not known of the message is left out: its rest, if they end within anything but bytes of no
// interest.
func (r *Reader) Skip(n uint64) bool {
	for n > 0 {
		if r.state == atHeader {
			return false
		}
		if r.state == inDrop && n <= uint64(r.left) {
			r.advance(uint32(n))
			return true
		}
		left := uint64(r.Left())
		if n > left {
			return false
		}
		r.uncounted()
		r.size = 0
		r.dropRest()
	}
	return true
}

// Pass passes over n bytes that the node left out, at most Left: behind them an element begins, or the message ends.
func (r *Reader) Pass(n uint32) {
	inElements := r.state == atElement || r.state == inValue || r.state == inRegex
	if r.state == inDrop {
		if n <= r.left {
			r.advance(n)
			return
		}
		inElements = r.then == atElement
	}
	r.pos += n
	r.size, r.named, r.long, r.left, r.first = 0, 0, false, 0, false
	if r.state = atElement; !inElements {
		r.uncounted()
		r.dropRest()
	}
	r.settle()
}

// Lose passes over n bytes that did not arrive, at most Left: nothing more of the message is read.
func (r *Reader) Lose(n uint32) {
	r.uncounted()
	r.size = 0
	r.dropRest()
	r.advance(n)
}
