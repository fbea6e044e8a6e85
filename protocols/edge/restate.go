package edge

// Flags of a restated range, as in Event.restatements of raw.proto.
const (
	// RestatedMore: the range goes on with the next event of the direction.
	RestatedMore = 1
	// RestatedRest: it goes on with that at the end of the event before.
	RestatedRest = 2
	// restatedHead is how many numbers come before the pairs of a range.
	restatedHead = 5
)

// Text is what a range of bytes stands for, such as what compressed bytes hold, and what of that may leave the node. A
// scanner reads it with a [Writer] of its own, piece by piece, and hands it to [Writer.Restate] of the event. The zero
// value is empty. Not safe for concurrent use.
type Text struct {
	kept    []byte
	pairs   []uint32
	length  uint32
	blanked bool
}

// Reset empties t, and keeps its memory for use again.
func (t *Text) Reset() { t.kept, t.pairs, t.length, t.blanked = t.kept[:0], t.pairs[:0], 0, false }

// Length is how many bytes t has, those that are not kept included.
func (t *Text) Length() uint32 { return t.length }

// Kept is how many bytes of memory what is kept takes.
func (t *Text) Kept() int { return len(t.kept) + 4*len(t.pairs) }

// Take adds n bytes, with which w was started: what w has kept of them is copied.
func (t *Text) Take(w *Writer, n int) {
	kept, segments := w.Kept()
	t.kept = append(t.kept, kept...)
	for _, s := range segments {
		at := t.length + s.At
		if last := len(t.pairs) - 2; last >= 0 && t.pairs[last]+t.pairs[last+1] == at {
			t.pairs[last+1] += s.Length
		} else {
			t.pairs = append(t.pairs, at, s.Length)
		}
	}
	t.blanked = t.blanked || w.Blanked()
	t.length += uint32(n)
}

// Skip adds n bytes of which nothing is kept.
func (t *Text) Skip(n uint32) { t.length += n }

// restating is the part of a [Writer] that restates.
type restating struct {
	restated     []byte
	restatements []uint32
}

func (r *restating) discard() { r.restated, r.restatements = r.restated[:0], r.restatements[:0] }

// Restate says that the bytes from to to of the bytes being scanned stand for t. With rest so do the bytes before them
// that were deferred, and the range begins with the event. t is copied. Nothing else is kept of these bytes; calls of
// Restate, Defer, Keep and Blank come in ascending order. Nothing happens if t has no byte.
//
// The decoder's stream shows what is kept of t in place of the bytes. Every byte of t has an offset of the wire there:
// byte i is i bytes behind the first byte of the range, or at its last byte if that comes before.
func (w *Writer) Restate(from, to int, t *Text, rest bool) {
	if from >= to || t.length == 0 {
		return
	}
	w.begin(from, to, t.length, 0, rest)
	w.restatements[len(w.restatements)-1] = uint32(len(t.pairs) / 2)
	w.restatements = append(w.restatements, t.pairs...)
	w.restated = append(w.restated, t.kept...)
	w.blanked = w.blanked || t.blanked
}

// Defer says that what the bytes from to to of the bytes being scanned stand for is said of the event that goes on with
// them. The range goes to the end of the event. With rest the same was said of the bytes before them. If the next event
// does not say it, they are bytes that are not there.
func (w *Writer) Defer(from, to int, rest bool) {
	if from >= to {
		return
	}
	w.begin(from, to, 0, RestatedMore, rest)
}

// begin appends a range without pairs, or makes what was deferred of the same event a part of it.
func (w *Writer) begin(from, to int, length, flags uint32, rest bool) {
	at, end := w.position+uint32(from), w.position+uint32(to)
	if rest {
		if n := len(w.restatements); n > 0 { // of the same event: bytes between them are missing
			last := w.restatements[n-restatedHead:]
			last[1], last[2], last[3] = end-last[0], length, last[3]&RestatedRest|flags
			return
		}
		at, flags = 0, flags|RestatedRest
	}
	w.restatements = append(w.restatements, at, end-at, length, flags, 0)
}

// Restated gives what was restated since Start, as in Event.restated and Event.restatements of raw.proto; nil if there
// is nothing. Both are valid until the next call of Start.
func (w *Writer) Restated() ([]byte, []uint32) {
	if len(w.restatements) == 0 {
		return nil, nil
	}
	return w.restated, w.restatements
}
