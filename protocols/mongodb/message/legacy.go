package message

import (
	"bytes"
	"encoding/binary"
)

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
