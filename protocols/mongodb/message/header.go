package message

import "encoding/binary"

// Opcodes of the wire protocol.
const (
	OpReply       = 1
	OpUpdate      = 2001
	OpInsert      = 2002
	OpQuery       = 2004
	OpGetMore     = 2005
	OpDelete      = 2006
	OpKillCursors = 2007
	OpCompressed  = 2012
	OpMsg         = 2013
)

// Sizes in bytes.
const (
	// HeaderSize is that of the header of every message.
	HeaderSize = 16
	// MaxSize is that of the longest message: the default of maxMessageSizeBytes, which no server raises.
	MaxSize = 48_000_000
)

// Bits of the flags of OP_MSG.
const (
	flagChecksum   = 1 << 0
	flagMoreToCome = 1 << 1
	flagExhaust    = 1 << 16
	flagsKnown     = flagChecksum | flagMoreToCome | flagExhaust
)

// Header is that of every message.
type Header struct {
	// Length of the whole message in bytes.
	Length uint32
	// ID is the message's own, ResponseTo that of the message which it answers, 0 in requests.
	ID, ResponseTo uint32
	Op             uint32
}

// ReadHeader reads the first HeaderSize bytes of b.
func ReadHeader(b []byte) Header {
	return Header{
		Length: binary.LittleEndian.Uint32(b), ID: binary.LittleEndian.Uint32(b[4:]),
		ResponseTo: binary.LittleEndian.Uint32(b[8:]), Op: binary.LittleEndian.Uint32(b[12:]),
	}
}

// least is the length of the shortest message of each opcode that is read.
func least(op uint32) uint32 {
	switch op {
	case OpMsg:
		return HeaderSize + 4 + 1 + 5
	case OpCompressed:
		return HeaderSize + 9
	case OpReply:
		return HeaderSize + 20
	case OpQuery:
		return HeaderSize + 4 + 1 + 8 + 5
	case OpInsert, OpUpdate, OpDelete, OpGetMore, OpKillCursors:
		return HeaderSize + 8
	}
	return 0
}

// Valid reports whether a message can have such a header. request says that it is one of a client.
func (h *Header) Valid(request bool) bool {
	n := least(h.Op)
	if n == 0 || h.Length < n || h.Length > MaxSize {
		return false
	}
	if request {
		return h.ResponseTo == 0 && h.Op != OpReply
	}
	return h.ResponseTo != 0 && (h.Op == OpMsg || h.Op == OpReply || h.Op == OpCompressed)
}

// ValidFlags reports whether an OP_MSG can have the flags: servers refuse those of the lower half that they do not
// know.
func ValidFlags(flags uint32) bool { return flags&0xffff&^flagsKnown == 0 && flags>>16 <= 1 }
