package route

import "strings"

// Matcher finds the pattern that a path matches. It is immutable.
type Matcher struct{ root node }

// node is a position in the tree of patterns.
type node struct {
	literal map[string]*node
	// any is for a segment of any value.
	any *node
	// pattern that ends here, and the one that ends here with "*", for any segments.
	pattern, rest string
}

// NewMatcher takes patterns that are absolute paths, in which ":name", "{name}" and "*" stand for one segment, and a
// "*" at the end for one or more.
func NewMatcher(patterns ...[]string) *Matcher {
	m := &Matcher{}
	for _, list := range patterns {
		for _, pattern := range list {
			m.add(pattern)
		}
	}
	return m
}

func (m *Matcher) add(pattern string) {
	n := &m.root
	path := strings.Trim(pattern, "/")
	for path != "" {
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		switch {
		case segment == "":
		case strings.Trim(segment, "*") == "" && path == "":
			if n.rest == "" {
				n.rest = pattern
			}
			return
		case segment == "*", segment[0] == ':', segment[0] == '{':
			if n.any == nil {
				n.any = &node{}
			}
			n = n.any
		default:
			if n.literal == nil {
				n.literal = map[string]*node{}
			}
			if n.literal[segment] == nil {
				n.literal[segment] = &node{}
			}
			n = n.literal[segment]
		}
	}
	if n.pattern == "" {
		n.pattern = pattern
	}
}

// Empty reports whether there are no patterns.
func (m *Matcher) Empty() bool {
	n := &m.root
	return n.literal == nil && n.any == nil && n.pattern == "" && n.rest == ""
}

// maxSteps bounds the work on a path: patterns in which many segments may have any value could else be tried in many
// combinations.
const maxSteps = 1000

// Find gives the pattern that the path matches; empty if none does. Of several, the one that is literal for longest
// wins. Slashes at the end and in a row do not matter.
func (m *Matcher) Find(path string) string {
	steps := maxSteps
	return m.root.find(path, &steps)
}

func (n *node) find(path string, steps *int) string {
	path = strings.TrimLeft(path, "/")
	if *steps--; *steps < 0 {
		return ""
	}
	if path == "" {
		return n.pattern
	}
	segment, rest, _ := strings.Cut(path, "/")
	if next := n.literal[segment]; next != nil {
		if found := next.find(rest, steps); found != "" {
			return found
		}
	}
	if n.any != nil {
		if found := n.any.find(rest, steps); found != "" {
			return found
		}
	}
	return n.rest
}
