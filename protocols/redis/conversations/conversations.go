// Package conversations has conversations of Redis with secrets in them, for tests.
package conversations

import (
	"fmt"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Command is an array of bulk strings.
func Command(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		b.WriteString(Bulk(word))
	}
	return b.String()
}

// Bulk is a bulk string.
func Bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// List gives the conversations.
func List() []edgetest.Conversation {
	c, s := edgetest.Client, edgetest.Server
	const (
		password = "hunter2!hunter2"
		value    = "Correct-Horse-Battery"
		answer   = "Staple-4711-Zebra"
	)
	long := strings.Repeat(answer, 62) // more than 1,024 bytes
	return []edgetest.Conversation{
		{
			Name: "commands and replies",
			Pieces: []edgetest.Piece{
				c(Command("HELLO", "3", "AUTH", "joe", password)), s("%1\r\n" + Bulk("server") + Bulk(answer)),
				c(Command("SET", "user:1", value) + Command("GET", "user:1") + Command("HSET", "h", "field", value)),
				s("+OK\r\n" + Bulk(value) + ":1\r\n"),
				c(Command("CONFIG", "SET", "requirepass", password)), s("-ERR unknown command '" + password + "'\r\n"),
				c(Command("MGET", "a", "b")), s("*2\r\n" + Bulk(answer) + "$-1\r\n"),
				c(Command("SET", "big", strings.Repeat(value, 50))), s("+OK\r\n"), c(Command("GET", "big")), s(Bulk(long)),
				c(Command("SUBSCRIBE", "news")), s(">3\r\n" + Bulk("message") + Bulk("news") + Bulk(answer)),
			},
			Secrets:  []string{password, answer},
			Literals: []string{value},
			Kept: []string{
				"*5\r\n$5\r\nHELLO\r\n", Command("SET", "user:1", strings.Repeat("*", len(value))), Command("GET", "user:1"), "$5\r\nfield\r\n",
				"+OK\r\n", ":1\r\n", "-ERR unknown command ***", Command("MGET", "a", "b"), "$3\r\nbig\r\n",
			},
			Masks: "1", // digits of numbers
		},
		{
			Name:    "inline",
			Pieces:  []edgetest.Piece{c("AUTH " + password + "\r\n"), s("+OK\r\n"), c("set k " + value + "\r\n"), s("+OK\r\n"), c("ping\r\n"), s("+PONG\r\n")},
			Secrets: []string{password}, Literals: []string{value},
			Kept:  []string{"AUTH ***", "set k ***", "ping\r\n", "+PONG\r\n"},
			Masks: "?1",
		},
	}
}
