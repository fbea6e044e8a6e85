package mongodb

import (
	"bytes"
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/mongodb/message"
)

// copied is how much of each message the kernel side copies, in bytes: the elements that tell of a command and its
// errors come before its documents.
const copied = 4096

// copiedPacked is how much is copied of compressed messages: without the end of a block of zstd nothing can be read of
// it.
const copiedPacked = 16 << 10

// packedType is the first byte of the opcode of a compressed message.
const packedType = message.OpCompressed & 0xff

// Protocol is MongoDB.
var Protocol = protocols.Protocol{
	Number:  millracev1.Protocol_PROTOCOL_MONGODB,
	Name:    "mongodb",
	Decoded: true,
	Order:   protocols.ByID,
	Matches: []protocols.Match{opcodes()},
	Frames: &protocols.Frames{
		Header: protocols.FrameHeader{Size: message.HeaderSize, LengthSize: 4, Little: true, Most: message.MaxSize, TypeAt: 12},
		Client: protocols.Copy{Bytes: copied, Types: map[byte]int{packedType: copiedPacked}},
		Server: protocols.Copy{Bytes: copied, Types: map[byte]int{packedType: copiedPacked}},
	},
	Recognise: recognise,
}

// opcodes makes a match of messages up to 64 MiB with the opcodes 2000 to 2015: all but OP_REPLY, which is 1. That is
// too little to know a connection by; it is read on connections that are known.
func opcodes() protocols.Match {
	m := protocols.Match{Least: message.HeaderSize}
	m.Mask[3] = 0xfc
	copy(m.Mask[12:], []byte{0xf0, 0xff, 0xff, 0xff})
	copy(m.Value[12:], []byte{0xd0, 7, 0, 0})
	return m
}

// recognise judges the header of a message, and how its body begins.
func recognise(b []byte, from protocols.End, _ protocols.Evidence) protocols.Guess {
	if len(b) < message.HeaderSize {
		if len(b) > 3 && b[3] > message.MaxSize>>24 || from == protocols.Client && !zero(b[min(len(b), 8):min(len(b), 12)]) {
			return protocols.No
		}
		if len(b) > 12 && !begins(b[12:]) {
			return protocols.No
		}
		return protocols.More
	}
	h := message.ReadHeader(b)
	asks, answers := from != protocols.Server && h.Valid(true), from != protocols.Client && h.Valid(false)
	if !asks && !answers || h.Op == message.OpReply {
		return protocols.No
	}
	return body(&h, b[message.HeaderSize:])
}

// begins reports whether an opcode can begin with b.
func begins(b []byte) bool {
	for _, op := range []uint32{
		message.OpUpdate, message.OpInsert, message.OpQuery, message.OpGetMore, message.OpDelete,
		message.OpKillCursors, message.OpCompressed, message.OpMsg,
	} {
		var o [4]byte
		binary.LittleEndian.PutUint32(o[:], op)
		if bytes.HasPrefix(o[:], b) {
			return true
		}
	}
	return false
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// field is what a body has at a place: up to four bytes, little-endian, from low to high.
type field struct {
	at        int
	low, high uint32
}

// body judges what follows the header, of which b may hold a part.
func body(h *message.Header, b []byte) protocols.Guess {
	var fields [4]field
	n := 0
	add := func(at int, low, high uint32) {
		fields[n] = field{at, low, high}
		n++
	}
	rest := h.Length - message.HeaderSize
	switch h.Op {
	case message.OpMsg:
		if len(b) >= 4 && !message.ValidFlags(binary.LittleEndian.Uint32(b)) {
			return protocols.No
		}
		if len(b) < 5 {
			return protocols.More
		}
		if b[4] > 1 {
			return protocols.No
		}
		add(5, 5, rest-5)
	case message.OpCompressed:
		add(0, message.OpReply, message.OpMsg)
		add(4, 1, message.MaxSize)
	case message.OpKillCursors:
		add(0, 0, 0)
		add(4, 1, rest/8)
	case message.OpQuery:
		add(0, 0, 1<<8-1)
	default:
		add(0, 0, 1)
	}
	for _, f := range fields[:n] {
		if len(b) < f.at+4 {
			return protocols.More
		}
		if v := binary.LittleEndian.Uint32(b[f.at:]); v < f.low || v > f.high {
			return protocols.No
		}
	}
	switch h.Op {
	case message.OpMsg:
		return section(b[4:])
	case message.OpCompressed:
		return compressor(b)
	case message.OpKillCursors:
		return protocols.Sure
	}
	return namespace(b[4:])
}

// section judges the kind of a section, of which the size is right, and how what it holds begins: an element with a
// name, or the name of a document sequence.
func section(b []byte) protocols.Guess {
	switch {
	case b[0] == 1 && len(b) > 5:
		return letter(b[5])
	case len(b) < 7:
		return protocols.More
	case !message.ValidType(b[5]):
		return protocols.No
	}
	return letter(b[6])
}

// letter judges the first byte of a name that the protocol gives: of a command, a field of a reply, a sequence.
func letter(c byte) protocols.Guess {
	if c|0x20 >= 'a' && c|0x20 <= 'z' || c == '$' || c == '_' {
		return protocols.Sure
	}
	return protocols.No
}

// compressor judges the id of a compressor: none, snappy, zlib or zstd.
func compressor(b []byte) protocols.Guess {
	switch {
	case len(b) < 9:
		return protocols.More
	case b[8] > 3:
		return protocols.No
	}
	return protocols.Sure
}

// namespace judges "database.collection", which ends with a zero byte.
func namespace(b []byte) protocols.Guess {
	end := bytes.IndexByte(b[:min(len(b), 256)], 0)
	name := b[:min(len(b), 256)]
	if end >= 0 {
		name = b[:end]
	}
	for _, c := range name {
		if c < ' ' {
			return protocols.No
		}
	}
	switch {
	case end < 0 && len(b) < 256:
		return protocols.More
	case bytes.IndexByte(name, '.') < 1 || end < 0:
		return protocols.No
	}
	return protocols.Sure
}
