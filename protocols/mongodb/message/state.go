package message

import "encoding/binary"

// numbers are the fields of r that AppendState writes, but for its token, levels and bits.
func (r *Reader) numbers() [15]uint64 {
	return [15]uint64{
		uint64(r.h.Length), uint64(r.h.ID), uint64(r.h.ResponseTo), uint64(r.h.Op), uint64(r.state), uint64(r.pos), uint64(r.end),
		uint64(r.sequence), uint64(r.left), uint64(r.then), uint64(r.named), uint64(r.ends), uint64(r.keeping), uint64(r.kind),
		uint64(r.command),
	}
}

func (r *Reader) bits() [5]*bool {
	return [5]*bool{&r.long, &r.first, &r.failed, &r.inCommand, &r.broken}
}

// AppendState appends what RestoreState reads.
func (r *Reader) AppendState(b []byte) []byte {
	for _, v := range r.numbers() {
		b = binary.AppendUvarint(b, v)
	}
	for _, bit := range r.bits() {
		b = appendBool(b, *bit)
	}
	b = append(b, byte(r.size))
	b = append(b, r.token[:r.size]...)
	b = append(b, byte(r.depth))
	for _, l := range r.levels[:r.depth] {
		b = binary.AppendUvarint(append(b, byte(l.what)), uint64(l.end))
	}
	b = binary.AppendUvarint(b, uint64(r.packed.op))
	return append(binary.AppendUvarint(b, uint64(r.packed.size)), byte(r.packed.compressor))
}

// RestoreState reads what AppendState wrote, all of b, and reports whether that can be. Request, Facts and Command stay
// as they are.
func (r *Reader) RestoreState(b []byte) bool {
	in := input{b: b, ok: true}
	var n [15]uint32
	for i := range n {
		n[i] = in.number()
	}
	*r = Reader{
		Request: r.Request, Facts: r.Facts, Command: r.Command, h: Header{n[0], n[1], n[2], n[3]},
		state: state(n[4]), pos: n[5], end: n[6], sequence: n[7], left: n[8], then: state(n[9]), named: int(n[10]), ends: int(n[11]),
		keeping: text(n[12]), kind: byte(n[13]), command: command(n[14]),
	}
	for _, bit := range r.bits() {
		*bit = in.byte() == 1
	}
	r.size = copy(r.token[:], in.bytes(int(in.byte())))
	r.depth = int(in.byte())
	for i := range min(r.depth, maxDepth) {
		r.levels[i] = level{what: context(in.byte()), end: in.number()}
		in.ok = in.ok && r.levels[i].what <= inError && r.levels[i].end <= r.h.Length && (i == 0 || r.levels[i].end < r.levels[i-1].end)
	}
	if len(in.b) > 0 { // written since what is compressed is read
		r.packed = packed{op: in.number(), size: in.number(), compressor: Compressor(in.byte())}
	}
	if in.ok && len(in.b) == 0 && r.possible() {
		return true
	}
	*r = Reader{Request: r.Request, Facts: r.Facts, Command: r.Command}
	return false
}

// possible reports whether the fields agree.
func (r *Reader) possible() bool {
	if r.state >= lastState || r.then >= lastState || r.depth > maxDepth || r.keeping >= lastText || r.broken {
		return false
	}
	if r.state == atHeader {
		return r.size < HeaderSize
	}
	if !r.h.Valid(r.Request) || r.pos < HeaderSize || r.pos >= r.h.Length || r.end > r.h.Length || r.end < HeaderSize {
		return false
	}
	room := 0
	switch r.state {
	case atElement:
		if r.depth == 0 || r.pos >= r.levels[r.depth-1].end || r.named > r.size || r.named == 1 || r.named == 0 && r.size > maxName+1 {
			return false
		}
		return r.size == 0 && r.named == 0 || r.size > 0 && (r.named == 0 || r.size < r.named+4)
	case inValue, inDrop:
		inside := r.left > 0 && r.left <= r.h.Length-r.pos
		if r.then == atElement {
			return inside && r.depth > 0 && r.pos+r.left < r.levels[r.depth-1].end && r.size == 0
		}
		return inside && r.state == inDrop && r.size == 0 && (r.then == atHeader || r.then == atSequenceDocument || r.then == atKind)
	case inRegex:
		return r.ends >= 1 && r.ends <= 2 && r.depth > 0 && r.size == 0
	case atFullName, atSequenceName:
		return r.left <= maxText && r.named == 0 && (r.state == atFullName || r.sequence <= r.end)
	case atSequenceDocument:
		return r.size < 4 && r.sequence <= r.end && r.pos-uint32(r.size) < r.sequence
	default:
		room = r.fixed()
	}
	return r.size < room && r.pos >= uint32(r.size)+HeaderSize && r.pos-uint32(r.size) <= r.end
}

// AppendState appends what RestoreState reads.
func (f *Facts) AppendState(b []byte) []byte {
	for _, t := range f.texts() {
		b = append(binary.AppendUvarint(b, uint64(len(*t))), *t...)
	}
	b = binary.AppendVarint(b, int64(f.Batch))
	b = binary.AppendVarint(b, int64(f.Returned))
	b = binary.AppendVarint(b, f.Code)
	for _, bit := range f.bits() {
		b = appendBool(b, *bit)
	}
	return append(append(b, byte(f.size)), f.number[:f.size]...)
}

// RestoreState reads what AppendState wrote, all of b, and reports whether that can be.
func (f *Facts) RestoreState(b []byte) bool {
	in := input{b: b, ok: true}
	*f = Facts{}
	for _, t := range f.texts() {
		n := in.number()
		in.ok = in.ok && n <= maxText
		*t = append(*t, in.bytes(int(n))...)
	}
	f.Batch, f.Returned, f.Code = int(in.signed()), int(in.signed()), in.signed()
	for _, bit := range f.bits() {
		*bit = in.byte() == 1
	}
	f.size = copy(f.number[:], in.bytes(int(in.byte())))
	return in.ok && len(in.b) == 0
}

// Held is how many bytes AppendState writes at most, but for a hundred.
func (f *Facts) Held() (n int) {
	for _, t := range f.texts() {
		n += len(*t)
	}
	return n
}

func (f *Facts) texts() [5]*[]byte {
	return [5]*[]byte{&f.Command, &f.Collection, &f.Database, &f.FullName, &f.CodeName}
}

func (f *Facts) bits() [6]*bool {
	return [6]*bool{&f.Failed, &f.WriteError, &f.MoreToCome, &f.Compressed, &f.Uncounted, &f.hasCode}
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// input reads b; after the first thing that is not there, ok is false and all is zero.
type input struct {
	b  []byte
	ok bool
}

func (in *input) fail() {
	in.b, in.ok = nil, false
}

func (in *input) number() uint32 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 || v > 1<<32-1 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return uint32(v)
}

func (in *input) signed() int64 {
	v, n := binary.Varint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) byte() byte {
	if len(in.b) == 0 {
		in.fail()
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

func (in *input) bytes(n int) []byte {
	if n > len(in.b) {
		in.fail()
		return nil
	}
	t := in.b[:n]
	in.b = in.b[n:]
	return t
}
