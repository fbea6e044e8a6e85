package elasticsearch

import "strings"

// Call is what the target of a request says.
type Call struct {
	// Operation is the identifier of the endpoint in the API's specification: "search", "indices.create".
	Operation string
	// Index is the index or data stream, or a list or pattern of them, as it stands in the path; empty if there is none.
	Index string
	// Own says that no other API is known to have this endpoint. For others the server has to say what it is.
	Own bool
}

// endpoint is an API whose path has a segment that begins with an underscore.
type endpoint struct {
	// by is the identifier by method; "" stands for all others.
	by map[string]string
	// own: see Call.
	own bool
}

func always(operation string, own bool) endpoint {
	return endpoint{map[string]string{"": operation}, own}
}

// reading gives the identifiers of an endpoint that is read, written and removed.
func reading(get, put, remove string) endpoint {
	return endpoint{by: map[string]string{"GET": get, "HEAD": get, "PUT": put, "POST": put, "DELETE": remove}}
}

// The endpoints by their name, https://www.elastic.co/docs/api/doc/elasticsearch and
// https://docs.opensearch.org/latest/api-reference/. documents are those that a document's id may follow, ofIndex those
// behind an index, global those at the beginning of the path; "a/b" stands for two segments.
var (
	documents = map[string]endpoint{
		"_doc":         {map[string]string{"GET": "get", "HEAD": "exists", "PUT": "index", "POST": "index", "DELETE": "delete"}, true},
		"_create":      {map[string]string{"PUT": "create", "POST": "create"}, true},
		"_update":      {map[string]string{"POST": "update"}, true},
		"_source":      {map[string]string{"GET": "get_source", "HEAD": "exists_source"}, false},
		"_explain":     always("explain", false),
		"_termvectors": always("termvectors", true),
	}
	ofIndex = map[string]endpoint{
		"_search":          always("search", true),
		"_async_search":    always("async_search.submit", true),
		"_msearch":         always("msearch", true),
		"_search/template": always("search_template", true),
		"_bulk":            always("bulk", true),
		"_mget":            always("mget", true),
		"_count":           always("count", true),
		"_delete_by_query": always("delete_by_query", true),
		"_update_by_query": always("update_by_query", true),
		"_field_caps":      always("field_caps", true),
		"_validate/query":  always("indices.validate_query", true),
		"_rank_eval":       always("rank_eval", true),
		"_search_shards":   always("search_shards", true),
		"_pit":             always("open_point_in_time", false),
		"_analyze":         always("indices.analyze", false),
		"_mapping":         reading("indices.get_mapping", "indices.put_mapping", "indices.delete_mapping"),
		"_mappings":        reading("indices.get_mapping", "indices.put_mapping", "indices.delete_mapping"),
		"_settings":        reading("indices.get_settings", "indices.put_settings", ""),
		"_alias":           reading("indices.get_alias", "indices.put_alias", "indices.delete_alias"),
		"_aliases":         reading("indices.get_alias", "indices.put_alias", "indices.delete_alias"),
		"_block":           always("indices.add_block", false),
		"_cache/clear":     always("indices.clear_cache", false),
		"_clone":           always("indices.clone", false),
		"_close":           always("indices.close", false),
		"_flush":           always("indices.flush", false),
		"_forcemerge":      always("indices.forcemerge", true),
		"_open":            always("indices.open", false),
		"_recovery":        always("indices.recovery", false),
		"_refresh":         always("indices.refresh", false),
		"_rollover":        always("indices.rollover", false),
		"_segments":        always("indices.segments", false),
		"_shrink":          always("indices.shrink", false),
		"_split":           always("indices.split", false),
		"_stats":           always("indices.stats", false),
	}
	global = map[string]endpoint{
		"_search/scroll":             {map[string]string{"": "scroll", "DELETE": "clear_scroll"}, true},
		"_async_search":              reading("async_search.get", "async_search.submit", "async_search.delete"),
		"_pit":                       {map[string]string{"DELETE": "close_point_in_time"}, false},
		"_reindex":                   always("reindex", true),
		"_aliases":                   {map[string]string{"GET": "indices.get_alias", "POST": "indices.update_aliases"}, false},
		"_template":                  reading("indices.get_template", "indices.put_template", "indices.delete_template"),
		"_index_template":            reading("indices.get_index_template", "indices.put_index_template", "indices.delete_index_template"),
		"_component_template":        reading("cluster.get_component_template", "cluster.put_component_template", "cluster.delete_component_template"),
		"_data_stream":               reading("indices.get_data_stream", "indices.create_data_stream", "indices.delete_data_stream"),
		"_ingest/pipeline":           reading("ingest.get_pipeline", "ingest.put_pipeline", "ingest.delete_pipeline"),
		"_cluster/health":            always("cluster.health", true),
		"_cluster/state":             always("cluster.state", true),
		"_cluster/stats":             always("cluster.stats", true),
		"_cluster/settings":          reading("cluster.get_settings", "cluster.put_settings", ""),
		"_cluster/reroute":           always("cluster.reroute", true),
		"_cluster/pending_tasks":     always("cluster.pending_tasks", true),
		"_cluster/allocation":        always("cluster.allocation_explain", true),
		"_nodes":                     always("nodes.info", false),
		"_nodes/stats":               always("nodes.stats", true),
		"_nodes/hot_threads":         always("nodes.hot_threads", true),
		"_tasks":                     always("tasks.list", false),
		"_snapshot":                  reading("snapshot.get", "snapshot.create", "snapshot.delete"),
		"_scripts":                   reading("get_script", "put_script", "delete_script"),
		"_sql":                       always("sql.query", false),
		"_query":                     always("esql.query", false),
		"_resolve/index":             always("indices.resolve_index", false),
		"_ilm/policy":                reading("ilm.get_lifecycle", "ilm.put_lifecycle", "ilm.delete_lifecycle"),
		"_security/_authenticate":    always("security.authenticate", false),
		"_license":                   always("license.get", false),
		"_xpack":                     always("xpack.info", false),
		"_plugins/_ppl":              always("ppl.query", false),
		"_plugins/_sql":              always("sql.query", false),
		"_remotestore/_restore":      always("remote_store.restore", false),
		"_scripts/painless/_execute": always("scripts_painless_execute", false),
	}
	// whole are the operations on an index by its name alone.
	whole = map[string]string{"GET": "indices.get", "HEAD": "indices.exists", "PUT": "indices.create", "DELETE": "indices.delete"}
)

