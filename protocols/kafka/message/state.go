package message

import "encoding/binary"

// numbers are fields of r that AppendState writes.
func (r *Reader) numbers() []*uint32 {
	return []*uint32{
		&r.h.Size, &r.h.Correlation, &r.pos, &r.end, &r.left, &r.tags, &r.batch.end, &r.batch.ends, &r.batch.record,
	}
}

// AppendState appends what RestoreState reads.
func (r *Reader) AppendState(b []byte) []byte {
	for _, v := range r.numbers() {
		b = binary.AppendUvarint(b, uint64(*v))
	}
	for _, v := range []int64{
		int64(r.h.API), int64(r.h.Version), int64(r.topics), int64(r.batch.records), int64(r.batch.walked), r.batch.headers,
	} {
		b = binary.AppendVarint(b, v)
	}
	b = append(b, byte(r.state), byte(r.behind), byte(r.then), flag(r.flexible), flag(r.batch.context), byte(r.size), byte(r.depth))
	b = append(b, r.token[:r.size]...)
	for _, f := range r.frames[:r.depth] {
		b = binary.AppendUvarint(append(b, byte(f.of), f.at), uint64(f.left))
	}
	return b
}

// RestoreState reads what AppendState wrote, all of b, and reports whether that can be. Request, Facts and Asked stay
// as they are.
func (r *Reader) RestoreState(b []byte) bool {
	fresh := Reader{Request: r.Request, Facts: r.Facts, Asked: r.Asked, Begins: r.Begins}
	*r = fresh
	in := input{b: b, ok: true}
	for _, v := range r.numbers() {
		*v = uint32(in.number())
	}
	r.h.API, r.h.Version, r.topics = int16(in.signed()), int16(in.signed()), int(in.signed())
	r.batch.records, r.batch.walked, r.batch.headers = int32(in.signed()), int32(in.signed()), in.signed()
	r.state, r.behind, r.then = state(in.byte()), next(in.byte()), state(in.byte())
	r.flexible, r.batch.context = in.byte() == 1, in.byte() == 1
	size, depth := int(in.byte()), int(in.byte())
	r.size = copy(r.token[:], in.bytes(size))
	for i := range min(depth, maxDepth) {
		r.frames[i] = frame{of: structID(in.byte()), at: in.byte(), left: uint32(in.number())}
		in.ok = in.ok && r.frames[i].of > noStruct && r.frames[i].of < lastStruct
		r.depth = i + 1
	}
	if in.ok && len(in.b) == 0 && depth == r.depth && r.possible() {
		return true
	}
	*r = fresh
	return false
}

// possible reports whether the fields agree, and finds the field that is being read.
func (r *Reader) possible() bool {
	if r.state >= lastState || r.then >= lastState || r.behind >= lastNext || r.topics < 0 {
		return false
	}
	if r.state == atHeader {
		return r.size < r.fixed()
	}
	if r.end != r.h.Size || r.end > MaxSize || r.pos >= r.end || r.pos < ResponseHeader {
		return false
	}
	if r.depth > 0 {
		f := &r.frames[r.depth-1]
		if fields := structs[f.of]; f.at > 0 && int(f.at) <= len(fields) {
			r.field = fields[f.at-1]
		}
	}
	b := &r.batch
	switch r.state {
	case inDrop, inText:
		if r.left == 0 || r.left > r.end-r.pos || r.size > 0 || r.state == inText && (r.behind != nextField || r.field.what == nothing) {
			return false
		}
		if r.behind == nextEnd {
			return r.left == r.end-r.pos
		}
		if r.behind == nextField {
			return r.depth > 0
		}
		if r.then == atTag || r.then == atHeader {
			return r.then == atTag && r.depth > 0
		}
	case atFixed, atLength, atTags, atTag, atTagSize:
		return r.depth > 0 && (r.isVarint() && r.size < binary.MaxVarintLen64 || !r.isVarint() && r.size < r.fixed())
	case atHeaderKey:
		if r.size >= len(contextKey) {
			return false
		}
	default:
		if r.isVarint() && r.size >= binary.MaxVarintLen64 || !r.isVarint() && r.size >= r.fixed() {
			return false
		}
	}
	return r.depth > 0 && b.end <= r.end && b.ends <= b.end && r.pos <= b.end
}

