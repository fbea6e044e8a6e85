package websocket

import (
	"encoding/binary"

	"millrace.dev/protocols"
)

const (
	// HeaderBytes is the longest header without a masking key (section 5.2).
	HeaderBytes = 10
	keyBytes    = 4
	codeBytes   = 2
	// CloseBytes is how much of a close frame behind its header is needed: a masking key, and the status code.
	CloseBytes = keyBytes + codeBytes
)

// Frames lets the kernel side leave out the payload of frames, but for the status code of a close frame.
var Frames = protocols.Frames{
	Header: protocols.FrameHeader{Size: 2, LengthAt: 1, LengthSize: 1, Variable: true},
	Client: protocols.Copy{Bytes: 2, Types: map[byte]int{finBit | closing: 2 + CloseBytes}},
	Server: protocols.Copy{Bytes: 2, Types: map[byte]int{finBit | closing: 2 + codeBytes}},
}

// Opcodes (section 5.2).
const (
	continuation = 0x0
	text         = 0x1
	binaryData   = 0x2
	closing      = 0x8
	ping         = 0x9
	pong         = 0xa
)

// Bits of the first two bytes of a header.
const (
	finBit     = 0x80
	otherRSV   = 0x30 // the bits that permessage-deflate does not use
	opcodeBits = 0x0f
	maskBit    = 0x80
	lengthBits = 0x7f
	length16   = 126
	length64   = 127
	maxControl = 125
)

// Reader follows the frames of one direction. The zero value, with From set, is at the beginning of the first. It has
// no references, and keeps no payload but the status code of a close frame.
type Reader struct {
	// From is the end that sends. A client masks what it sends, a server does not (section 5.1).
	From protocols.End
	// Messages are those whose last frame is complete.
	Messages uint64
	// Bytes are those of the payloads of messages that have come, in bytes on the wire.
	Bytes uint64
	// Code is the status code of the close frame, 0 if there was none, or it had none.
	Code uint16
	// Closed says that a close frame is complete. Nothing follows it.
	Closed bool
	// Broken says that what came is no frame. Nothing more is read.
	Broken bool

	header [HeaderBytes]byte
	have   uint8
	inside bool // behind the header
	open   bool // a message has begun, and waits for its next frame
	// left are the bytes of the frame that are still to come, with its key; key those of them that are the key's.
	left uint64
	key  uint8
	tail [CloseBytes]byte // of a close frame: its key, and the status code as it was sent
	size uint8            // bytes of tail
}

// Inside reports whether the position is behind a header, and how many bytes of the frame are still to come.
func (r *Reader) Inside() (left uint64, inside bool) { return r.left, r.inside }

// Next is how many bytes behind the position the next frame begins. False: it is not known, within a header, or there
// is none.
func (r *Reader) Next() (behind uint64, known bool) {
	if r.Over() || !r.inside && r.have > 0 {
		return 0, false
	}
	return r.left, true
}

// Over reports whether there is nothing more to read.
func (r *Reader) Over() bool { return r.Closed || r.Broken }

// Needs is how many of the next bytes are needed: the rest of a header, as far as it is known, or of a status code.
func (r *Reader) Needs() int {
	switch {
	case r.Over():
		return 0
	case r.inside:
		return int(min(r.left, uint64(r.tailBytes()-int(r.size))))
	}
	return r.headerSize() - int(r.have)
}

// headerSize is how long the header is, as far as its first two bytes tell.
func (r *Reader) headerSize() int {
	if r.have >= 2 {
		switch r.header[1] & lengthBits {
		case length16:
			return 4
		case length64:
			return HeaderBytes
		}
	}
	return 2
}

// tailBytes is how many bytes behind the header are looked at.
func (r *Reader) tailBytes() int {
	if r.header[0]&opcodeBits != closing {
		return 0
	}
	if r.header[1]&maskBit != 0 {
		return CloseBytes
	}
	return codeBytes
}

// Read reads bytes that are needed, at most [Reader.Needs], and gives how many it took.
func (r *Reader) Read(b []byte) int {
	if r.inside {
		n := copy(r.tail[r.size:r.tailBytes()], b[:min(uint64(len(b)), r.left)])
		r.size += uint8(n)
		r.pass(uint64(n))
		return n
	}
	n := copy(r.header[r.have:r.headerSize()], b)
	r.have += uint8(n)
	if r.Broken = n > 0 && !r.mayBegin(r.header[0]); !r.Broken && int(r.have) == r.headerSize() {
		r.begin()
	}
	return n
}

