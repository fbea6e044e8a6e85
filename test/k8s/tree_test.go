package k8s

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace.dev/test/internal/backend"
	"millrace.dev/test/internal/spans"
)

// node is a span that must come, with those that it causes.
type node struct {
	workload string // whose span it is
	kind     int
	match    func(*spans.Span) bool
	children []node
	// apart: nothing tells the cause, so it may also begin a trace of its own. Calls of grpc-go are written by a
	// goroutine of the connection, and are below the request only where one call is open.
	apart bool
}

func path(want string) func(*spans.Span) bool {
	return func(s *spans.Span) bool { got, _ := s.Target(); return got == want }
}

func attribute(key, want string) func(*spans.Span) bool {
	return func(s *spans.Span) bool { return s.Text(key) == want }
}

// exchange is both ends of a call.
func exchange(client, server string, match func(*spans.Span) bool, children ...node) node {
	return node{
		workload: client, kind: spans.Client, match: match,
		children: []node{{workload: server, kind: spans.Server, match: match, children: children}},
	}
}

// call is what the API asks the stock.
func call() node {
	c := exchange("orders-api", "stock", attribute("rpc.method", "millrace.edge.Stock/Take"))
	c.apart = true
	return c
}

// shop is what each request of a client to the front end causes, see testdata/demo.yaml.
func shop(client string) node {
	return exchange(client, "frontend", path("/shop"),
		exchange("frontend", "orders-api", path("/orders"),
			call(),
			exchange("orders-api", "store", attribute("db.operation.name", "SET")),
			exchange("orders-api", "store", attribute("db.operation.name", "GET")),
		))
}

// spansWithID is how many spans of a tree name the request's id in their target.
const spansWithID = 4

// identified gives the value of id in a query.
func identified(query string) string {
	for part := range strings.SplitSeq(query, "&") {
		if id, found := strings.CutPrefix(part, "id="); found {
			return id
		}
	}
	return ""
}

// trees checks that each request of a client, with ids from prefix+0 to prefix+(requests-1), is exactly one trace of
// the tree's shape: nothing is missing, nothing is too much, each span came with one set of facts. It gives the spans.
func trees(t *testing.T, all map[string]backend.Received, client, prefix string, requests int) []*spans.Span {
	t.Helper()
	byParent, byTrace := map[string][]*spans.Span{}, map[string]int{}
	roots := map[string][]*spans.Span{}
	for _, s := range all {
		byParent[s.ParentID] = append(byParent[s.ParentID], s.Span)
		byTrace[s.TraceID]++
		if s.Differs {
			t.Errorf("came with different facts: %v", s.Span)
		}
		_, query := s.Target()
		if id := identified(query); s.ParentID == "" && strings.HasPrefix(id, prefix) {
			roots[id] = append(roots[id], s.Span)
		}
	}
	var found []*spans.Span
	wrong := 0
	for i := range requests {
		id := fmt.Sprintf("%s%d", prefix, i)
		var why string
		switch of := roots[id]; {
		case len(of) != 1:
			why = fmt.Sprintf("%d roots", len(of))
			for _, s := range of {
				why += "\n  " + describe(s)
			}
		default:
			before := len(found)
			why = compare(byParent, of[0], shop(client), &found)
			if n := byTrace[of[0].TraceID]; why == "" && n != len(found)-before {
				why = fmt.Sprintf("%d spans in its trace, %d of them in the tree", n, len(found)-before)
			}
			if why != "" {
				why += drawn(byParent, of[0], "\n  ")
			}
		}
		if why != "" {
			if wrong++; wrong <= 5 {
				t.Errorf("request %s: %s", id, why)
			}
		}
		delete(roots, id)
	}
	if wrong > 5 {
		t.Errorf("%d of %d requests are wrong", wrong, requests)
	}
	for id := range roots {
		t.Errorf("a trace of request %s, which nobody made", id)
	}
	return found
}

// calls says what is wrong with the calls that may be apart: there must be one for each request to the API so far, in
// its tree or in a trace of its own.
func calls(all map[string]backend.Received) string {
	byParent := map[string][]*spans.Span{}
	for _, s := range all {
		byParent[s.ParentID] = append(byParent[s.ParentID], s.Span)
	}
	want, orders, seen := call(), 0, 0
	var found []*spans.Span
	for _, s := range all {
		at, _ := s.Target()
		switch {
		case workload(s.Span) == "orders-api" && s.Kind == spans.Server && at == "/orders":
			orders++
		case workload(s.Span) == want.workload && s.Kind == want.kind && want.match(s.Span):
			seen++
			if why := compare(byParent, s.Span, want, &found); why != "" {
				return why
			}
		}
	}
	if seen != orders {
		return fmt.Sprintf("%d calls to the stock, want %d", seen, orders)
	}
	return ""
}

// compare says what of a span and what it caused is not as wanted.
func compare(byParent map[string][]*spans.Span, s *spans.Span, want node, found *[]*spans.Span) string {
	if s.Kind != want.kind || workload(s) != want.workload || !want.match(s) {
		return fmt.Sprintf("want kind %d of %s, got %s", want.kind, want.workload, describe(s))
	}
	*found = append(*found, s)
	children := slices.Clone(byParent[s.SpanID])
	for _, w := range want.children {
		at := slices.IndexFunc(children, func(c *spans.Span) bool { return c.Kind == w.kind && workload(c) == w.workload && w.match(c) })
		if at < 0 && w.apart {
			continue
		}
		if at < 0 {
			return fmt.Sprintf("%s has no child of kind %d of %s", describe(s), w.kind, w.workload)
		}
		if why := compare(byParent, children[at], w, found); why != "" {
			return why
		}
		children = slices.Delete(children, at, at+1)
	}
	if len(children) > 0 {
		return fmt.Sprintf("%s has a child too much: %s", describe(s), describe(children[0]))
	}
	return ""
}

// workload is whose span it is: its service.
func workload(s *spans.Span) string {
	name, _ := s.Resource["service.name"].(string)
	return name
}

func describe(s *spans.Span) string {
	return fmt.Sprintf("%s of %s in %v on %v", s, workload(s), s.Resource["k8s.pod.name"], s.Resource["k8s.node.name"])
}

func drawn(byParent map[string][]*spans.Span, s *spans.Span, indent string) string {
	text := indent + describe(s)
	for _, c := range byParent[s.SpanID] {
		text += drawn(byParent, c, indent+"  ")
	}
	return text
}
