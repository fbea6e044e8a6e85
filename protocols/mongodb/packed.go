package mongodb

import (
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/inflate"
	"millrace.dev/protocols/mongodb/message"
)

// Bounds of compressed messages, in bytes.
const (
	// maxPacked is how much of what is compressed is read, from its beginning.
	maxPacked = copiedPacked - message.PackedHeader
	// maxInflated is how much is read of what that holds. The rest is passed over: its length is known.
	maxInflated = 64 << 10
)

// unpacker reads what compressed messages hold. One serves all connections.
type unpacker struct {
	inflater inflate.Inflater
	snapped  []byte
	writer   edge.Writer
	text     edge.Text
	command  bool // the last that was read is a command in an OP_QUERY
}

// packed collects the compressed bytes of the message that is being read in one direction.
type packed struct {
	bytes   []byte
	ranging bool // bytes of it were in events before
	over    bool // nothing more of the message is read
}

// reset prepares for the next message, and gives memory back that only a rare one needed.
func (p *packed) reset() {
	if p.bytes = p.bytes[:0]; cap(p.bytes) > 1<<10 {
		p.bytes = nil
	}
	p.ranging, p.over = false, false
}

// scan takes the bytes from to to of b, the bytes being scanned, which are compressed; r is at the first of them, and
// last says that the message ends with them. Where that is not so, they are said to stand for what shows later.
func (p *packed) scan(u *unpacker, r *message.Reader, b []byte, from, to int, last bool, w *edge.Writer) {
	if p.over {
		return
	}
	n := min(to-from, maxPacked-len(p.bytes))
	all := b[from : from+n]
	if p.over = last || n == maxPacked-len(p.bytes); !p.over {
		p.bytes = append(p.bytes, all...)
		w.Defer(from, to, p.ranging)
		p.ranging = true
		return
	}
	if len(p.bytes) > 0 {
		p.bytes = append(p.bytes, all...)
		all = p.bytes
	}
	if u.read(r, all) {
		w.Restate(from, from+n, &u.text, p.ranging)
	}
}

// read makes the text of what b, the compressed bytes of the message at whose beginning r is, holds. False: nothing of
// it can be read.
func (u *unpacker) read(r *message.Reader, b []byte) bool {
	compressor, size, _ := r.Packed()
	inner := *r
	if u.command = false; !inner.Unpack() {
		return false
	}
	u.text.Reset()
	limit := int(min(size, maxInflated))
	take := func(chunk []byte) bool { return u.take(&inner, chunk) }
	switch compressor {
	case message.Noop:
		u.snapped = append(u.snapped[:0], b[:min(len(b), limit)]...)
		take(u.snapped)
	case message.Snappy:
		if u.snapped = unsnap(u.snapped[:0], b, limit); len(u.snapped) > 0 {
			take(u.snapped)
		}
	case message.Zlib:
		u.inflater.Inflate(inflate.Zlib, b, limit, take)
	case message.Zstd:
		u.inflater.Inflate(inflate.Zstd, b, limit, take)
	default:
		return false
	}
	if u.text.Length() == 0 {
		return false
	}
	u.text.Skip(size - u.text.Length())
	u.command = inner.IsCommand()
	return true
}

// take adds a chunk to the text, and of it what is wanted. It reports whether more of the message is to come.
func (u *unpacker) take(r *message.Reader, chunk []byte) bool {
	u.writer.Start(chunk)
	u.writer.Run(0, 0)
	for at := 0; at < len(chunk) && !r.AtStart(); {
		n, wanted := r.Next(chunk[at:])
		if wanted {
			u.writer.Keep(at, at+n)
		}
		at += n
	}
	u.text.Take(&u.writer, len(chunk))
	return !r.AtStart()
}
