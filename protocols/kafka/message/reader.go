package message

import "encoding/binary"

type state uint8

const (
	atHeader state = iota
	atLength       // of a text, records or an array
	atFixed        // a field that is wanted
	inText         // a text that is wanted
	inDrop         // bytes of no interest
	atTags         // the number of tagged fields
	atTag          // the number of one
	atTagSize
	atBatch // records: see records.go
	atMagic
	atOldAttributes
	atAttributes
	atCount
	atRecord
	atRecordTime
	atRecordOffset
	atKeySize
	atValueSize
	atHeaders
	atHeaderKeySize
	atHeaderKey
	atHeaderValueSize
	inContext
	lastState
)

// next are the places at which it is decided what follows.
type next uint8

const (
	nextField next = iota
	nextState      // the state in then
	nextEnd        // the message ends
	lastNext
)

const (
	maxDepth = 5
	maxToken = ContextSize
	// fieldsDone is the field of a struct of which only tagged fields are left, tagsDone of one that has ended.
	fieldsDone, tagsDone = 254, 255
)

// frame is a struct that is being read.
type frame struct {
	of   structID
	at   uint8  // next field
	left uint32 // structs that follow it in its array
}

// Reader follows the messages of one direction. The zero value is at the first byte of a message. It keeps no reference
// to what it reads. Not safe for concurrent use.
type Reader struct {
	// Request says that the direction is that of the client.
	Request bool
	// Facts is where what the message says goes; nil: nowhere. It is cleared at the start of each message.
	Facts *Facts
	// Asked gives the API and the version of the request that a response answers; false: it is not known.
	Asked func(correlation uint32) (api, version int16, ok bool)
	// Begins reports whether the correlation id of a request that is known begins with b. If it is set, a response to
	// another request counts as broken.
	Begins func(b []byte) bool

	h        Header
	state    state
	flexible bool
	field    field // that is being read
	pos, end uint32
	left     uint32 // bytes of the text, or to drop
	behind   next   // what follows bytes that are dropped
	then     state
	token    [maxToken]byte
	size     int
	frames   [maxDepth]frame
	depth    int
	tags     uint32
	batch    batch
	topics   int
	broken   bool
	begun    bool
}

// Header is that of the message that is being read, or was last.
func (r *Reader) Header() Header { return r.h }

// AtStart reports whether the next byte is the first of a message.
func (r *Reader) AtStart() bool { return r.state == atHeader && r.size == 0 }

// Begun reports whether the last call of [Reader.Next] read the end of a header.
func (r *Reader) Begun() bool { return r.begun }

// Left is how many bytes of the message have not been read; 0 where the next byte begins one.
func (r *Reader) Left() uint32 {
	if r.state == atHeader {
		return 0
	}
	return r.end - r.pos
}

// Broken reports whether the bytes were no message: nothing is known of what follows.
func (r *Reader) Broken() bool { return r.broken }

// Understood reports whether the body of the message is read.
func (r *Reader) Understood() bool {
	a, ok := apiOf(r.h.API)
	return ok && r.h.Version <= a.last
}

// Topics is of how many topics of the message the beginning was read.
func (r *Reader) Topics() int { return r.topics }

// Next reads bytes from the front of b, which is not empty: n of them, at least one, of which all are wanted or none.
func (r *Reader) Next(b []byte) (n int, wanted bool) {
	r.begun = false
	if r.state != atHeader {
		b = b[:min(uint64(len(b)), uint64(r.end-r.pos))]
	}
	switch r.state {
	case inDrop, inText:
		n = int(min(uint64(len(b)), uint64(r.left)))
		wanted = r.state == inText
		if wanted && r.Facts != nil {
			r.Facts.text(r.field.what, b[:n])
		}
		r.advance(uint32(n))
		return n, wanted
	case atHeaderKey:
		return r.headerKey(b)
	default:
	}
	if r.isVarint() {
		return r.varint(b), true
	}
	t, n := r.gather(b, r.fixed())
	if t != nil {
		r.read(t)
	} else if r.state == atHeader {
		r.broken = !plausible(r.token[:r.size], r.Request) || r.Begins != nil && r.size > 4 && !r.Begins(r.token[4:r.size])
	}
	r.settle()
	return n, true
}