// AppendState appends what RestoreState reads.
func (f *Facts) AppendState(b []byte) []byte {
	for _, t := range [2][]byte{f.ClientID, f.Group} {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	for _, v := range []int64{int64(f.Acks), int64(f.Replica), int64(f.Code), int64(len(f.Topics)), int64(len(f.Links))} {
		b = binary.AppendVarint(b, v)
	}
	b = append(b, flag(f.Uncounted))
	for i := range f.Topics {
		t := &f.Topics[i]
		b = append(binary.AppendUvarint(b, uint64(len(t.Name))), t.Name...)
		b = append(b, t.ID[:]...)
		for _, v := range []int64{int64(t.Partitions), int64(t.Partition), int64(t.Code), int64(t.Messages), int64(t.index)} {
			b = binary.AppendVarint(b, v)
		}
		b = append(b, flag(t.Uncounted), flag(t.noted))
	}
	for i := range f.Links {
		b = append(append(b, byte(f.Of[i])), f.Links[i][:]...)
	}
	for i := range f.Topics {
		t := &f.Topics[i]
		for _, v := range []int64{int64(t.Named), int64(t.Failed), int64(t.At), t.first} {
			b = binary.AppendVarint(b, v)
		}
	}
	return append(b, flag(f.Over))
}

// RestoreState reads what AppendState wrote, all of b, and reports whether that can be.
func (f *Facts) RestoreState(b []byte) bool {
	*f = Facts{}
	in := input{b: b, ok: true}
	f.ClientID, f.Group = in.name(), in.name()
	f.Acks, f.Replica, f.Code = int16(in.signed()), int32(in.signed()), int16(in.signed())
	topics, links := in.signed(), in.signed()
	f.Uncounted = in.byte() == 1
	if topics < 0 || topics > MaxTopics || links < 0 || links > MaxLinks || links > 0 && topics == 0 {
		return false
	}
	for range topics {
		t := Topic{Name: in.name()}
		copy(t.ID[:], in.bytes(len(t.ID)))
		t.Partitions, t.Partition, t.Code = int(in.signed()), int32(in.signed()), int16(in.signed())
		t.Messages, t.index = int(in.signed()), int32(in.signed())
		t.Uncounted, t.noted = in.byte() == 1, in.byte() == 1
		f.Topics = append(f.Topics, t)
	}
	for range links {
		of := int(in.byte())
		l := in.bytes(ContextSize)
		if !in.ok || of >= len(f.Topics) {
			return false
		}
		f.Of, f.Links = append(f.Of, of), append(f.Links, [ContextSize]byte(l))
	}
	if len(in.b) == 0 { // written before share groups were read
		return in.ok
	}
	for i := range f.Topics {
		t := &f.Topics[i]
		t.Named, t.Failed, t.At, t.first = int(in.signed()), int(in.signed()), uint32(in.signed()), in.signed()
	}
	f.Over = in.byte() == 1
	return in.ok && len(in.b) == 0
}

// Held is about how many bytes AppendState writes, and not less.
func (f *Facts) Held() int {
	n := len(f.ClientID) + len(f.Group) + len(f.Links)*(ContextSize+1) + 100
	for i := range f.Topics {
		n += len(f.Topics[i].Name) + 110
	}
	return n
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// input reads b; after the first thing that is not there, ok is false and all is zero.
type input struct {
	b  []byte
	ok bool
}

func (in *input) fail() { in.b, in.ok = nil, false }

func (in *input) number() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 || v > 1<<32-1 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
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
	if b := in.bytes(1); b != nil {
		return b[0]
	}
	return 0
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

func (in *input) name() []byte {
	n := in.number()
	if n > MaxName {
		in.fail()
		return nil
	}
	return append([]byte(nil), in.bytes(int(n))...)
}
