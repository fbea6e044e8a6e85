package route

import (
	"maps"
	"slices"
	"strings"
)

// trie learns the paths of one service: which of the doubtful segments are fixed, and which are values, because there
// are many of their class after the same beginning. It is a function of the paths in their order.
type trie struct {
	root  branch
	nodes int
	// refused are the routes of requests that were refused and whose paths are not known, as far as the segments tell
	// them by themselves: the parts of an interface before any of them has answered.
	refused map[string]struct{}
}

// branch is what follows a beginning of a path.
type branch struct {
	class class
	hits  uint32
	// children that are literal in routes, and any, which follows every value.
	children map[string]*branch
	any      *branch
	// tried is how many children of a class were made literal before it was sure what they are, and many has a bit for
	// each class that has too many: those that are not children yet are values.
	tried [classes]uint8
	many  uint16
	// rising counts values of classes with many that may be fixed after all, because they come again and again.
	rising map[string]uint16
	raised uint8
}

const (
	// maxNodes bounds the memory of a service: beyond it, segments that are not known yet are wildcards.
	maxNodes = 1000
	// usual is how many segments of a doubtful class may follow the same beginning before they are values.
	usual = 8
	// Of names that are made as those of procedures are, or of known words, an interface may have more.
	manyProcedures = 32
	// often is how many hits a segment has that stays literal when its class turns out to be of values.
	often = 20
	// A value is fixed after all when it came so often while maxRising values are watched, which needs one in as many
	// requests; and there may be maxRaised of them.
	maxRising, raise, maxRaised = 32, 64, 24
)

// limit is how many segments of a class may be tried after the same beginning. chosen is that of the configuration for
// plain words, 0 for the usual one.
func (c class) limit(chosen int) int {
	if chosen == 0 {
		chosen = usual
	}
	switch c {
	case identifier, known:
		return max(chosen, manyProcedures)
	case page:
		return max(1, chosen*3/usual)
	default:
		return chosen
	}
}

// walk appends the route of a path. Unless teach is set, nothing is learnt of paths, and from the first segment that is
// not known on the route is a wildcard.
func (t *trie) walk(dst []byte, path []step, wildcard string, chosen int, teach bool) []byte {
	if len(path) == 0 {
		return append(dst, '/')
	}
	b, start := &t.root, len(dst)
	for i, s := range path {
		next, literal := b.find(s)
		if next == nil && teach {
			next, literal = t.learn(b, s, chosen)
		}
		if next == nil && !teach {
			if refused, ok := t.refuse(nil, path, wildcard); ok {
				return append(dst[:start], refused...)
			}
		}
		if next == nil {
			dst = append(append(dst, '/'), wildcard...)
			if i+1 < len(path) && teach {
				dst = append(append(dst, '/'), wildcard...)
			}
			return dst
		}
		dst = append(dst, '/')
		if literal {
			dst = append(dst, s.segment...)
		} else {
			dst = append(dst, wildcard...)
		}
		if teach && s.class > value && next.hits < 1<<31 {
			next.hits++
			if !literal {
				t.watch(b, s)
			}
		}
		b = next
	}
	return dst
}

// refuse appends the route of a path that is not known, if all segments tell by themselves what they are. There are
// only a few such routes, because anybody may ask for anything.
func (t *trie) refuse(dst []byte, path []step, wildcard string) ([]byte, bool) {
	start := len(dst)
	for _, s := range path {
		switch s.class {
		case fixed:
			dst = append(append(dst, '/'), s.segment...)
		case value:
			dst = append(append(dst, '/'), wildcard...)
		default:
			return dst[:start], false
		}
	}
	route := dst[start:]
	if _, found := t.refused[string(route)]; found {
		return dst, true
	}
	if len(t.refused) >= usual || len(route) > maxRoute {
		return dst[:start], false
	}
	if t.refused == nil {
		t.refused = map[string]struct{}{}
	}
	t.refused[string(route)] = struct{}{}
	return dst, true
}

