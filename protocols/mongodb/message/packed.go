package message

import "encoding/binary"

// Compressor is the compressorId of an OP_COMPRESSED.
type Compressor uint8

// Compressors of the wire protocol.
const (
	Noop Compressor = iota
	Snappy
	Zlib
	Zstd
)

// PackedHeader is how many bytes of an OP_COMPRESSED come before what is compressed.
const PackedHeader = HeaderSize + 9

// packed is what an OP_COMPRESSED says of the message that it holds.
type packed struct {
	op, size   uint32
	compressor Compressor
}

// readPacked takes the fields behind the header of an OP_COMPRESSED.
func (r *Reader) readPacked(t []byte) {
	r.packed = packed{op: binary.LittleEndian.Uint32(t), size: binary.LittleEndian.Uint32(t[4:]), compressor: Compressor(t[8])}
	if r.Facts != nil {
		r.Facts.Compressed = true
	}
	r.dropRest()
}

// Packed reports whether the rest of the message is compressed, and how: what it holds is size bytes long.
func (r *Reader) Packed() (compressor Compressor, size uint32, ok bool) {
	return r.packed.compressor, r.packed.size, r.packed.op != 0 && r.state == inDrop
}

// Unpack goes on, from among the compressed bytes, with the first byte of what they hold: as in a message that was
// never compressed and whose header was read. False: no message is like that.
func (r *Reader) Unpack() bool {
	h := r.h
	h.Op, h.Length = r.packed.op, HeaderSize+min(r.packed.size, MaxSize)
	if _, _, ok := r.Packed(); !ok || h.Op == OpCompressed || !h.Valid(r.Request) {
		return false
	}
	r.h, r.pos, r.end, r.packed = h, HeaderSize, h.Length, packed{}
	r.left, r.state = 0, atFixed
	if r.Facts != nil {
		r.Facts.Compressed = false
	}
	return true
}
