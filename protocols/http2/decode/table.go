package decode

import (
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/http2/hpack"
)

// kind is what a field of a header block is to the parser.
type kind uint8

const (
	kindNone kind = iota
	kindMethod
	kindScheme
	kindAuthority
	kindHost
	kindPath
	kindStatus
	kindProtocol
	kindType
	kindAgent
	kindParent
	kindState
	kindCode    // grpc-status
	kindTimeout // grpc-timeout
	kinds       // from here on: names that layers look at
)

// kindOf gives the kind of a name.
func kindOf(name []byte) kind {
	switch string(name) {
	case ":method":
		return kindMethod
	case ":scheme":
		return kindScheme
	case ":authority":
		return kindAuthority
	case "host":
		return kindHost
	case ":path":
		return kindPath
	case ":status":
		return kindStatus
	case ":protocol":
		return kindProtocol
	case "content-type":
		return kindType
	case "user-agent":
		return kindAgent
	case "traceparent":
		return kindParent
	case "tracestate":
		return kindState
	case "grpc-status":
		return kindCode
	case "grpc-timeout":
		return kindTimeout
	}
	return kindNone
}

// Sizes of the dynamic table (RFC 7541, section 4), in bytes.
const (
	entryOverhead = 32
	defaultSize   = 4 << 10
	// joinedSize is what a table may have whose size was not seen.
	joinedSize = 16 << 10
	maxSize    = 64 << 10
)

// entry is a field of the dynamic table: its kind, and its value if the parser needs that.
type entry struct {
	kind         kind
	at, length   uint32 // of the value in table.text
	name, stated uint32 // lengths of the name and of the value
}

// table is the dynamic table of one direction. Its entries are the newest of the real one, which may have more: those
// before a gap are forgotten. It may keep what the real one has evicted, because nothing refers to that.
type table struct {
	entries []entry // the oldest first; entries[head:] are there
	head    int
	text    []byte
	size    uint32 // as section 4.1 counts
	most    uint32
}

// add adds an entry. value is copied.
func (t *table) add(k kind, name int, value []byte) {
	e := entry{kind: k, name: uint32(name), stated: uint32(len(value))}
	if k != kindNone {
		e.at, e.length = uint32(len(t.text)), uint32(len(value))
		t.text = append(t.text, value...)
	}
	t.entries = append(t.entries, e)
	t.size += e.size()
	t.evict()
}

func (e *entry) size() uint32 { return e.name + e.stated + entryOverhead }

func (t *table) evict() {
	for t.size > t.most && t.head < len(t.entries) {
		t.size -= t.entries[t.head].size()
		t.head++
	}
}

// settle moves what is there to the front. Values that [table.at] gave are not valid any more.
func (t *table) settle() {
	if t.head < 64 || t.head*2 < len(t.entries) {
		return
	}
	t.entries = t.entries[:copy(t.entries, t.entries[t.head:])]
	t.head = 0
	from := uint32(len(t.text))
	for i := range t.entries {
		if t.entries[i].kind != kindNone {
			from = t.entries[i].at
			break
		}
	}
	t.text = t.text[:copy(t.text, t.text[from:])]
	for i := range t.entries {
		if e := &t.entries[i]; e.kind != kindNone {
			e.at -= from
		}
	}
}

// at gives an entry by its index, from 0 for the newest; nil if it is not known.
func (t *table) at(index uint64) *entry {
	if index >= uint64(len(t.entries)-t.head) {
		return nil
	}
	return &t.entries[len(t.entries)-1-int(index)]
}

func (t *table) value(e *entry) []byte { return t.text[e.at : e.at+e.length] }

// resize takes a new size of the table.
func (t *table) resize(size uint64) {
	if size > uint64(t.most) {
		t.most = uint32(min(size, maxSize))
	}
}

// lose forgets all entries: which others there are is not known.
func (t *table) lose() {
	t.entries, t.text, t.head, t.size = t.entries[:0], t.text[:0], 0, 0
}

func (t *table) held() int { return len(t.text) + 16*(len(t.entries)-t.head) }

func (t *table) appendState(w *snapshot.Writer, n *names) {
	w.Uint(uint64(t.most))
	w.Uint(uint64(len(t.entries) - t.head))
	for i := t.head; i < len(t.entries); i++ {
		e := &t.entries[i]
		w.Uint(uint64(min(e.kind, kinds)))
		if e.kind >= kinds { // which number the name has is of this process only
			w.Bytes(n.layered[e.kind-kinds])
		}
		w.Uint(uint64(e.name))
		w.Uint(uint64(e.stated))
		if e.kind != kindNone {
			w.Bytes(t.value(e))
		}
	}
}

func (t *table) restoreState(r *snapshot.Reader, n *names) {
	t.most = uint32(min(r.Uint(), maxSize))
	for range r.Items() {
		k := kind(min(r.Uint(), 0xff))
		named := k == kinds
		if named {
			k = n.kindOf(r.Bytes())
		}
		name, stated := r.Uint(), r.Uint()
		var value []byte
		if named || k != kindNone {
			value = r.Bytes()
		}
		if !named && k >= kinds || name > hpack.MaxInteger || stated > hpack.MaxInteger || (named || k != kindNone) && uint64(len(value)) != stated {
			r.Fail()
			return
		}
		t.add(k, int(name), value)
		t.entries[len(t.entries)-1].stated = uint32(stated)
		if k == kindNone {
			t.size += uint32(stated) - uint32(len(value))
		}
	}
	t.evict()
}
