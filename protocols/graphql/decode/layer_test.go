package decode

import (
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/graphql/conversations"
	"millrace.dev/protocols/http1"
	http1decode "millrace.dev/protocols/http1/decode"
)

// TestLayer: requests and responses over HTTP/1, cut in every way.
func TestLayer(t *testing.T) {
	t.Parallel()
	ask, answer, json := conversations.Ask, conversations.Answer, conversations.JSON
	kit := decodetest.Kit{
		Known: &http1.Protocol, Decode: http1decode.Protocol, Dropped: []string{"dropped"},
		Options: decode.Options{Layers: decode.NewLayers([]*decode.Layer{&Layer})},
	}
	kit.Run(t, decodetest.Conversation{Name: "graphql", Pieces: []decodetest.Piece{
		ask("/graphql", json, `{"query":"query User($id: ID) { user(id: $id) { name } }","variables":{"id":"dropped"}}`),
		answer("200", json, `{"data":{"user":null}}`),
		ask("/graphql", json, `{"operationName":"B","query":"query A{a} mutation B{b}"}`),
		answer("200", json, `{"errors":[{"message":"dropped"},{"extensions":{"code":"NOT_FOUND"}}],"data":null}`),
		ask("/graphql", json, `{"query":"{a}"}`),
		answer("400", json, `{"errors":[{"message":"no field a"}]}`),
		ask("/graphql", json, `[{"query":"query A{a}"},{"query":"query B{b}"}]`),
		answer("200", json, `[{"data":1},{"errors":[{"extensions":{"code":"FORBIDDEN"}}]}]`),
		ask("/graphql", json, `{"operationName":"P","extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}`),
		answer("200", json, `{"errors":[{"message":"PersistedQueryNotFound","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}`),
		// What says nothing of GraphQL stays HTTP.
		ask("/graphql", json, `{"name":"query A{a}"}`),
		answer("200", json, `{"errors":[{"extensions":{"code":"NO"}}]}`),
		ask("/graphql", json, `{"operationName":"A"}`),
		answer("500", json, `{}`),
		ask("/other", json, `{"query":"query A{a}"}`),
		answer("200", json, `{}`),
	}})
}
