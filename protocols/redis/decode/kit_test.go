package decode

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	known "millrace.dev/protocols/redis"
)

func resp(words ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(words))
	for _, w := range words {
		s += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
	}
	return s
}

var kit = decodetest.Kit{
	Known: &known.Protocol, Decode: Protocol,
	Dropped: []string{strings.Repeat("v", 400), strings.Repeat("e", 200)},
	Varies:  regexp.MustCompile(`db.operation.batch.size = \d+`),
}

func conversations() []decodetest.Conversation {
	client, server := decodetest.Client, decodetest.Server
	return []decodetest.Conversation{{Name: "commands", Pieces: []decodetest.Piece{
		client(resp("SELECT", "2") + resp("SET", "k", strings.Repeat("v", 400)) + resp("GET", "k")),
		server("+OK\r\n+OK\r\n"),
		server(fmt.Sprintf("$400\r\n%s\r\n", strings.Repeat("v", 400))),
		client(resp("EXEC") + resp("LRANGE", "a", "0", "-1")),
		server("-ERR EXEC without MULTI\r\n*3\r\n$200\r\n" + strings.Repeat("e", 200) + "\r\n:5\r\n*2\r\n+a\r\n$-1\r\n"),
		client("PING\r\n"),
		server("+PONG\r\n"),
	}}}
}

// TestKit reads conversations in every way in which they may come.
func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, conversations()...)
}
