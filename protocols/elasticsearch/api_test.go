package elasticsearch

import "testing"

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, path, operation, index string
		own                            bool
	}{
		{"GET", "/", "info", "", false},
		{"HEAD", "/", "ping", "", false},
		{"POST", "/_bulk", "bulk", "", true},
		{"POST", "/logs-2026.11.30/_bulk", "bulk", "logs-2026.11.30", true},
		{"GET", "/a,b*/_search", "search", "a,b*", true},
		{"POST", "/_search", "search", "", true},
		{"POST", "/_search/scroll", "scroll", "", true},
		{"DELETE", "/_search/scroll", "clear_scroll", "", true},
		{"PUT", "/users/_doc/17", "index", "users", true},
		{"POST", "/users/_doc", "index", "users", true},
		{"GET", "/users/_doc/17", "get", "users", true},
		{"DELETE", "/users/_doc/17", "delete", "users", true},
		{"PUT", "/users/_create/17", "create", "users", true},
		{"POST", "/users/_update/17", "update", "users", true},
		{"POST", "/users/_update_by_query", "update_by_query", "users", true},
		{"PUT", "/users", "indices.create", "users", false},
		{"HEAD", "/users", "indices.exists", "users", false},
		{"PUT", "/users/_mapping", "indices.put_mapping", "users", false},
		{"POST", "/users/_refresh", "indices.refresh", "users", false},
		{"POST", "/_refresh", "indices.refresh", "", false},
		{"GET", "/_cluster/health", "cluster.health", "", true},
		{"GET", "/_cluster/health/users", "cluster.health", "", true},
		{"GET", "/_cat/indices", "cat.indices", "", true},
		{"GET", "/_all/_search", "search", "_all", true},
		{"PUT", "/_ingest/pipeline/mine", "ingest.put_pipeline", "", false},
		{"POST", "/_aliases", "indices.update_aliases", "", false},
		{"GET", "/_nodes/stats", "nodes.stats", "", true},
		{"POST", "/orders", "", "", false},
		{"GET", "/users/17", "", "", false},
		{"GET", "/Users/_search", "", "", false},
		{"GET", "/users/_doc", "", "", false},
		{"GET", "/api/users/_search", "", "", false},
		{"GET", "/_next/static/chunk.js", "", "", false},
		{"GET", "/_cat/../x", "", "", false},
		{"POST", "/", "", "", false},
	} {
		got, ok := Read(tt.method, tt.path)
		want := Call{tt.operation, tt.index, tt.own}
		if ok != (tt.operation != "") || ok && got != want {
			t.Errorf("%s %s: %+v %v, want %+v", tt.method, tt.path, got, ok, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("GET", "/a/_search")
	f.Add("POST", "//_bulk///")
	f.Fuzz(func(t *testing.T, method, path string) {
		if c, ok := Read(method, path); ok == (c.Operation == "") || len(c.Index) > 255 {
			t.Errorf("%q %q: %+v %v", method, path, c, ok)
		}
	})
}
