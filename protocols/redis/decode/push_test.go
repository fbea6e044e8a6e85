package decode

import (
	"regexp"
	"strings"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	known "millrace.dev/protocols/redis"
	"millrace.dev/protocols/redis/conversations"
)

// messages are conversations of a subscriber, of transactions, and of commands whose number of replies is another.
func messages() []decodetest.Conversation {
	ask, say, bulk := decodetest.Client, decodetest.Server, conversations.Bulk
	array := func(kind string, words ...string) string {
		return strings.Replace(resp(words...), "*", kind, 1)
	}
	count := func(kind, word, channel, n string) string {
		return kind + "3\r\n" + bulk(word) + channel + ":" + n + "\r\n"
	}
	return []decodetest.Conversation{{Name: "subscriber, RESP2", Pieces: []decodetest.Piece{
		ask(resp("LRANGE", "l", "0", "-1")), say(array("*", "message", "of a list", "x")),
		ask(resp("SUBSCRIBE", "news", "sport")), say(count("*", "subscribe", bulk("news"), "1") + count("*", "subscribe", bulk("sport"), "2")),
		say(array("*", "message", "news", "hello")), ask(resp("PSUBSCRIBE", "n*")),
		say(array("*", "message", "sport", strings.Repeat("m", 1100)) + count("*", "psubscribe", bulk("n*"), "3")),
		say(array("*", "message", "news", "both")), say(array("*", "pmessage", "n*", "news", "both")),
		ask(resp("PING")), say(array("*", "pong", "")), ask(resp("UNSUBSCRIBE")),
		say(count("*", "unsubscribe", bulk("news"), "2") + count("*", "unsubscribe", bulk("sport"), "1")),
		ask(resp("PUNSUBSCRIBE", "n*", "m*")), say(count("*", "punsubscribe", bulk("n*"), "0") + count("*", "punsubscribe", bulk("m*"), "0")),
		ask(resp("LRANGE", "l", "0", "-1")), say(array("*", "message", "of a list", "x")),
		ask(resp("UNSUBSCRIBE")), say(count("*", "unsubscribe", "$-1\r\n", "0")),
		ask(resp("SUBSCRIBE", "secret") + resp("GET", "k")), say("-NOPERM this user has no permissions to access one of the channels\r\n$1\r\nv\r\n"),
		ask(resp("PING")), say("+PONG\r\n"),
	}}, {Name: "subscriber, RESP3", Pieces: []decodetest.Piece{
		ask(resp("HELLO", "3")), say("%1\r\n" + bulk("proto") + ":3\r\n"),
		ask(resp("SSUBSCRIBE", "a")), say(count(">", "ssubscribe", bulk("a"), "1")), ask(resp("GET", "k")),
		say(array(">", "smessage", "a", "hello") + "$1\r\nv\r\n"), say(array(">", "invalidate", "k")),
		ask(resp("LRANGE", "l", "0", "-1")), say(array("*", "smessage", "of a list", "x")), say(array(">", "smessage", "a", "bye")),
		ask(resp("SUNSUBSCRIBE", "a") + resp("PING")), say(count(">", "sunsubscribe", bulk("a"), "0") + "+PONG\r\n"),
	}}, {Name: "transactions", Pieces: []decodetest.Piece{
		ask(resp("MULTI") + resp("SET", "k", "v") + resp("INCR", "k") + resp("EXEC")),
		say("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-ERR value is not an integer or out of range\r\n"),
		ask(resp("WATCH", "k")), say("+OK\r\n"), ask(resp("MULTI") + resp("GET", "k")), say("+OK\r\n+QUEUED\r\n"), ask(resp("EXEC")), say("*-1\r\n"),
		ask(resp("MULTI")), say("+OK\r\n"), ask(resp("GET")), say("-ERR wrong number of arguments for 'get' command\r\n"),
		ask(resp("EXEC")), say("-EXECABORT Transaction discarded because of previous errors.\r\n"),
		ask(resp("MULTI")), say("+OK\r\n"), ask(resp("SELECT", "3")), say("+QUEUED\r\n"), ask(resp("GET", "k")), say("+QUEUED\r\n"),
		ask(resp("DISCARD")), say("+OK\r\n"), ask(resp("GET", "k")), say("$-1\r\n"),
		ask(resp("MULTI") + resp("SELECT", "4") + resp("GET", "k")), say("+OK\r\n+QUEUED\r\n+QUEUED\r\n"),
		ask(resp("EXEC")), say("*2\r\n+OK\r\n$-1\r\n"), ask(resp("GET", "k")), say("$-1\r\n"),
	}}, {Name: "replies", Pieces: []decodetest.Piece{
		ask(resp("CLIENT", "REPLY", "SKIP") + resp("SET", "a", "1") + resp("GET", "a")), say("$1\r\n1\r\n"),
		ask(resp("CLIENT", "REPLY", "OFF")), ask(resp("SET", "b", "1")), ask(resp("CLIENT", "REPLY", "ON")), say("+OK\r\n"),
		ask(resp("BLPOP", "q", "1")), say("*-1\r\n"), ask(resp("GET", "c")), say("-MOVED 3999 127.0.0.1:6381\r\n"),
		ask(resp("ASKING") + resp("GET", "c")), say("+OK\r\n-ASK 3999 127.0.0.1:6381\r\n"), ask(resp("MGET", "a", "b")),
		say("-CROSSSLOT Keys in request don't hash to the same slot\r\n"), ask(resp("EVAL", "return redis.error_reply('MY WAY')", "0")), say("-MY WAY\r\n"),
		ask(resp("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")), say(array("*", "127.0.0.1", "6379")),
		ask(resp("MONITOR")), say("+OK\r\n"), say("+1700000000.1 [0 127.0.0.1:1] \"GET\" \"k\"\r\n"), ask(resp("RESET")), say("+RESET\r\n"), ask("PING\r\n"), say("+PONG\r\n"),
	}}}
}

// TestMessages: messages are published where they are received, and no reply is taken for another's.
func TestMessages(t *testing.T) {
	t.Parallel()
	k := decodetest.Kit{
		Known: &known.Protocol, Decode: Protocol, Edge: &known.Edge, Rules: edge.Rules{Enable: true, Literals: true},
		Client: true, Golden: "testdata/messages.golden",
		// Of a word of an error that is cut the node shows nothing; a batch is what came together.
		Varies: regexp.MustCompile(`db.operation.batch.size = \d+|message: .*`),
	}
	k.Run(t, messages()...)
	server := k
	server.Client, server.Whole, server.Golden = false, true, "testdata/messages_server.golden"
	server.Run(t, messages()...)
}
