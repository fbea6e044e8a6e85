package route

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"millrace.dev/lib/config"
)

// Rules say what the route of a path is. They are immutable.
type Rules struct {
	// incoming are the patterns of the service and the general ones, outgoing those of requests that the service makes;
	// of paths that match the ignored ones no telemetry is made.
	incoming, outgoing, ignored *Matcher
	settings                    config.Routes
	wildcard                    string
	id                          uint32
}

// NewRules makes the rules of the services of a discovery rule, or, of a zero one, of all others. The id tells rules
// from each other.
func NewRules(id uint32, settings config.Routes, service config.ServiceRoutes) *Rules {
	r := &Rules{
		id: id, settings: settings, wildcard: settings.WildcardChar,
		// Of two patterns that are the same but for names of parameters, the first is the one that is found.
		incoming: NewMatcher(service.Incoming, settings.Patterns),
		outgoing: NewMatcher(service.Outgoing),
		ignored:  NewMatcher(settings.IgnoredPatterns),
	}
	if r.wildcard == "" {
		r.wildcard = "*"
	}
	return r
}

// Result is the route of a path, and what is not to be made of it.
type Result struct {
	Route            string
	NoSpan, NoMetric bool
}

// Router finds routes for the exchanges of one partition. What it learns about paths is part of the partition's state.
type Router struct {
	// found is a cache, of results that do not depend on what was learnt.
	found map[string]Result
	tries map[string]*trie
	key   []byte
	path  []byte
}

const (
	// maxFound bounds the cache; when it is full, it begins anew.
	maxFound = 8192
	// Longer paths are not worth their memory there.
	maxCachedPath = 512
	// maxTries bounds the services of which paths are learnt. Those beyond it share what is learnt.
	maxTries = 100
	// maxRoute bounds the length of a route that comes from a path.
	maxRoute = 256
	// maxDepth bounds the levels of a trie in a snapshot.
	maxDepth = maxSegments + 2
)

// NewRouter makes one that has learnt nothing.
func NewRouter() *Router {
	return &Router{found: map[string]Result{}, tries: map[string]*trie{}}
}

// Route gives the route of a path, without query, of a request that the service answered, or made if it is outgoing.
func (r *Router) Route(rules *Rules, service, path string, outgoing bool) Result {
	kind := byte(0)
	if outgoing {
		kind = 1
	}
	r.key = append(binary.LittleEndian.AppendUint32(r.key[:0], rules.id), kind)
	r.key = append(r.key, path...)
	result, found := r.found[string(r.key)]
	if !found {
		result = rules.route(path, outgoing)
		if len(path) <= maxCachedPath {
			if len(r.found) >= maxFound {
				clear(r.found)
			}
			r.found[string(r.key)] = result
		}
	}
	if result.Route == "" && !outgoing && rules.settings.Unmatched == "low-cardinality" && strings.HasPrefix(path, "/") {
		result.Route = r.learn(rules, service, path)
	}
	return result
}

// route is what follows from the rules and the path alone.
func (rules *Rules) route(path string, outgoing bool) (result Result) {
	// "*" of OPTIONS and the authority of CONNECT are no paths.
	if !strings.HasPrefix(path, "/") {
		return result
	}
	if rules.ignored.Find(path) != "" {
		result.NoSpan = rules.settings.IgnoreMode != "metrics"
		result.NoMetric = rules.settings.IgnoreMode != "traces"
	}
	if outgoing {
		result.Route = rules.outgoing.Find(path)
		return result
	}
	if result.Route = rules.incoming.Find(path); result.Route != "" {
		return result
	}
	switch rules.settings.Unmatched {
	case "path":
		result.Route = strings.Clone(cut(path))
	case "wildcard":
		result.Route = "/**"
	case "heuristic":
		result.Route = cut(string(heuristic(nil, path, rules.wildcard)))
	}
	return result
}

// cut bounds the length of a route at the end of a character.
func cut(route string) string {
	if len(route) <= maxRoute {
		return route
	}
	return strings.ToValidUTF8(route[:maxRoute], "")
}

// learn gives the route by what is known of the service's paths.
func (r *Router) learn(rules *Rules, service, path string) string {
	t := r.tries[service]
	if t == nil {
		if len(r.tries) >= maxTries {
			service = ""
			t = r.tries[service]
		}
		if t == nil {
			t = &trie{}
			r.tries[strings.Clone(service)] = t
		}
	}
	r.path = heuristic(r.path[:0], path, rules.wildcard)
	r.key = t.insert(r.key[:0], string(r.path), rules.wildcard, rules.settings.MaxPathSegmentCardinality)
	return cut(string(r.key))
}

// AppendSnapshot appends what was learnt.
func (r *Router) AppendSnapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.tries)))
	for _, service := range slices.Sorted(maps.Keys(r.tries)) {
		dst = binary.AppendUvarint(dst, uint64(len(service)))
		dst = append(dst, service...)
		dst = r.tries[service].root.appendSnapshot(dst)
	}
	return dst
}

// Restore replaces what was learnt by that of a snapshot, and gives what follows it.
func (r *Router) Restore(snapshot []byte) (rest []byte, err error) {
	count, n := binary.Uvarint(snapshot)
	if n <= 0 || count > maxTries+1 {
		return nil, errSnapshot
	}
	snapshot = snapshot[n:]
	tries := map[string]*trie{}
	for range count {
		size, n := binary.Uvarint(snapshot)
		if n <= 0 || size > uint64(len(snapshot)-n) {
			return nil, errSnapshot
		}
		service := string(snapshot[n : n+int(size)])
		t := &trie{}
		if snapshot, err = t.restore(&t.root, snapshot[n+int(size):], maxDepth); err != nil {
			return nil, err
		}
		t.nodes-- // The root is not counted.
		tries[service] = t
	}
	r.tries = tries
	return snapshot, nil
}
