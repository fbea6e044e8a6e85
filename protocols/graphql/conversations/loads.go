package conversations

import "millrace.dev/protocols/edge/edgetest"

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	return []edgetest.Load{{Name: "query", Exchanges: 1, Layer: "graphql", Round: edgetest.Again(
		Ask("/graphql", JSON, `{"operationName":"User","variables":{"id":"42"},"query":"query User($id: ID) { user(id: $id) { name } }"}`),
		Answer("200", JSON, `{"data":{"user":{"name":"somebody"}}}`),
	)}}
}
