package http2

import (
	"bytes"
	"sync"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/http2/hpack"
)

// text is a name or a value that is being read.
type text struct {
	left    uint32 // bytes of its code to come
	huffman bool
	begun   bool // a piece of it was read
	// keeps: what was read so far may be shown, and so may what follows if it fits.
	keeps bool
	// in is the beginning of a code that was cut, out what took its place.
	in, out hpack.Partial
	said    [maxSaid]byte // what was read so far, as far as it fits
	length  uint16        // of what was read so far, in bytes of text
}

// maxSaid is how much is remembered of a text that is cut. Names that are known are shorter.
const maxSaid = 128

func (t *text) begin(length uint32, huffman bool) {
	*t = text{left: length, huffman: huffman, keeps: true}
}

// maxPiece is how many bytes of a code are read at once. Longer texts are read in pieces, as if they were cut.
const maxPiece = 8 << 10

// room is memory for a piece.
type room struct {
	text, shown [maxPiece*8/5 + 8]byte
	code        [maxPiece]byte
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// text reads a piece of a name or a value, b, which begins at index i of what is being scanned. It reports false if it
// is not what it should be.
func (s *scanner) text(d *direction, b []byte, i int, w *edge.Writer) bool {
	k := &d.block
	memory := rooms.Get().(*room)
	defer rooms.Put(memory)
	for len(b) > 0 {
		n := min(len(b), maxPiece)
		if !s.piece(d, b[:n], i, w, memory) {
			return false
		}
		b, i = b[n:], i+n
	}
	if k.text.left > 0 {
		return true
	}
	if k.place == atName {
		k.place, k.prefix = atValueLength, 7
	} else {
		s.endField(d)
	}
	return true
}

func (s *scanner) piece(d *direction, b []byte, i int, w *edge.Writer, memory *room) bool {
	k, t := &d.block, &d.block.text
	t.left -= uint32(len(b))
	last := t.left == 0
	whole := last && !t.begun
	begun, hidden := t.in, t.out
	said := memory.text[:0]
	if t.huffman {
		var ok bool
		if said, ok = t.in.Decode(said, b); !ok || last && !t.in.Ends() {
			return false
		}
	} else {
		said = append(said, b...)
	}
	shown := memory.shown[:copy(memory.shown[:], said)]
	t.remember(said)
	switch {
	case k.place == atName:
		s.name(k, shown, whole, last)
	case whole:
		k.kind = s.screen.value(k, shown)
	default:
		s.screen.piece(k, shown)
		if last && k.kind.isType() {
			k.kind = kindOfType(t.known())
		}
	}
	t.begun = true
	switch {
	case k.dropped:
	case !t.huffman && bytes.Equal(said, shown):
		w.Keep(i, i+len(b))
	case !t.huffman:
		w.Fill(i, i+len(b), shown)
	case begun == hidden && bytes.Equal(said, shown) && (last || t.keeps):
		t.out = t.in
		w.Keep(i, i+len(b))
	default:
		code, ok := replace(memory.code[:0], said, shown, hidden, begun == hidden, t, last)
		if !ok || len(code) != len(b) {
			k.dropped = true
			return true
		}
		w.Fill(i, i+len(b), code)
	}
	return true
}

// remember takes what was read.
func (t *text) remember(said []byte) {
	if t.length < maxSaid {
		copy(t.said[t.length:], said)
	}
	t.length = uint16(min(int(t.length)+len(said), 1<<15))
}

// known gives what was read so far; nil if it is longer than is remembered.
func (t *text) known() []byte {
	if t.length > maxSaid {
		return nil
	}
	return t.said[:t.length]
}

// replace appends to dst the code of a piece of text of which '*' in shown are not to be seen, with a code that begins
// with hidden where the piece begins within one; same says that those are its own bits.
func replace(dst, said, shown []byte, hidden hpack.Partial, same bool, t *text, last bool) ([]byte, bool) {
	from := 0
	if hidden.Bits > 0 && len(said) > 0 {
		if from = 1; !same || shown[0] != said[0] {
			c, ok := hidden.Completed(hpack.Bits(said[0]))
			if !ok {
				return nil, false
			}
			shown[0] = c
		}
	}
	for i := from; i < len(said); {
		if shown[i] != '*' {
			i++
			continue
		}
		j := i
		for j < len(said) && shown[j] == '*' {
			j++
		}
		if !bytes.Equal(said[i:j], shown[i:j]) {
			copy(shown[i:j], said[i:j])
			if !hpack.Fill(shown[i:j]) {
				return nil, false
			}
		}
		i = j
	}
	switch {
	case last || t.keeps && (len(said) > 0 || same):
		t.out = t.in
	case len(said) > 0:
		t.out = t.in.Hidden(hpack.Partial{})
	default:
		t.out = t.in.Hidden(hidden)
	}
	if len(said) == 0 && hidden.Bits > t.out.Bits {
		return nil, false
	}
	return hpack.Encode(dst, hidden, shown, t.out), true
}

// name decides on a name, or a piece of one.
func (s *scanner) name(k *block, shown []byte, whole, last bool) {
	t := &k.text
	switch {
	case whole:
		if k.kind = s.screen.kind(shown); k.kind == kindUnknown {
			s.screen.blank(shown)
		}
	case !last:
		if t.keeps = t.keeps && t.length <= maxSaid && s.screen.begins(t.known()); !t.keeps {
			s.screen.blank(shown)
		}
	default:
		k.kind = kindUnknown
		if t.length <= maxSaid {
			k.kind = s.screen.kind(t.known())
		}
		if k.kind == kindUnknown {
			s.screen.blank(shown)
		}
	}
}
