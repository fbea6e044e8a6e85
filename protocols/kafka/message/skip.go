package message

// drop passes over n bytes.
func (r *Reader) drop(n uint64, behind next, then state) {
	if n > uint64(r.end-r.pos) {
		r.dropRest()
		return
	}
	r.left, r.behind, r.then, r.state = uint32(n), behind, then, inDrop
	if n == 0 {
		r.goOn()
	}
}

// dropRest passes over the rest of the message.
func (r *Reader) dropRest() {
	if r.depth > 0 && r.field.kind != rest {
		r.uncounted()
	}
	r.depth, r.size = 0, 0
	r.left, r.behind, r.state = r.end-r.pos, nextEnd, inDrop
	if r.left == 0 {
		r.state = atHeader
	}
}

// advance moves over n bytes of a text, or of what is dropped.
func (r *Reader) advance(n uint32) {
	r.pos += n
	if r.left -= n; r.left == 0 {
		r.goOn()
	}
	r.settle()
}

// goOn goes on behind bytes that were passed over.
func (r *Reader) goOn() {
	switch r.behind {
	case nextField:
		r.resolve()
	case nextState:
		r.state = r.then
		switch {
		case r.then == atTag && r.tags == 0:
			r.endTags()
		case r.then == atBatch:
			r.nextBatch()
		case r.then == atRecord:
			r.nextRecord()
		case r.then == atHeaderKeySize:
			r.nextHeader()
		}
	default:
		r.state = atHeader
	}
}

// settle ends the message where it ends, in whatever state.
func (r *Reader) settle() {
	if r.state != atHeader && !r.broken && r.pos >= r.end {
		if r.state != inDrop || r.left > 0 {
			r.uncounted()
		}
		r.state, r.size, r.depth = atHeader, 0, 0
	}
}

// uncounted says that not all of the message was read.
func (r *Reader) uncounted() {
	if r.Facts != nil {
		r.Facts.Uncounted = true
	}
}

// Skip passes over n bytes that are not there, wherever in the message. It reports whether the position is known
// behind them. If they are more than bytes of no interest, the rest of the message is left out.
func (r *Reader) Skip(n uint64) bool {
	if r.state == atHeader || n > uint64(r.end-r.pos) {
		return n == 0
	}
	if r.state != inDrop || n > uint64(r.left) {
		r.Cut()
	}
	r.advance(uint32(n))
	return true
}

// Pass passes over n bytes that the node left out, at most Left.
func (r *Reader) Pass(n uint32) {
	for n > 0 && r.state != atHeader {
		switch r.state {
		case inDrop:
		case atHeaderKey: // the key of a header that is of no interest
			r.passKey()
		default:
			r.Cut()
		}
		m := min(n, r.left)
		n -= m
		r.advance(m)
	}
}

// Lose passes over n bytes that did not arrive, at most Left: nothing more of the message is read.
func (r *Reader) Lose(n uint32) {
	if r.state == atHeader {
		return
	}
	r.Cut()
	if r.state == inDrop {
		r.advance(n)
	}
}

// Cut says that nothing more of the message can be read.
func (r *Reader) Cut() {
	if r.state == inText && r.Facts != nil {
		r.Facts.forget(r.field.what)
	}
	r.uncounted()
	r.dropRest()
}
