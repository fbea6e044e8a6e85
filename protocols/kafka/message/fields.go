package message

// push goes on in the first of count structs.
func (r *Reader) push(of structID, count uint32) {
	if r.depth == maxDepth || count == 0 {
		r.dropRest()
		return
	}
	r.frames[r.depth] = frame{of: of, left: count - 1}
	r.depth++
}

// resolve finds what follows, from the next field of the struct that is being read on.
func (r *Reader) resolve() {
	for {
		if r.depth == 0 {
			r.dropRest()
			return
		}
		f := &r.frames[r.depth-1]
		fields := structs[f.of]
		if int(f.at) < len(fields) {
			r.field = fields[f.at]
			f.at++
			if r.h.Version < r.field.since || r.h.Version > r.field.until {
				continue
			}
			if r.open() {
				return
			}
			continue
		}
		if r.flexible && f.at != tagsDone {
			f.at, r.state = fieldsDone, atTags
			return
		}
		if f.left == 0 {
			r.depth--
			continue
		}
		f.left--
		f.at = 0
	}
}

// open goes on with a field. It reports whether bytes of it are to be read.
func (r *Reader) open() bool {
	switch r.field.kind {
	case fixed:
		if r.field.size == 0 { // says that a topic begins
			r.topics++
			if r.Facts != nil {
				r.Facts.begin(r.pos)
			}
			return false
		}
		if r.state = atFixed; r.field.what == nothing {
			r.drop(uint64(r.field.size), nextField, 0)
		}
	case rest:
		r.dropRest()
	case alone:
		r.push(r.field.of, 1)
		return r.depth == 0
	default:
		r.state = atLength
	}
	return true
}

// length takes the length of a field; negative: it has none.
func (r *Reader) length(n int64) {
	f := &r.field
	if n > int64(r.end-r.pos) {
		r.dropRest()
		return
	}
	if n <= 0 {
		r.resolve()
		return
	}
	switch f.kind {
	case array:
		r.push(f.of, uint32(n))
		if r.state == atLength {
			r.resolve()
		}
	case numbers:
		r.drop(uint64(n)*uint64(f.size), nextField, 0)
	case records:
		r.batch = batch{end: r.pos + uint32(n)}
		r.state = atBatch
		r.nextBatch()
	default:
		r.left, r.behind, r.state = uint32(n), nextField, inText
		if f.what == nothing || n > MaxName {
			r.state = inDrop
		}
	}
}
