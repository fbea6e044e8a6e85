// Package route finds the route of a path: its low-cardinality form, which may become an attribute of metrics and part
// of a span's name. Patterns come first; what they do not match is treated as routes.unmatched says.
//
// Files: pattern.go (patterns), classify.go (what a segment is by itself and by its place) with words.go (words of
// interfaces) and heuristic.go (what looks like an id), trie.go (what turns out in the course of requests), router.go
// (all together), snapshot.go.
package route
