package route

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
)

// trie learns the paths of one service, and which of their segments have too many values to be names. It is a function
// of the paths in their order.
type trie struct {
	root  branch
	nodes int
}

// branch is what follows a segment.
type branch struct {
	// children by segment; nil after there were too many, when any is what follows whatever the segment is.
	children map[string]*branch
	any      *branch
}

// maxNodes bounds the memory of a service: beyond it, segments that are not known yet are wildcards.
const maxNodes = 1000

// insert appends the route of the path and learns from it.
func (t *trie) insert(dst []byte, path, wildcard string, limit int) []byte {
	b := &t.root
	if path == "/" {
		return append(dst, '/')
	}
	for path != "" {
		var segment string
		segment, path, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
		next := b.any
		if next == nil {
			next = b.children[segment]
		}
		if next == nil && segment != wildcard && len(b.children) >= limit {
			// From here on the segment is a parameter. What was learnt below its values was learnt of names.
			t.nodes -= b.size() - 1
			b.children, b.any = nil, &branch{}
			t.nodes++
			next = b.any
		}
		if next == nil && t.nodes < maxNodes {
			if b.children == nil {
				b.children = map[string]*branch{}
			}
			next = &branch{}
			b.children[strings.Clone(segment)] = next
			t.nodes++
		}
		if next == nil { // no room
			dst = append(append(dst, '/'), wildcard...)
			if path != "" {
				dst = append(append(dst, '/'), wildcard...)
			}
			return dst
		}
		dst = append(dst, '/')
		if b.any != nil {
			dst = append(dst, wildcard...)
		} else {
			dst = append(dst, segment...)
		}
		b = next
	}
	return dst
}

// size is the number of nodes from b on.
func (b *branch) size() int {
	n := 1
	for _, child := range b.children {
		n += child.size()
	}
	if b.any != nil {
		n += b.any.size()
	}
	return n
}

// appendSnapshot appends the branch: 0 and its children by name, or 1 and what follows any segment.
func (b *branch) appendSnapshot(dst []byte) []byte {
	if b.any != nil {
		return b.any.appendSnapshot(append(dst, 1))
	}
	dst = binary.AppendUvarint(append(dst, 0), uint64(len(b.children)))
	for _, segment := range slices.Sorted(maps.Keys(b.children)) {
		dst = binary.AppendUvarint(dst, uint64(len(segment)))
		dst = append(dst, segment...)
		dst = b.children[segment].appendSnapshot(dst)
	}
	return dst
}

var errSnapshot = errors.New("damaged snapshot of routes")

// restore reads a branch and gives what follows it. depth is how many levels may follow.
func (t *trie) restore(b *branch, snapshot []byte, depth int) ([]byte, error) {
	t.nodes++
	if len(snapshot) == 0 || depth == 0 || t.nodes > maxNodes+1 {
		return nil, errSnapshot
	}
	kind := snapshot[0]
	snapshot = snapshot[1:]
	if kind == 1 {
		b.any = &branch{}
		return t.restore(b.any, snapshot, depth-1)
	}
	count, n := binary.Uvarint(snapshot)
	if kind != 0 || n <= 0 || count > maxNodes {
		return nil, errSnapshot
	}
	snapshot = snapshot[n:]
	if count > 0 {
		b.children = map[string]*branch{}
	}
	for range count {
		size, n := binary.Uvarint(snapshot)
		if n <= 0 || size > uint64(len(snapshot)-n) {
			return nil, errSnapshot
		}
		segment := string(snapshot[n : n+int(size)])
		if b.children[segment] != nil {
			return nil, errSnapshot
		}
		child := &branch{}
		b.children[segment] = child
		var err error
		if snapshot, err = t.restore(child, snapshot[n+int(size):], depth-1); err != nil {
			return nil, err
		}
	}
	return snapshot, nil
}