// isVarint reports whether the field that is being read has a variable length.
func (r *Reader) isVarint() bool {
	switch r.state {
	case atLength:
		return r.flexible && r.field.kind != text16
	case atTags, atTag, atTagSize, atRecord, atRecordTime, atRecordOffset, atKeySize, atValueSize, atHeaders, atHeaderKeySize, atHeaderValueSize:
		return true
	default:
		return false
	}
}

// fixed is how many bytes the field has that is being read.
func (r *Reader) fixed() int {
	switch r.state {
	case atHeader:
		if r.Request {
			return RequestHeader
		}
		return ResponseHeader
	case atLength:
		if r.field.kind == text || r.field.kind == text16 {
			return 2
		}
		return 4
	case atFixed:
		return int(r.field.size)
	case atBatch:
		return 12
	case atAttributes:
		return 2
	case atCount:
		return 4
	case inContext:
		return ContextSize
	default:
		return 1
	}
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

// varint reads a number of variable length, as unsigned varints of protocol buffers.
func (r *Reader) varint(b []byte) (n int) {
	for n < len(b) {
		c := b[n]
		n++
		r.pos++
		r.token[r.size] = c
		r.size++
		if c < 0x80 {
			v, size := binary.Uvarint(r.token[:r.size])
			r.size = 0
			if size <= 0 {
				r.dropRest()
			} else {
				r.number(v)
			}
			break
		}
		if r.size == binary.MaxVarintLen64 {
			r.size = 0
			r.dropRest()
			break
		}
	}
	r.settle()
	return n
}

// number takes a number of variable length.
func (r *Reader) number(v uint64) {
	switch r.state {
	case atLength:
		r.length(int64(min(v, 1<<32)) - 1)
	case atTags:
		r.tags = uint32(min(v, 1<<32-1))
		r.state = atTag
		if r.tags == 0 {
			r.endTags()
		}
	case atTag:
		r.state = atTagSize
	case atTagSize:
		r.tags--
		r.drop(v, nextState, atTag)
	default:
		r.recordNumber(int64(v>>1) ^ -int64(v&1))
	}
}

// endTags ends the tagged fields of a struct.
func (r *Reader) endTags() {
	r.frames[r.depth-1].at = tagsDone
	r.resolve()
}

// read takes a field of fixed size.
func (r *Reader) read(t []byte) {
	switch r.state {
	case atHeader:
		r.begin(t)
	case atLength:
		if len(t) == 2 {
			r.length(int64(int16(binary.BigEndian.Uint16(t))))
		} else {
			r.length(int64(int32(binary.BigEndian.Uint32(t))))
		}
	case atFixed:
		if r.Facts != nil {
			r.Facts.number(r.field.what, t, r.Request)
		}
		r.resolve()
	default:
		r.readBatch(t)
	}
}

// begin takes a header.
func (r *Reader) begin(t []byte) {
	h := ReadResponse(t[:ResponseHeader])
	if r.Request {
		h = ReadRequest(t)
	}
	*r = Reader{
		Request: r.Request, Facts: r.Facts, Asked: r.Asked, Begins: r.Begins, h: h, end: h.Size, pos: uint32(len(t)),
	}
	if r.Facts != nil {
		r.Facts.clear()
	}
	if r.broken = !h.Valid(r.Request); r.broken {
		return
	}
	r.begun = true
	known := r.Request
	if !known && r.Asked != nil {
		r.h.API, r.h.Version, known = r.Asked(h.Correlation)
	}
	a, ok := apiOf(r.h.API)
	ok = ok && known && r.h.Version <= a.last
	r.flexible = ok && r.h.Version >= a.flexible
	switch {
	case r.Request && (!ok || a.request == noStruct): // the client's name is in every header but one, among brokers
		r.push(requestHead, 1)
	case r.Request:
		r.push(a.request, 1)
		r.push(requestHead, 1)
	case ok && a.response != noStruct && r.h.Version >= a.least:
		r.push(a.response, 1)
		r.push(responseHead, 1)
	case !known: // perhaps it is no response at all: tokens of SASL have no header
		r.broken = r.Begins != nil
		r.dropRest()
		return
	default:
		r.dropRest()
		return
	}
	r.resolve()
}
