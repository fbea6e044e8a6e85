// Package conversations has what is benchmarked of Elasticsearch.
package conversations

import (
	"fmt"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	const query, answer = `{"query":{"match":{"name":"somebody"}}}`, `{"took":1,"timed_out":false,"hits":{"total":{"value":0}}}`
	return []edgetest.Load{{Name: "search", Exchanges: 1, Round: edgetest.Again(
		edgetest.Client(fmt.Sprintf("POST /products/_search HTTP/1.1\r\nHost: search.local:9200\r\nUser-Agent: elastic-transport-go/8.6\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(query), query)),
		edgetest.Server(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
			len(answer), answer)),
	)}}
}
