package route

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

var errSnapshot = errors.New("damaged snapshot of routes")

// AppendSnapshot appends what was learnt.
func (r *Router) AppendSnapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.tries)))
	for _, service := range slices.Sorted(maps.Keys(r.tries)) {
		t := r.tries[service]
		dst = binary.AppendUvarint(appendSized(dst, service), uint64(len(t.refused)))
		for _, route := range slices.Sorted(maps.Keys(t.refused)) {
			dst = appendSized(dst, route)
		}
		dst = t.root.appendSnapshot(dst)
	}
	return dst
}

func appendSized(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendSnapshot appends the branch: its class, hits, counts, the values that are watched, the children by name, and
// what follows any value.
func (b *branch) appendSnapshot(dst []byte) []byte {
	dst = append(dst, byte(b.class))
	dst = binary.AppendUvarint(dst, uint64(b.hits))
	dst = append(dst, b.tried[plain:]...)
	dst = append(binary.LittleEndian.AppendUint16(dst, b.many), b.raised)
	dst = binary.AppendUvarint(dst, uint64(len(b.rising)))
	for _, segment := range slices.Sorted(maps.Keys(b.rising)) {
		dst = binary.AppendUvarint(appendSized(dst, segment), uint64(b.rising[segment]))
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.children)))
	for _, segment := range slices.Sorted(maps.Keys(b.children)) {
		dst = b.children[segment].appendSnapshot(appendSized(dst, segment))
	}
	if b.any == nil {
		return append(dst, 0)
	}
	return b.any.appendSnapshot(append(dst, 1))
}

// Restore replaces what was learnt by that of a snapshot, and gives what follows it.
func (r *Router) Restore(snapshot []byte) (rest []byte, err error) {
	in := reader{b: snapshot}
	count := in.uint(maxTries + 1)
	tries := map[string]*trie{}
	for range count {
		service := in.sized()
		t := &trie{}
		if n := in.uint(usual); n > 0 {
			t.refused = map[string]struct{}{}
			for range n {
				t.refused[in.sized()] = struct{}{}
			}
		}
		t.restore(&in, &t.root, maxDepth)
		t.nodes-- // The root is not counted.
		tries[service] = t
	}
	if in.failed || uint64(len(tries)) != count {
		return nil, errSnapshot
	}
	r.tries = tries
	clear(r.found)
	return in.b, nil
}

// restore reads a branch. depth is how many levels may follow.
func (t *trie) restore(in *reader, b *branch, depth int) {
	if t.nodes++; depth == 0 || t.nodes > maxNodes+1 {
		in.failed = true
	}
	if in.failed {
		return
	}
	if b.class = class(in.byte()); b.class >= classes {
		in.failed = true
	}
	b.hits = uint32(in.uint(1 << 31))
	for c := plain; c < classes; c++ {
		b.tried[c] = in.byte()
	}
	b.many = uint16(in.byte()) | uint16(in.byte())<<8
	b.raised = in.byte()
	if n := in.uint(maxRising); n > 0 {
		b.rising = map[string]uint16{}
		for range n {
			segment := in.sized()
			b.rising[segment] = uint16(in.uint(raise))
		}
		t.nodes += len(b.rising)
	}
	if n := in.uint(maxNodes); n > 0 {
		b.children = map[string]*branch{}
		for range n {
			segment := in.sized()
			child := &branch{}
			if in.failed || b.children[segment] != nil {
				in.failed = true
				return
			}
			b.children[segment] = child
			t.restore(in, child, depth-1)
		}
	}
	if in.byte() == 1 {
		b.any = &branch{}
		t.restore(in, b.any, depth-1)
	}
}

// SkipOld gives what follows a snapshot of the first format, in which low-cardinality mode alone had learnt: it is
// learnt anew.
func SkipOld(snapshot []byte) (rest []byte, err error) {
	in := reader{b: snapshot}
	for range in.uint(maxTries + 1) {
		in.sized()
		in.skipOld(maxDepth)
	}
	if in.failed {
		return nil, errSnapshot
	}
	return in.b, nil
}

// skipOld skips a branch: 0 and its children by name, or 1 and what follows any segment.
func (in *reader) skipOld(depth int) {
	kind := in.byte()
	if in.failed = in.failed || depth == 0 || kind > 1; in.failed {
		return
	}
	if kind == 1 {
		in.skipOld(depth - 1)
		return
	}
	for range in.uint(maxNodes) {
		in.sized()
		if in.skipOld(depth - 1); in.failed {
			return
		}
	}
}

// reader takes a snapshot apart. After the first mistake it gives zeros.
type reader struct {
	b      []byte
	failed bool
}

// uint reads a number that is at most a limit.
func (in *reader) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(in.b)
	if in.failed || n <= 0 || v > limit {
		in.failed = true
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *reader) byte() byte {
	if in.failed || len(in.b) == 0 {
		in.failed = true
		return 0
	}
	v := in.b[0]
	in.b = in.b[1:]
	return v
}

func (in *reader) sized() string {
	n := in.uint(uint64(len(in.b)))
	if in.failed || n > uint64(len(in.b)) {
		in.failed = true
		return ""
	}
	s := string(in.b[:n])
	in.b = in.b[n:]
	return s
}
