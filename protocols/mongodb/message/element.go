package message

import (
	"bytes"
	"encoding/binary"
)

// Types of elements, BSON version 1.1.
const (
	typeDouble     = 0x01
	typeString     = 0x02
	typeDocument   = 0x03
	typeArray      = 0x04
	typeBinary     = 0x05
	typeUndefined  = 0x06
	typeObjectID   = 0x07
	typeBool       = 0x08
	typeDate       = 0x09
	typeNull       = 0x0a
	typeRegex      = 0x0b
	typePointer    = 0x0c
	typeCode       = 0x0d
	typeSymbol     = 0x0e
	typeScopedCode = 0x0f
	typeInt32      = 0x10
	typeTimestamp  = 0x11
	typeInt64      = 0x12
	typeDecimal    = 0x13
	typeMin        = 0xff
	typeMax        = 0x7f
)

// valueSize gives what a value of the type takes: bytes, and whether the first four of them are a length, which is then
// not counted in them. ok is false for types that are not BSON's, and for regular expressions, which have no length.
func valueSize(kind byte) (size int64, prefix, ok bool) {
	switch kind {
	case typeDouble, typeDate, typeTimestamp, typeInt64:
		return 8, false, true
	case typeString, typeCode, typeSymbol:
		return 0, true, true
	case typeDocument, typeArray, typeScopedCode:
		return -4, true, true
	case typeBinary:
		return 1, true, true
	case typePointer:
		return 12, true, true
	case typeObjectID:
		return 12, false, true
	case typeBool:
		return 1, false, true
	case typeInt32:
		return 4, false, true
	case typeDecimal:
		return 16, false, true
	case typeUndefined, typeNull, typeMin, typeMax:
		return 0, false, true
	}
	return 0, false, false
}

// leastLength is the smallest length that a value with one can have.
func leastLength(kind byte) int64 {
	switch kind {
	case typeBinary:
		return 0
	case typeDocument, typeArray:
		return 5
	case typeScopedCode:
		return 14
	}
	return 1
}

// ValidType reports whether BSON has the type.
func ValidType(kind byte) bool {
	_, _, ok := valueSize(kind)
	return ok || kind == typeRegex
}

// context is what a document is.
type context uint8

const (
	inCommand  context = iota // a command
	inReply                   // what answers it
	inCursor                  // the cursor of a reply
	inBatch                   // documents of a command
	inReturned                // documents of a cursor
	inErrors                  // errors of writes
	inError                   // one of them, or that of a write concern
)

// element reads the type, the name and the length of an element. An end of a document is dropped. What comes of an
// element before it is known to be wanted is wanted.
func (r *Reader) element(b []byte) (n int, wanted bool) {
	b = b[:min(uint64(len(b)), uint64(r.levels[r.depth-1].end-r.pos))]
	if r.size == 0 && !r.long {
		if b[0] == 0 {
			r.endDocument()
			return 1, false
		}
		if end := bytes.IndexByte(b[1:min(len(b), maxName+2)], 0); end >= 0 {
			behind := end + 2
			if _, prefix, _ := valueSize(b[0]); prefix {
				behind += 4
			}
			if len(b) >= behind {
				r.pos += uint32(behind)
				wanted = r.head(b[0], b[1:end+1], b[end+2:behind])
				r.settle()
				return behind, wanted
			}
		}
	}
	return r.slowElement(b)
}

// slowElement is element for what comes in pieces, or has a long name.
func (r *Reader) slowElement(b []byte) (n int, wanted bool) {
	for n < len(b) {
		c := b[n]
		n++
		r.pos++
		switch {
		case r.named == 0 && r.size > maxName && c != 0:
			r.long = true
			continue
		default:
			r.token[r.size] = c
			r.size++
		}
		if r.named == 0 {
			if c != 0 || r.size == 1 {
				continue
			}
			r.named = r.size
		}
		want := r.named
		if _, prefix, _ := valueSize(r.token[0]); prefix {
			want += 4
		}
		if r.size < want {
			continue
		}
		kind, name, length := r.token[0], r.token[1:r.named-1], r.token[r.named:want]
		if r.long {
			name = nil
		}
		r.size, r.named, r.long = 0, 0, false
		wanted = r.head(kind, name, length)
		r.settle()
		return n, wanted
	}
	wanted = !r.long
	if r.pos == r.levels[r.depth-1].end { // the document ends within it
		r.size, r.named, r.long = 0, 0, false
		r.uncounted()
		r.dropRest()
	}
	r.settle()
	return n, wanted
}

// endDocument takes the zero byte that ends a document.
func (r *Reader) endDocument() {
	r.pos++
	if r.pos != r.levels[r.depth-1].end {
		r.uncounted()
		r.dropRest()
	}
	r.settle()
}

