// Package route finds the route of a path: its low-cardinality form, which may become an attribute of metrics and part
// of a span's name. Patterns come first; what they do not match is treated as routes.unmatched says.
//
// Files: pattern.go (patterns), heuristic.go (segments that look like ids), trie.go (segments with many values),
// router.go (all together).
package route
