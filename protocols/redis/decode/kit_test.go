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

func kitConversations() []decodetest.Conversation {
	client, server := decodetest.Client, decodetest.Server
	return []decodetest.Conversation{{Name: "commands", Pieces: []decodetest.Piece{
		client(resp("SELECT", "2") + resp("SET", "k", strings.Repeat("v", 400)) + resp("GET", "k")),
		server("+OK\r\n+OK\r\n"),
		server(fmt.Sprintf("$400\r\n%s\r\n", strings.Repeat("v", 400))),
		client(resp("EXEC") + resp("LRANGE", "a", "0", "-1")),
		server("-ERR EXEC without MULTI\r\n*3\r\n$200\r\n" + strings.Repeat("e", 200) + "\r\n:5\r\n*2\r\n+a\r\n$-1\r\n"),
		client("PING\r\n"),
		server("+PONG\r\n"),
	}}, {Name: "rounds", Pieces: rounds(8, 1, 0)}, {Name: "rounds of pipelines", Pieces: rounds(7, 3, 0)}, {Name: "a window", Pieces: rounds(9, 1, 2)}}
}

// rounds are rounds in which a client asks n times and waits for all replies, but for as many as window says: those
// come in the rounds that follow. Each command and each reply has another length.
func rounds(rounds, n, window int) (pieces []decodetest.Piece) {
	asked, answered := 0, 0
	for round := range rounds {
		batch := ""
		for range n {
			asked++
			batch += resp("GET", strings.Repeat("k", asked))
		}
		pieces = append(pieces, decodetest.Client(batch))
		for answered < asked && (answered < asked-window || round == rounds-1) {
			if answered++; answered%3 == 0 {
				pieces = append(pieces, decodetest.Server("-ERR "+strings.Repeat("e", answered)+"\r\n"))
			} else {
				pieces = append(pieces, decodetest.Server(fmt.Sprintf("+%s\r\n", strings.Repeat("r", answered))))
			}
		}
	}
	return pieces
}

// TestKit reads conversations in every way in which they may come.
func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, kitConversations()...)
}
