package route

import (
	"encoding/binary"
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
	// found is a cache. It can be made again at any time.
	found map[string]found
	tries map[string]*trie
	key   []byte
	route []byte
	steps []step
}

// found is what is known of a path: the result, if that does not depend on what is learnt, or what its segments are.
type found struct {
	Result
	steps   []step
	settled bool
}

const (
	// maxFound bounds the cache; when it is full, it begins anew.
	maxFound = 8192
	// Longer paths are not worth their memory there.
	maxCachedPath = 512
	// maxTries bounds the services that learn paths of their own. Services beyond it share what is learnt.
	maxTries = 100
	// maxRoute bounds the length of a route that comes from a path.
	maxRoute = 256
	// maxDepth bounds the levels of a trie in a snapshot.
	maxDepth = maxSegments + 2
)

// NewRouter makes one that has learnt nothing.
func NewRouter() *Router {
	return &Router{found: map[string]found{}, tries: map[string]*trie{}}
}

// Request is what a route is found for.
type Request struct {
	// Service that answered the request, or made it if Outgoing.
	Service string
	// Path without query.
	Path     string
	Outgoing bool
	// Status of the response, 0 if there was none. What was refused (4xx) teaches nothing about paths, because anybody
	// may ask for anything.
	Status uint32
}

// Route gives the route of a request.
func (r *Router) Route(rules *Rules, q Request) Result {
	kind := byte(0)
	if q.Outgoing {
		kind = 1
	}
	r.key = append(binary.LittleEndian.AppendUint32(r.key[:0], rules.id), kind)
	learns := !q.Outgoing && rules.learns()
	if learns {
		r.key = append(append(r.key, q.Service...), 0)
	}
	r.key = append(r.key, q.Path...)
	known, cached := r.found[string(r.key)]
	if known.settled {
		return known.Result
	}
	if !cached {
		known = found{Result: rules.route(q.Path, q.Outgoing)}
		known.settled = !learns || known.Route != "" || !strings.HasPrefix(q.Path, "/")
		if !known.settled {
			r.steps = steps(r.steps[:0], q.Path)
			known.steps = r.steps
		}
	}
	if !known.settled {
		t, teach := r.trie(q.Service), q.Status < 400 || q.Status >= 500
		r.route = t.walk(r.route[:0], known.steps, rules.wildcard, rules.chosen(), teach)
		known.Route = cut(string(r.route))
		known.settled = teach && t.nodes < maxNodes && !slices.ContainsFunc(known.steps, func(s step) bool { return s.class > value })
	}
	if len(q.Path) <= maxCachedPath && (!cached || known.settled) {
		if len(r.found) >= maxFound {
			clear(r.found)
		}
		if known.steps = cloned(known.steps); known.settled {
			known.steps = nil
		}
		r.found[string(r.key)] = known
	}
	return known.Result
}

// cloned copies steps, whose segments may be in memory that is used again.
func cloned(all []step) []step {
	out := make([]step, len(all))
	for i, s := range all {
		out[i] = step{strings.Clone(s.segment), s.class}
	}
	return out
}

// trie gives what is known of the paths of a service.
func (r *Router) trie(service string) *trie {
	t := r.tries[service]
	if t != nil {
		return t
	}
	if len(r.tries) >= maxTries {
		service = ""
		if t = r.tries[service]; t != nil {
			return t
		}
	}
	t = &trie{}
	r.tries[strings.Clone(service)] = t
	return t
}

// learns reports whether paths that no pattern matches are learnt.
func (rules *Rules) learns() bool {
	return rules.settings.Unmatched == "heuristic" || rules.settings.Unmatched == "low-cardinality"
}

// chosen is how many values a doubtful segment may have; 0 for as many as usual.
func (rules *Rules) chosen() int {
	if rules.settings.Unmatched == "low-cardinality" {
		return rules.settings.MaxPathSegmentCardinality
	}
	return 0
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