// find gives what is known to follow by a segment, and whether it is literal in the route.
func (b *branch) find(s step) (next *branch, literal bool) {
	if s.class != value {
		if next = b.children[s.segment]; next != nil {
			return next, true
		}
	}
	if s.class == value || b.many&(1<<s.class) != 0 {
		return b.any, false
	}
	return nil, false
}

// learn makes what follows by a segment that is not known; nil where there is no room.
func (t *trie) learn(b *branch, s step, chosen int) (next *branch, literal bool) {
	if t.nodes >= maxNodes {
		return nil, false
	}
	switch {
	case s.class == value || b.many&(1<<s.class) != 0:
	case s.class == fixed:
		return t.child(b, s), true
	case int(b.tried[s.class]) < min(s.class.limit(chosen), 255):
		b.tried[s.class]++
		return t.child(b, s), true
	default:
		t.fold(b, s.class, chosen)
	}
	if b.any == nil {
		b.any = &branch{class: value}
		t.nodes++
	}
	return b.any, false
}

func (t *trie) child(b *branch, s step) *branch {
	if b.children == nil {
		b.children = map[string]*branch{}
	}
	next := &branch{class: s.class}
	b.children[strings.Clone(s.segment)] = next
	t.nodes++
	return next
}

// fold notes that the segments of a class are values. Those that came often stay; what is known of what follows the
// others is what follows any of them.
func (t *trie) fold(b *branch, c class, chosen int) {
	b.many |= 1 << c
	for _, segment := range slices.Sorted(maps.Keys(b.children)) {
		child := b.children[segment]
		if child.class != c || child.hits >= often {
			continue
		}
		delete(b.children, segment)
		t.nodes -= child.size()
		if b.any == nil {
			b.any = &branch{class: value}
			t.nodes++
		}
		t.merge(b.any, child, chosen)
	}
}

// merge adds what follows a segment to what follows any.
func (t *trie) merge(into, from *branch, chosen int) {
	into.many |= from.many
	if from.any != nil {
		if into.any == nil {
			into.any = &branch{class: value}
			t.nodes++
		}
		t.merge(into.any, from.any, chosen)
	}
	for _, segment := range slices.Sorted(maps.Keys(from.children)) {
		child := from.children[segment]
		same := into.children[segment]
		switch {
		case same != nil:
		case child.class == fixed && t.nodes < maxNodes:
			same = t.child(into, step{segment, fixed})
		case into.many&(1<<child.class) != 0:
			continue
		case t.nodes < maxNodes && int(into.tried[child.class]) < min(child.class.limit(chosen), 255):
			into.tried[child.class]++
			same = t.child(into, step{segment, child.class})
		default:
			continue
		}
		same.hits += child.hits
		t.merge(same, child, chosen)
	}
}

// watch counts a value of a class with many: one that keeps coming is fixed after all (the counting is that of J. Misra
// and D. Gries, 1982).
func (t *trie) watch(b *branch, s step) {
	if b.raised >= maxRaised || s.class == page {
		return
	}
	n, found := b.rising[s.segment]
	switch {
	case found && n+1 >= raise:
		delete(b.rising, s.segment)
		t.nodes--
		b.raised++
		t.child(b, s).hits = raise
	case found:
		b.rising[s.segment] = n + 1
	case len(b.rising) < maxRising && t.nodes < maxNodes:
		if b.rising == nil {
			b.rising = map[string]uint16{}
		}
		b.rising[strings.Clone(s.segment)] = 1
		t.nodes++
	default:
		for segment, n := range b.rising {
			if n <= 1 {
				delete(b.rising, segment)
				t.nodes--
			} else {
				b.rising[segment] = n - 1
			}
		}
	}
}

// size is the number of nodes from b on.
func (b *branch) size() int {
	n := 1 + len(b.rising)
	for _, child := range b.children {
		n += child.size()
	}
	if b.any != nil {
		n += b.any.size()
	}
	return n
}
