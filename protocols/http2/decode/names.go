package decode

import (
	"sync/atomic"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/http2/hpack"
)

// names says what the names of fields are to parsers. It is constant.
type names struct {
	layers  *decode.Layers
	layered [][]byte // names that layers look at and parsers do not: the first is of kind kinds
	static  [hpack.StaticSize + 1]field
}

// field is an entry of the static table.
type field struct {
	kind  kind
	name  int
	value []byte
}

// last are the names that were made last. All parsers of a process have the same layers.
var last atomic.Pointer[names]

func namesFor(layers *decode.Layers) *names {
	if n := last.Load(); n != nil && n.layers == layers {
		return n
	}
	n := &names{layers: layers}
	for _, name := range layers.Names() {
		if kindOf(name) == kindNone && len(n.layered) < 0xff-int(kinds) {
			n.layered = append(n.layered, name)
		}
	}
	for i := range n.static {
		f := hpack.Static(uint64(i))
		n.static[i] = field{n.kindOf([]byte(f.Name)), len(f.Name), []byte(f.Value)}
	}
	last.Store(n)
	return n
}

// kindOf gives the kind of a name.
func (n *names) kindOf(name []byte) kind {
	if k := kindOf(name); k != kindNone {
		return k
	}
	for i, layered := range n.layered {
		if string(layered) == string(name) {
			return kinds + kind(i)
		}
	}
	return kindNone
}

// offer offers the fields of a block to layers.
func (n *names) offer(x *decode.Exchange, h *head, response bool) {
	if !n.layers.Keep(x) {
		return
	}
	if h.is(kindType) {
		n.layers.Header(x, response, []byte("content-type"), h.values[kindType])
	}
	for _, f := range h.layered {
		n.layers.Header(x, response, n.layered[f.kind-kinds], f.value)
	}
}
