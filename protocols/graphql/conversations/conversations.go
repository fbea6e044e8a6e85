// Package conversations is how GraphQL is spoken over HTTP, with secrets planted, for tests.
package conversations

import (
	"fmt"

	"millrace.dev/protocols/edge/edgetest"
)

const (
	secret  = "Zx81Yq72Wp63Vn54Um45Tl36"
	patient = "Hunter2-Correct-Horse"
)

// Ask is a request with a body.
func Ask(target, headers, body string) edgetest.Piece {
	return edgetest.Client(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: api\r\n%sContent-Length: %d\r\n\r\n%s", target, headers, len(body), body))
}

// Answer is a response with a body.
func Answer(status, headers, body string) edgetest.Piece {
	return edgetest.Server(fmt.Sprintf("HTTP/1.1 %s X\r\n%sContent-Length: %d\r\n\r\n%s", status, headers, len(body), body))
}

// JSON is the header field of bodies.
const JSON = "Content-Type: application/json\r\n"

// List gives the conversations of a node whose layer is on.
func List() []edgetest.Conversation {
	chunked := "HTTP/1.1 200 OK\r\n" + JSON + "Transfer-Encoding: chunked\r\n\r\n"
	part, rest := `{"data":{"user":{"name":"`+patient+`"}},"errors":[{"mess`, `age":"`+secret+`","extensions":{"code":"FORBIDDEN"}}]}`
	return []edgetest.Conversation{{
		Name: "graphql",
		Pieces: []edgetest.Piece{
			Ask("/graphql", JSON, `{"operationName":"User","variables":{"id":"`+secret+`"},"query":"query User($id: ID = \"`+secret+`\") { user(id: \"`+patient+`\", n: 4111111111) { name } }"}`),
			Answer("200", JSON, `{"errors":[{"message":"`+patient+`","path":["`+secret+`"],"extensions":{"code":"NOT_FOUND","`+secret+`":1}}],"data":{"user":"`+patient+`"}}`),
			Ask("/api/graphql", JSON, `[{"query":"mutation Pay { pay(card: \"`+secret+`\") }"},{"query":"`+secret+` { a }","operationName":"`+secret+`"}]`),
			edgetest.Server(chunked + fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", len(part), part, len(rest), rest)),
			Ask("/graphql", "Content-Type: text/plain\r\n", `{"query":"query Plain { `+patient+` }"}`),
			Answer("200", JSON, `{"errors":[{"extensions":{"code":"HIDDEN"}}],"data":"`+secret+`"}`),
			Ask("/login", JSON, `{"query":"query Login { a }","password":"`+patient+`"}`),
			Answer("200", "", `{"token":"`+secret+`"}`),
			Ask("/graphql", JSON+"Content-Encoding: gzip\r\n", "\x1f\x8b{\"query\":\"query Coded{a}\",\"v\":\""+secret+"\"}"),
			Answer("200", JSON, `{"data":"`+secret+`"}`),
		},
		Secrets: []string{secret, patient, "4111111111", "{\"code\":\"HIDDEN\"", "query Plain", "query Login", "query Coded"},
		Kept: []string{
			`"operationName":"User"`, `"query":"query User`, `"code":"NOT_FOUND"`, `"query":"mutation Pay`, `"code":"FORBIDDEN"`,
		},
		Shown: 7,
	}}
}
