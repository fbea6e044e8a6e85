package conversations

import (
	"fmt"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	ask := edgetest.Client("GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n")
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\n"
	body := strings.Repeat("x", 256<<10)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 4096, body[:4096])
	return []edgetest.Load{
		{Name: "GET", Exchanges: 1, Round: edgetest.Again(ask, edgetest.Server(head+"Content-Length: 13\r\n\r\n{\"hello\":\"w\"}"))},
		{Name: "256 KiB", Exchanges: 1, Bulk: edgetest.ByLength, Round: edgetest.Again(edgetest.InPieces(ask,
			edgetest.Server(head+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)))...)},
		{Name: "256 KiB, chunks", Exchanges: 1, Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(ask,
			edgetest.Server(head+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, len(body)/4096)+"0\r\n\r\n"))...)},
	}
}