// Skip passes over bytes behind a header that are not looked at, or are not there. It gives how many of n are of the
// frame.
func (r *Reader) Skip(n uint64) uint64 {
	if !r.inside || r.Over() {
		return 0
	}
	n = min(n, r.left)
	r.pass(n)
	return n
}

// mayBegin reports whether a frame may begin with a byte at this place of the direction.
func (r *Reader) mayBegin(first byte) bool {
	if first&otherRSV != 0 {
		return false
	}
	switch first & opcodeBits {
	case continuation:
		return r.open
	case text, binaryData:
		return !r.open
	case closing, ping, pong:
		return first&finBit != 0
	}
	return false
}

// begin acts on a complete header (section 5.2).
func (r *Reader) begin() {
	first, second := r.header[0], r.header[1]
	length := uint64(second & lengthBits)
	switch length {
	case length16:
		length = uint64(binary.BigEndian.Uint16(r.header[2:]))
		r.Broken = length < length16 // the shortest form is to be used
	case length64:
		length = binary.BigEndian.Uint64(r.header[2:])
		r.Broken = length < 1<<16 || length >= 1<<62
	}
	opcode := first & opcodeBits
	if opcode < closing {
		r.open = first&finBit == 0
	} else if length > maxControl || opcode == closing && length == 1 {
		r.Broken = true
	}
	masked := second&maskBit != 0
	if r.Broken = r.Broken || masked != (r.From == protocols.Client); r.Broken {
		return
	}
	r.left, r.key, r.size, r.inside = length, 0, 0, true
	if masked {
		r.left, r.key = length+keyBytes, keyBytes
	}
	r.pass(0)
}

// pass moves over n bytes of the frame, and acts on its end.
func (r *Reader) pass(n uint64) {
	r.left -= n
	k := min(n, uint64(r.key))
	r.key -= uint8(k)
	data := r.header[0]&opcodeBits < closing
	if data {
		r.Bytes += n - k
	}
	if r.left > 0 {
		return
	}
	r.inside, r.have = false, 0
	switch {
	case data && r.header[0]&finBit != 0:
		r.Messages++
	case r.header[0]&opcodeBits == closing:
		r.close()
	}
}

// close reads the status code of a close frame (section 5.5.1).
func (r *Reader) close() {
	r.Closed = true
	if int(r.size) < r.tailBytes() {
		return
	}
	code := r.tail[r.size-codeBytes : r.size]
	r.Code = binary.BigEndian.Uint16(code)
	if r.header[1]&maskBit != 0 {
		r.Code ^= binary.BigEndian.Uint16(r.tail[:2])
	}
}

// State is what a Reader knows, for snapshots.
type State [12]uint64

// Export gives the state of r.
func (r *Reader) Export() State {
	flags := uint64(0)
	for i, b := range []bool{r.Closed, r.Broken, r.inside, r.open} {
		if b {
			flags |= 1 << i
		}
	}
	var tail [8]byte
	copy(tail[:], r.tail[:])
	return State{
		uint64(r.From), r.Messages, r.Bytes, uint64(r.Code), flags, uint64(r.have), r.left, uint64(r.key), uint64(r.size),
		binary.BigEndian.Uint64(r.header[:]), uint64(binary.BigEndian.Uint16(r.header[8:])), binary.BigEndian.Uint64(tail[:]),
	}
}

// Import is the inverse of Export. It reports whether s can be a state.
func (r *Reader) Import(s State) bool {
	*r = Reader{
		From: protocols.End(s[0]), Messages: s[1], Bytes: s[2], Code: uint16(s[3]), Closed: s[4]&1 != 0, Broken: s[4]&2 != 0,
		inside: s[4]&4 != 0, open: s[4]&8 != 0, have: uint8(s[5]), left: s[6], key: uint8(s[7]), size: uint8(s[8]),
	}
	binary.BigEndian.PutUint64(r.header[:], s[9])
	binary.BigEndian.PutUint16(r.header[8:], uint16(s[10]))
	var tail [8]byte
	binary.BigEndian.PutUint64(tail[:], s[11])
	copy(r.tail[:], tail[:])
	switch {
	case s[0] != uint64(protocols.Client) && s[0] != uint64(protocols.Server), s[5] > HeaderBytes, s[7] > keyBytes, s[8] > CloseBytes:
		return false
	case r.Over():
		return true
	case r.inside:
		return r.left > 0 && uint64(r.key) <= r.left && int(r.have) == r.headerSize() && int(r.size) <= r.tailBytes()
	}
	return int(r.have) < r.headerSize()
}