// head takes the type, the name and the length of an element, and goes on with its value. It reports whether the
// element is wanted; a nil name is one that is too long.
func (r *Reader) head(kind byte, name, length []byte) (wanted bool) {
	in := &r.levels[r.depth-1]
	size, prefix, ok := valueSize(kind)
	if prefix {
		n := int64(int32(binary.LittleEndian.Uint32(length)))
		ok = n >= leastLength(kind)
		size += n
	}
	if !ok && kind != typeRegex || size > int64(in.end)-int64(r.pos)-1 {
		r.uncounted()
		r.dropRest()
		return false
	}
	r.kind = kind
	switch in.what {
	case inCommand:
		wanted = r.inCommandElement(kind, name, uint32(size))
	case inReply:
		wanted = r.inReplyElement(kind, name, uint32(size))
	case inCursor:
		if is := string(name); is == "firstBatch" || is == "nextBatch" {
			return r.enterCounted(kind, inReturned, uint32(size))
		}
	case inBatch, inReturned:
		if int64(r.pos)+size == int64(in.end)-1 && r.Facts != nil {
			r.Facts.counted(in.what, name)
		}
		wanted = int64(r.pos)+size == int64(in.end)-1
	case inErrors:
		if !r.failed && kind == typeDocument {
			r.failed = true
			return r.enter(inError, uint32(size))
		}
	case inError:
		switch string(name) {
		case "code":
			wanted = r.keepNumber(kind, errorCode, uint32(size))
		case "codeName":
			wanted = r.keepText(kind, codeName, uint32(size))
		}
	}
	if r.state == atElement && r.depth > 0 && in == &r.levels[r.depth-1] {
		if kind == typeRegex {
			r.state, r.ends = inRegex, 2
		} else {
			r.drop(uint32(size), atElement)
		}
	}
	return wanted
}

// inCommandElement judges an element of a command. It leaves the state as it is where the value is of no interest.
func (r *Reader) inCommandElement(kind byte, name []byte, size uint32) bool {
	if r.first {
		if r.h.Op == OpQuery && r.depth == 1 && kind == typeDocument && (string(name) == "$query" || string(name) == "query") {
			return r.enter(inCommand, size)
		}
		r.first = false
		if !plain(name) {
			return false
		}
		r.command = commandOf(name)
		if r.Facts != nil {
			r.Facts.Command = append(r.Facts.Command[:0], name...)
		}
		if r.command == onCollection {
			r.keepText(kind, collection, size)
		}
		return true
	}
	switch is := string(name); {
	case is == "$db":
		return r.keepText(kind, database, size)
	case is == "collection" && r.command == onCursor:
		return r.keepText(kind, collection, size)
	case isCounted(name):
		return r.enterCounted(kind, inBatch, size)
	}
	return false
}

// inReplyElement judges an element of a reply.
func (r *Reader) inReplyElement(kind byte, name []byte, size uint32) bool {
	switch string(name) {
	case "ok":
		return r.keepNumber(kind, okValue, size)
	case "code":
		return r.keepNumber(kind, replyCode, size)
	case "codeName":
		return r.keepText(kind, codeName, size)
	case "cursor":
		return kind == typeDocument && r.enter(inCursor, size)
	case "writeErrors":
		if kind == typeArray && size > 1 {
			if r.Facts != nil {
				r.Facts.WriteError = true
			}
			return r.enter(inErrors, size)
		}
	case "writeConcernError":
		if kind == typeDocument {
			if r.Facts != nil {
				r.Facts.WriteError = true
			}
			return r.enter(inError, size)
		}
	}
	return false
}

// enter goes on in the document of which size bytes are left.
func (r *Reader) enter(what context, size uint32) bool {
	if r.depth == maxDepth {
		return false
	}
	r.levels[r.depth] = level{end: r.pos + size, what: what}
	r.depth++
	r.state = atElement
	return true
}

// enterCounted goes on in an array whose elements count.
func (r *Reader) enterCounted(kind byte, what context, size uint32) bool {
	if kind != typeArray {
		return false
	}
	if r.Facts != nil {
		r.Facts.counting(what, size == 1)
	}
	return r.enter(what, size)
}

// keepText keeps a text, unless it is too long.
func (r *Reader) keepText(kind byte, what text, size uint32) bool {
	if kind != typeString || size > maxText {
		return false
	}
	r.keep(what, size)
	return true
}

// keepNumber keeps a number, or a boolean.
func (r *Reader) keepNumber(kind byte, what text, size uint32) bool {
	switch kind {
	case typeDouble, typeInt32, typeInt64, typeBool:
		r.keep(what, size)
		return true
	}
	return false
}

func (r *Reader) keep(what text, size uint32) {
	r.keeping, r.left, r.then, r.state = what, size, atElement, inValue
	if r.Facts != nil {
		r.Facts.start(what)
	}
}

// regex passes over the two texts of a regular expression.
func (r *Reader) regex(b []byte) (n int) {
	for n < len(b) && r.ends > 0 {
		end := bytes.IndexByte(b[n:], 0)
		if end < 0 {
			n = len(b)
			break
		}
		n += end + 1
		r.ends--
	}
	r.pos += uint32(n)
	if r.ends == 0 {
		r.state = atElement
	}
	r.settle()
	return n
}

// plain reports whether b can be the name of a command.
func plain(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '$' {
			return false
		}
	}
	return len(b) > 0
}
