package series

import (
	"encoding/binary"
	"strings"
)

// symbol stands for a text: a key, or the bytes of a value. 0 stands for none.
type symbol uint32

// symbols holds each text once, for as long as something refers to it.
type symbols struct {
	ids  map[string]symbol
	all  []entry
	free []symbol
}

type entry struct {
	text string
	uses uint32
}

func newSymbols() symbols { return symbols{ids: map[string]symbol{}, all: make([]entry, 1)} }

// find gives the symbol of a text, 0 if there is none.
func (s *symbols) find(b []byte) symbol { return s.ids[string(b)] }

func (s *symbols) text(id symbol) string { return s.all[id].text }

// use gives the symbol of a text, which [symbols.release] gives back, and whether it is new.
func (s *symbols) use(b string) (id symbol, added bool) {
	if id = s.ids[b]; id != 0 {
		s.all[id].uses++
		return id, false
	}
	b = strings.Clone(b)
	if n := len(s.free); n > 0 {
		id, s.free = s.free[n-1], s.free[:n-1]
		s.all[id] = entry{text: b, uses: 1}
	} else {
		id = symbol(len(s.all))
		s.all = append(s.all, entry{text: b, uses: 1})
	}
	s.ids[b] = id
	return id, true
}

// release reports whether the text is gone, and its length.
func (s *symbols) release(id symbol) (gone bool, length int) {
	if id == 0 {
		return false, 0
	}
	t := &s.all[id]
	if t.uses--; t.uses > 0 {
		return false, 0
	}
	length = len(t.text)
	delete(s.ids, t.text)
	*t = entry{}
	s.free = append(s.free, id)
	return true, length
}

// pair is an attribute.
type pair struct{ key, value symbol }

func appendPair(dst []byte, p pair) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(p.key)), uint64(p.value))
}

// cutPair takes a pair off the front of a key that the store made.
func cutPair(key string) (p pair, rest string) {
	var v uint64
	v, key = cutUvarint(key)
	p.key = symbol(v)
	v, key = cutUvarint(key)
	p.value = symbol(v)
	return p, key
}

func cutUvarint(s string) (v uint64, rest string) {
	for i := 0; i < len(s); i++ {
		v |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return v, s[i+1:]
		}
	}
	return v, ""
}
