package decode

import (
	"fmt"
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/http1"
	http1decode "millrace.dev/protocols/http1/decode"
	"millrace.dev/protocols/http2"
	"millrace.dev/protocols/http2/conversations"
	http2decode "millrace.dev/protocols/http2/decode"
)

// TestLayer: conversations pass the parser of HTTP, cut in every way.
func TestLayer(t *testing.T) {
	t.Parallel()
	kit := decodetest.Kit{
		Known: &http1.Protocol, Decode: http1decode.Protocol, Dropped: []string{"{}"},
		Options: decode.Options{Layers: decode.NewLayers([]*decode.Layer{&Layer})},
	}
	ask := func(line string) decodetest.Piece {
		return decodetest.Client(line + " HTTP/1.1\r\nHost: search.test:9200\r\nAuthorization: Basic c2VjcmV0OnNlY3JldA==\r\nContent-Length: 2\r\n\r\n{}")
	}
	answer := func(status int, lines string) decodetest.Piece {
		return decodetest.Server(fmt.Sprintf("HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\n{}", status, lines))
	}
	const elastic, json = "X-elastic-product: Elasticsearch\r\n", "content-type: application/json; charset=UTF-8\r\n"
	kit.Run(t,
		decodetest.Conversation{Name: "elasticsearch", Pieces: []decodetest.Piece{
			ask("POST /logs-2026.11/_search?q=user:joe"), answer(200, elastic+json),
			ask("PUT /users"), answer(400, elastic),
			ask("GET /users/_doc/17"), answer(404, elastic),
			decodetest.Client("HEAD /users HTTP/1.1\r\nHost: search.test:9200\r\n\r\n"), decodetest.Server("HTTP/1.1 404 X\r\n" + elastic + "\r\n"),
			ask("GET /no/such/api"), answer(400, elastic),
		}},
		decodetest.Conversation{Name: "by content", Pieces: []decodetest.Piece{
			ask("POST /_bulk"), answer(200, json),
			ask("PUT /users"), answer(200, json),
			ask("POST /_bulk"), answer(200, "content-type: text/html\r\n"),
			ask("GET /_cluster/health"), answer(503, "X-OpenSearch-Version: OpenSearch/2.19.0 (opensearch)\r\n"),
		}},
	)
}

// TestMayBe: whatever is read as a call may be one by its target.
func TestMayBe(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/", "/users", "/users/", "/logs-*/_search?q=a", "/_bulk", "/users/_doc/17", "/_cat/indices", "/_ilm/policy/a", "/a/_cache/clear", "//users", "/users?a/b",
	} {
		if _, ok := read(&decode.Head{Method: []byte("GET"), Target: []byte(target)}); ok && !mayBe(nil, []byte(target)) {
			t.Errorf("%q is read, and passed over", target)
		}
	}
	for _, target := range []string{"/api/items/42?x=1", "*", "", "http://h/_search", "/a/b?c=/_d"} {
		if mayBe(nil, []byte(target)) {
			t.Errorf("%q is kept", target)
		}
	}
}

// TestLayerHTTP2: the same over HTTP/2, also where names and values come from the dynamic table.
func TestLayerHTTP2(t *testing.T) {
	t.Parallel()
	kit := decodetest.Kit{
		Known: &http2.Protocol, Decode: http2decode.Protocol, Golden: "testdata/http2.golden",
		Options: decode.Options{Layers: decode.NewLayers([]*decode.Layer{&Layer})},
	}
	text := func(s string) string { return conversations.Text(s, true) }
	ask := func(stream uint32, method, path string) string {
		block := "\x02" + text(method) + "\x04" + text(path) + "\x86\x01" + text("search.test:9200")
		return conversations.Frame(http2.Headers, http2.FlagEndHeaders|http2.FlagEndStream, stream, block)
	}
	answer := func(stream uint32, status, block string) string {
		return conversations.Frame(http2.Headers, http2.FlagEndHeaders|http2.FlagEndStream, stream, "\x08"+text(status)+block)
	}
	settings := conversations.Frame(http2.Settings, 0, 0, "")
	elastic := "\x40" + text("x-elastic-product") + text("Elasticsearch")
	kit.Run(t, decodetest.Conversation{Name: "elasticsearch", Pieces: []decodetest.Piece{
		decodetest.Client(http2.Preface + settings + ask(1, "POST", "/logs-2026.11/_search?q=user:joe")),
		decodetest.Server(settings),
		decodetest.Client(ask(3, "GET", "/users/_doc/17") + ask(5, "POST", "/_bulk") + ask(7, "GET", "/users")),
		// The second one's field is that of the table, which came with the first.
		decodetest.Server(answer(1, "200", elastic) + answer(3, "404", "\xbe")),
		decodetest.Server(answer(5, "200", "\x0f\x10"+text("application/json"))),
		decodetest.Server(answer(7, "404", "")),
	}})
}
