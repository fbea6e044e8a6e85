package http2

import (
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/http2/hpack"
)

// maxNames bounds the names of the dynamic table that are remembered: a table of 64 KiB holds no more.
const maxNames = 2048

// table holds what the names of the dynamic table mean, the newest last. Behind the last that it knows others may
// follow.
type table struct{ kinds []kind }

func (t *table) add(k kind) {
	if len(t.kinds) == 2*maxNames {
		t.kinds = t.kinds[:copy(t.kinds, t.kinds[maxNames:])]
	}
	t.kinds = append(t.kinds, k)
}

// at gives what the name of an entry means, for an index from 0 on.
func (t *table) at(i uint64) kind {
	if i >= uint64(len(t.kinds)) {
		return kindUnknown
	}
	return t.kinds[len(t.kinds)-1-int(i)]
}

// lose forgets all: how many were added is not known.
func (t *table) lose() { t.kinds = t.kinds[:0] }

// Where in a header block (RFC 7541, section 6) the next byte is.
type place uint8

const (
	atField place = iota
	atIndex
	atNameLength
	atName
	atValueLength
	atValue
	atLost // behind a gap: nothing of the block is kept
)

// block is where in a header block a direction is.
type block struct {
	place place
	// dropped: nothing more of the block is kept, but it is followed.
	dropped bool
	// indexed: the field is an entry of a table; adds: it becomes one.
	indexed, adds bool
	prefix        uint8 // bits of the integer that is being read
	have          uint8 // bytes of it that came before
	integer       [5]byte
	kind          kind
	content       kind // what a field of the block says of the content: kindGRPC, kindWeb, kindWebText

	text text
}

func (k *block) begin() { *k = block{} }
func (k *block) lose()  { k.place = atLost }

// ends reports whether the block may end here.
func (k *block) ends() bool { return k.place == atField || k.place == atLost }

// fields reads b[i:], a part of a header block. It reports false if it is none.
func (s *scanner) fields(d *direction, b []byte, i int, w *edge.Writer) bool {
	k := &d.block
	for i < len(b) {
		from := i
		switch k.place {
		case atLost:
			return true
		case atField:
			k.open(b[i])
		case atName, atValue:
			n := min(int(k.text.left), len(b)-i)
			if !s.text(d, b[i:i+n], i, w) {
				return false
			}
			i += n
			continue
		default:
			huffman := b[i]&0x80 != 0
			if k.have > 0 {
				huffman = k.integer[0]&0x80 != 0
			}
			v, n, ok := k.read(b[i:])
			if !ok {
				return false
			}
			i += n
			if k.have == 0 && !s.number(d, v, huffman) {
				return false
			}
		}
		if !k.dropped {
			w.Keep(from, i)
		}
	}
	return true
}

// open begins a field by its first byte.
func (k *block) open(c byte) {
	k.place, k.indexed, k.adds = atIndex, false, false
	switch {
	case c&0x80 != 0:
		k.prefix, k.indexed = 7, true
	case c&0x40 != 0:
		k.prefix, k.adds = 6, true
	case c&0x20 != 0:
		k.prefix, k.place = 5, atField
	default:
		k.prefix = 4
	}
	if k.prefix == 5 {
		k.place, k.kind = atIndex, kindResize
	} else {
		k.kind = kindUnknown
	}
}

// read reads an integer, or a part of one. k.have is 0 afterwards if it is complete.
func (k *block) read(b []byte) (v uint64, n int, ok bool) {
	if k.have == 0 {
		if v, n = hpack.Integer(b, uint(k.prefix)); n != 0 {
			return v, n, n > 0
		}
	}
	for n < len(b) {
		if int(k.have) == len(k.integer) {
			return 0, 0, false
		}
		k.integer[k.have] = b[n]
		k.have++
		n++
		switch v, size := hpack.Integer(k.integer[:k.have], uint(k.prefix)); {
		case size < 0:
			return 0, 0, false
		case size > 0:
			k.have = 0
			return v, n, true
		}
	}
	return 0, n, true
}

// number takes an integer.
func (s *scanner) number(d *direction, v uint64, huffman bool) bool {
	k := &d.block
	switch k.place {
	case atIndex:
		switch {
		case k.kind == kindResize:
			k.place = atField
		case k.indexed:
			k.place = atField
			if v == 0 {
				return false
			}
			if v > hpack.StaticSize {
				k.says(d.names.at(v - hpack.StaticSize - 1))
			}
		case v == 0:
			k.place, k.prefix = atNameLength, 7
		default:
			if v <= hpack.StaticSize {
				k.kind = s.screen.static[v]
			} else {
				k.kind = d.names.at(v - hpack.StaticSize - 1)
			}
			k.place, k.prefix = atValueLength, 7
		}
	case atNameLength:
		k.text.begin(uint32(v), huffman)
		if k.place = atName; v == 0 {
			k.place, k.kind = atValueLength, kindUnknown
		}
	case atValueLength:
		k.text.begin(uint32(v), huffman)
		k.text.keeps = k.kind.inPieces()
		if k.place = atValue; v == 0 {
			s.endField(d)
		}
	default:
	}
	return true
}

// says takes a field that is complete.
func (k *block) says(of kind) {
	if of != kindType && of.isType() {
		k.content = of
	}
}

// endField ends a literal field.
func (s *scanner) endField(d *direction) {
	k := &d.block
	k.place = atField
	k.says(k.kind)
	if k.adds {
		d.names.add(k.kind)
	}
}