func (e *endpoint) operation(method string) string {
	if name := e.by[method]; name != "" {
		return name
	}
	return e.by[""]
}

// Read says which operation a request asks for: its method and the path of its target, without the query. false: none
// that is known.
func Read(method, path string) (Call, bool) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	first := segments[0]
	switch {
	case first == "":
		if method == "GET" || method == "HEAD" {
			return Call{Operation: map[string]string{"GET": "info", "HEAD": "ping"}[method]}, true
		}
		return Call{}, false
	case first == "_cat":
		if len(segments) == 1 {
			return Call{Operation: "cat.help"}, true
		}
		return Call{Operation: "cat." + word(segments[1]), Own: true}, word(segments[1]) != ""
	case first == "_all" || first[0] != '_':
		return index(method, first, segments[1:])
	}
	if e, rest := longest(global, segments); e != nil && rest <= 2 {
		return found(e, method, "")
	}
	if e, rest := longest(ofIndex, segments); e != nil && rest == 0 {
		return found(e, method, "")
	}
	return Call{}, false
}

// index reads what follows the name of an index.
func index(method, name string, rest []string) (Call, bool) {
	if len(name) > 255 || strings.ContainsAny(name, " \"\\|?#:") || name != strings.ToLower(name) && name != "_all" {
		return Call{}, false // no name of an index, whatever follows
	}
	if len(rest) == 0 {
		operation := whole[method]
		return Call{Operation: operation, Index: name}, operation != ""
	}
	if e := documents[rest[0]]; e.by != nil && len(rest) <= 2 {
		if len(rest) == 1 && rest[0] != "_doc" || len(rest) == 1 && method != "POST" {
			return Call{}, false // only index gives a document its id
		}
		return found(&e, method, name)
	}
	if e, more := longest(ofIndex, rest); e != nil && more <= 1 {
		return found(e, method, name)
	}
	return Call{}, false
}

func found(e *endpoint, method, index string) (Call, bool) {
	operation := e.operation(method)
	return Call{Operation: operation, Index: index, Own: e.own}, operation != ""
}

// longest finds the endpoint with the most segments, and how many segments are left behind it.
func longest(table map[string]endpoint, segments []string) (*endpoint, int) {
	for n := min(3, len(segments)); n > 0; n-- {
		if e, ok := table[strings.Join(segments[:n], "/")]; ok {
			return &e, len(segments) - n
		}
	}
	return nil, 0
}

// word gives s if it is a name of lower-case letters and underscores, else "".
func word(s string) string {
	if len(s) > 32 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return s
}
