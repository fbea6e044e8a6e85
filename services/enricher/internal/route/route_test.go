package route

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"millrace.dev/lib/config"
)

func TestMatcher(t *testing.T) {
	t.Parallel()
	m := NewMatcher([]string{"/user/:id", "/user/me", "/basic/{name}/x", "/static/*", "/a/*/c", "/", "/user/{id}/orders/", "/any/:x/b"})
	for path, want := range map[string]string{
		"/user/17": "/user/:id", "/user/me": "/user/me", "/user/17/": "/user/:id", "/user": "", "/user/17/18": "",
		"/basic/a/x": "/basic/{name}/x", "/basic/a": "", "/static": "", "/static/a": "/static/*", "/static/a/b/c": "/static/*",
		"/a/b/c": "/a/*/c", "/a/b/d": "", "/": "/", "": "/", "//user//17": "/user/:id", "/user/me/orders": "/user/{id}/orders/",
		"/any/1/b": "/any/:x/b", "/other": "",
	} {
		if got := m.Find(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	if !NewMatcher(nil).Empty() || m.Empty() {
		t.Error("Empty")
	}
	// Patterns that could be tried in very many combinations.
	var patterns []string
	for i := range 18 {
		patterns = append(patterns, strings.Repeat("/a", i)+"/:x"+strings.Repeat("/a", 17-i)+"/end")
		patterns = append(patterns, strings.Repeat("/:x", i)+strings.Repeat("/a", 18-i)+"/:y/end")
	}
	NewMatcher(patterns).Find(strings.Repeat("/a", 19) + "/no")
}

func TestVariable(t *testing.T) {
	t.Parallel()
	for _, segment := range []string{
		"17", "0", "2024-05-01", "550e8400-e29b-41d4-a716-446655440000", "550E8400E29B41D4A716446655440000", "deadbeef01", "1234567",
		"order-12345", "eyJhbGciOiJIUzI1NiJ9", "dGhpcyBpcyBhIHRlc3Q=", "aGVsbG8gd29ybGQ", "user@example.org", "a%20b", "x1y2z3w4", "QWxhZGRpbjpvcGVu",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV", "507f1f77bcf86cd799439011", "aXbQzRtYpL", "bcdfghjk", "this-is-a-very-long-title-of-an-article", "cjld2cjxh0000qzrmn831i7rn",
	} {
		if !variable(segment) {
			t.Errorf("%q is taken for a name", segment)
		}
	}
	for _, segment := range []string{
		"users", "api", "v1", "v2beta1", "oauth2", "index.html", "healthz", "getUserById", "my-orders", "search_results", "s3", "feed", "facade", "cafe",
		"lengths", "well-known", ".well-known", "openid-configuration", "metrics", "grpc.health.v1.Health", "rhythm", "main.js", "README", "HTTP",
		"IPv4", "k8s", "swagger-ui", "web2py", "listServiceAccounts", "app.min.js",
	} {
		if variable(segment) {
			t.Errorf("%q is taken for a value", segment)
		}
	}
}

func rules(unmatched string, change func(*config.Routes)) *Rules {
	settings := config.Default().Routes
	settings.Unmatched = unmatched
	if change != nil {
		change(&settings)
	}
	return NewRules(1, settings, config.ServiceRoutes{})
}

func TestRoute(t *testing.T) {
	t.Parallel()
	long := "/a/b/c/d/e/f/g/h/i/j"
	for _, test := range []struct{ unmatched, path, want string }{
		{"unset", "/a/1", ""},
		{"path", "/a/1", "/a/1"},
		{"wildcard", "/a/1", "/**"},
		{"heuristic", "/a/1", "/a/*"},
		{"heuristic", "/", "/"},
		{"heuristic", "/a//1/", "/a/*"},
		{"heuristic", long, "/a/b/c/d/e/f/g/h/*"},
		{"low-cardinality", "/a/1", "/a/*"},
		{"low-cardinality", "/", "/"},
		{"low-cardinality", long, "/a/b/c/d/e/f/g/h/*"},
		{"path", "*", ""},
		{"heuristic", "*", ""},
		{"heuristic", "db.example:5432", ""},
		{"wildcard", "", ""},
		{"path", "/" + strings.Repeat("ä", 300), "/" + strings.Repeat("ä", 127)},
	} {
		r := NewRouter()
		for range 2 {
			if got := r.Route(rules(test.unmatched, nil), Request{Service: "s", Path: test.path}); got != (Result{Route: test.want}) {
				t.Errorf("%s of %.40q: %+v, want %q", test.unmatched, test.path, got, test.want)
			}
		}
	}
	r := NewRouter()
	if got := r.Route(rules("heuristic", func(c *config.Routes) { c.WildcardChar = "#" }), Request{Service: "s", Path: "/a/1"}).Route; got != "/a/#" {
		t.Errorf("wildcard: %q", got)
	}
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]Result{
		"all": {Route: "/health/live", NoSpan: true, NoMetric: true}, "metrics": {Route: "/health/live", NoMetric: true},
		"traces": {Route: "/health/live", NoSpan: true},
	} {
		r, rules := NewRouter(), rules("heuristic", func(c *config.Routes) {
			c.IgnoredPatterns, c.IgnoreMode = []string{"/health/*"}, mode
		})
		if got := r.Route(rules, Request{Service: "s", Path: "/health/live"}); got != want {
			t.Errorf("%s: %+v", mode, got)
		}
		want.Route = ""
		if got := r.Route(rules, Request{Service: "s", Path: "/health/live", Outgoing: true}); got != want {
			t.Errorf("%s, outgoing: %+v", mode, got)
		}
		if got := r.Route(rules, Request{Service: "s", Path: "/other"}); got != (Result{Route: "/other"}) {
			t.Errorf("%s, other: %+v", mode, got)
		}
	}
}

func TestPatternsOfServices(t *testing.T) {
	t.Parallel()
	settings := config.Default().Routes
	settings.Patterns = []string{"/user/:id", "/all/:id"}
	service := NewRules(1, settings, config.ServiceRoutes{Incoming: []string{"/user/{name}"}, Outgoing: []string{"/stock/:item"}})
	others := NewRules(0, settings, config.ServiceRoutes{})
	r := NewRouter()
	for _, test := range []struct {
		rules    *Rules
		path     string
		outgoing bool
		want     string
	}{
		{service, "/user/a", false, "/user/{name}"},
		{service, "/all/a", false, "/all/:id"},
		{others, "/user/a", false, "/user/:id"},
		{service, "/stock/7", true, "/stock/:item"},
		{service, "/user/a", true, ""},
		{others, "/stock/7", true, ""},
		{others, "/stock/7", false, "/stock/*"},
	} {
		if got := r.Route(test.rules, Request{Service: "s", Path: test.path, Outgoing: test.outgoing}).Route; got != test.want {
			t.Errorf("%s (outgoing %v): %q, want %q", test.path, test.outgoing, got, test.want)
		}
	}
}

// In low-cardinality mode a segment with many values becomes a wildcard, also in what a snapshot restores.
func TestLearn(t *testing.T) {
	t.Parallel()
	rules := rules("low-cardinality", func(c *config.Routes) { c.MaxPathSegmentCardinality = 3 })
	r := NewRouter()
	words := []string{"alice", "bob", "carol", "dave", "erin", "frank"}
	for round := range 2 {
		for i, word := range words {
			want := "/area/" + word + "/orders"
			if i >= 3 || round > 0 {
				want = "/area/*/orders"
			}
			if got := r.Route(rules, Request{Service: "s", Path: "/area/" + word + "/orders"}).Route; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if i == 1 || i == 4 {
				restored := NewRouter()
				snapshot := r.AppendSnapshot(nil)
				rest, err := restored.Restore(snapshot)
				if err != nil || len(rest) != 0 {
					t.Fatal(err, rest)
				}
				if !bytes.Equal(restored.AppendSnapshot(nil), snapshot) {
					t.Error("snapshot changes")
				}
				for s, learnt := range r.tries {
					if restored.tries[s].nodes != learnt.nodes {
						t.Errorf("%d nodes restored, %d before", restored.tries[s].nodes, learnt.nodes)
					}
				}
				r = restored
			}
		}
	}
	if got := r.Route(rules, Request{Service: "other", Path: "/area/alice/orders"}).Route; got != "/area/alice/orders" {
		t.Errorf("another service: %q", got)
	}
}

// A million paths make a bounded number of routes and bounded memory.
func TestMillionPaths(t *testing.T) {
	t.Parallel()
	// word i has letters only: nothing that the heuristic would notice.
	word := func(i int) string {
		b := []byte("segment")
		for range 4 {
			b = append(b, "aeiou"[i%5], "lmnr"[i/5%4])
			i /= 20
		}
		return string(b)
	}
	fixedWords := slices.Sorted(maps.Keys(words))
	for name, test := range map[string]struct {
		rules *Rules
		path  func(i int) string
		most  int
	}{
		"heuristic, words": {rules("heuristic", nil), func(i int) string {
			return "/" + word(i%160000) + "/" + word(i/7%160000) + "/" + word(i%11)
		}, 2000},
		"heuristic, known words": {rules("heuristic", nil), func(i int) string {
			return "/" + fixedWords[i%len(fixedWords)] + "/" + fixedWords[i/7%len(fixedWords)] + "/" + fixedWords[i/11%len(fixedWords)]
		}, 3000},
		"heuristic, numbers": {rules("heuristic", nil), func(i int) string { return fmt.Sprintf("/users/%d/orders/%08x-%d", i, i, i) }, 1},
		"wildcard":           {rules("wildcard", nil), func(i int) string { return "/" + word(i%160000) }, 1},
		"unset":              {rules("unset", nil), func(i int) string { return "/" + word(i%160000) }, 1},
		"low-cardinality, words": {rules("low-cardinality", nil), func(i int) string {
			return "/" + word(i%160000) + "/" + word(i/7%160000) + "/" + word(i%11)
		}, 2000},
		"low-cardinality, deep": {rules("low-cardinality", func(c *config.Routes) { c.MaxPathSegmentCardinality = 1000 }), func(i int) string {
			return "/" + word(i%100) + "/" + word(i/100%100) + "/" + word(i/10000)
		}, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewRouter()
			routes := map[string]bool{}
			for i := range 1_000_000 {
				routes[r.Route(test.rules, Request{Service: "s", Path: test.path(i)}).Route] = true
				if len(routes) > 10*test.most {
					break
				}
			}
			if len(routes) > test.most || len(r.found) > maxFound {
				t.Errorf("%d routes, %d cached", len(routes), len(r.found))
			}
			if n := len(r.AppendSnapshot(nil)); n > 100<<10 {
				t.Errorf("snapshot of %d bytes", n)
			}
		})
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("/a/1", []byte{})
	r := NewRouter()
	r.Route(rules("low-cardinality", nil), Request{Service: "s", Path: "/a/b"})
	f.Add("/a\xff/%", r.AppendSnapshot(nil))
	f.Fuzz(func(t *testing.T, path string, snapshot []byte) {
		router := NewRouter()
		if _, err := router.Restore(snapshot); err != nil && len(router.tries) != 0 {
			t.Error("a damaged snapshot was believed in part")
		}
		for i, unmatched := range []string{"unset", "path", "wildcard", "heuristic", "low-cardinality"} {
			settings := config.Default().Routes
			settings.Unmatched, settings.Patterns = unmatched, []string{"/x/:id", "/y/*"}
			r := NewRules(uint32(i), settings, config.ServiceRoutes{})
			if route := router.Route(r, Request{Service: "s", Path: path}).Route; len(route) > maxRoute || route != "" && route[0] != '/' {
				t.Errorf("%s of %q: %q", unmatched, path, route)
			}
		}
		again := NewRouter()
		if rest, err := again.Restore(router.AppendSnapshot(nil)); err != nil || len(rest) != 0 {
			t.Errorf("own snapshot: %v", err)
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	for _, unmatched := range []string{"heuristic", "low-cardinality"} {
		b.Run(unmatched, func(b *testing.B) {
			r, rules := NewRouter(), rules(unmatched, nil)
			b.ReportAllocs()
			for b.Loop() {
				r.Route(rules, Request{Service: "s", Path: "/users/17/orders"})
			}
		})
		b.Run(unmatched+", new paths", func(b *testing.B) {
			r, rules := NewRouter(), rules(unmatched, nil)
			b.ReportAllocs()
			path := []byte("/users/00000000/orders")
			for b.Loop() {
				for i := 14; ; i-- {
					if path[i]++; path[i] <= '9' || i == 7 {
						break
					}
					path[i] = '0'
				}
				r.Route(rules, Request{Service: "s", Path: string(path)})
			}
		})
	}
}
