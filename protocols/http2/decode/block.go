package decode

import (
	"sync"

	"millrace.dev/protocols/http2/hpack"
)

// head is what a header block says. Texts are valid until the next block is read.
type head struct {
	values [kinds][]byte
	has    uint32 // bits of values that are there
	// parents counts the fields of traceparent.
	parents int
	states  [][]byte
	// layered are the fields that layers look at.
	layered []layeredField
	// unknown: a field refers to an entry of the dynamic table that was not seen, or a part of the block is missing.
	unknown bool
}

type layeredField struct {
	kind  kind
	value []byte
}

func (h *head) is(k kind) bool { return h.has&(1<<k) != 0 }

// work is memory to read blocks with.
type work struct {
	names *names
	head  head
	text  []byte // decoded values
}

var works = sync.Pool{New: func() any { return new(work) }}

// read reads a header block, or what there is of one that is cut. It reports false if it is none.
func (m *work) read(n *names, t *table, b []byte, cut bool) bool {
	states, layered := m.head.states[:0], m.head.layered[:0]
	m.names, m.head = n, head{states: states, layered: layered, unknown: cut}
	t.settle()
	m.text = m.text[:0]
	for len(b) > 0 {
		n := m.field(t, b)
		if n < 0 {
			return false
		}
		if n == 0 {
			return cut
		}
		b = b[n:]
	}
	return true
}

// field reads the field that b begins with. It gives its length: 0 if b ends within it, negative if it is none.
func (m *work) field(t *table, b []byte) int {
	c := b[0]
	switch {
	case c&0x80 != 0:
		index, n := hpack.Integer(b, 7)
		switch e := (*entry)(nil); {
		case n <= 0:
		case index == 0:
			return -1
		case index <= hpack.StaticSize:
			f := &m.names.static[index]
			m.head.set(f.kind, f.value)
		default:
			if e = t.at(index - hpack.StaticSize - 1); e == nil {
				m.head.unknown = true
			} else if e.kind != kindNone {
				// The table may move before the value is used.
				at := len(m.text)
				m.text = append(m.text, t.value(e)...)
				m.head.set(e.kind, m.text[at:])
			}
		}
		return n
	case c&0x60 == 0x20:
		size, n := hpack.Integer(b, 5)
		if n > 0 {
			t.resize(size)
		}
		return n
	}
	adds, prefix := c&0x40 != 0, uint(4)
	if adds {
		prefix = 6
	}
	index, n := hpack.Integer(b, prefix)
	if n <= 0 {
		return n
	}
	k, name := kindNone, 0
	switch {
	case index == 0:
		text, size := m.literal(b[n:], true)
		if size <= 0 {
			return size
		}
		n += size
		k, name = m.names.kindOf(text), len(text)
	case index <= hpack.StaticSize:
		k, name = m.names.static[index].kind, m.names.static[index].name
	default:
		if e := t.at(index - hpack.StaticSize - 1); e != nil {
			k, name = e.kind, int(e.name)
		} else {
			m.head.unknown = true
		}
	}
	value, size := m.literal(b[n:], adds || k != kindNone)
	if size <= 0 {
		return size
	}
	m.head.set(k, value)
	if adds {
		t.add(k, name, value)
	}
	return n + size
}

// literal reads a text. Without wanted only its length in b is of interest.
func (m *work) literal(b []byte, wanted bool) (text []byte, n int) {
	length, n := hpack.Integer(b, 7)
	if n <= 0 {
		return nil, n
	}
	if uint64(len(b)-n) < length {
		return nil, 0
	}
	code := b[n : n+int(length)]
	n += int(length)
	switch at := len(m.text); {
	case !wanted:
		return nil, n
	case b[0]&0x80 == 0:
		return code, n
	default:
		var ok bool
		if m.text, ok = hpack.Decode(m.text, code); !ok {
			return nil, -1
		}
		return m.text[at:], n
	}
}

func (h *head) set(k kind, value []byte) {
	if k >= kinds {
		h.layered = append(h.layered, layeredField{k, value})
		return
	}
	switch k {
	case kindNone:
		return
	case kindParent:
		h.parents++
	case kindState:
		h.states = append(h.states, value)
	default:
	}
	if !h.is(k) {
		h.has |= 1 << k
		h.values[k] = value
	}
}
