package message

// inBytes reads on in a value.
func (r *Reader) inBytes(b []byte) (n int, wanted bool) {
	n = int(min(uint64(len(b)), uint64(r.left)))
	wanted = r.state == inValue
	if wanted && r.Facts != nil {
		r.Facts.add(r.keeping, b[:n])
	}
	r.advance(uint32(n))
	return n, wanted
}

// advance moves over n bytes of a value, of which r.left are still to come.
func (r *Reader) advance(n uint32) {
	r.pos += n
	if r.left -= n; r.left == 0 {
		if r.state == inValue && r.Facts != nil {
			r.Facts.done(r.keeping, r.kind)
		}
		r.state = r.then
		r.settle()
	}
}

// drop passes over n bytes, behind which then follows.
func (r *Reader) drop(n uint32, then state) {
	r.left, r.then, r.state = n, then, inDrop
	if n == 0 {
		r.state = then
	}
}

// dropRest passes over the rest of the message.
func (r *Reader) dropRest() {
	r.depth = 0
	r.drop(r.h.Length-r.pos, atHeader)
	if r.state == atHeader {
		r.size = 0
	}
}

// settle moves on where a document, a sequence or the message ends at the position.
func (r *Reader) settle() {
	for r.depth > 0 && r.state == atElement && r.pos >= r.levels[r.depth-1].end {
		r.depth--
		if r.depth == 0 {
			r.state = atKind
			if r.h.Op != OpMsg {
				r.dropRest()
			}
		}
	}
	if r.state == atSequenceDocument && r.size == 0 && r.pos >= r.sequence {
		r.state = atKind
	}
	switch {
	case r.state == atHeader || r.broken:
	case r.pos >= r.h.Length: // the message ends, in whatever state
		r.state, r.size, r.depth = atHeader, 0, 0
	case r.state == atKind && r.size == 0 && r.pos >= r.end, r.state != inDrop && r.pos > r.end:
		r.dropRest()
	}
}

// Skip passes over n bytes that are not there, wherever in the message. It reports whether the position is known
// behind them. What is not known of the message is left out: its rest, if they end within anything but bytes of no
// interest.
func (r *Reader) Skip(n uint64) bool {
	for n > 0 {
		if r.state == atHeader {
			return false
		}
		if r.state == inDrop && n <= uint64(r.left) {
			r.advance(uint32(n))
			return true
		}
		left := uint64(r.Left())
		if n > left {
			return false
		}
		r.Cut()
	}
	return true
}

// Cut says that nothing more of the message can be read.
func (r *Reader) Cut() {
	r.forget()
	r.uncounted()
	r.size = 0
	r.dropRest()
}

// forget takes back the text that is being read.
func (r *Reader) forget() {
	switch {
	case r.Facts == nil:
	case r.state == inValue:
		r.Facts.forget(r.keeping)
	case r.state == atFullName:
		r.Facts.forget(fullName)
	}
}

// Pass passes over n bytes that the node left out, at most Left: behind them an element begins, or the message ends.
func (r *Reader) Pass(n uint32) {
	inElements := r.state == atElement || r.state == inValue || r.state == inRegex
	if r.state == inDrop {
		if n <= r.left {
			r.advance(n)
			return
		}
		inElements = r.then == atElement
	}
	r.forget()
	r.pos += n
	r.size, r.named, r.long, r.left, r.first = 0, 0, false, 0, false
	if r.state = atElement; !inElements {
		r.uncounted()
		r.dropRest()
	}
	r.settle()
}

// Lose passes over n bytes that did not arrive, at most Left: nothing more of the message is read.
func (r *Reader) Lose(n uint32) {
	r.Cut()
	r.advance(n)
}
