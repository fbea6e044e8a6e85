package decoder_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/decodertest"
)

// resp encodes a command.
func resp(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

func TestRedis(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		play func(ends)
		want []string
	}{
		{"set and get", func(e ends) {
			e.ask(resp("set", "k", "secret"))
			e.answer("+OK\r\n")
			e.ask(resp("GET", "k"))
			e.answer("$6\r\nsecret\r\n")
		}, []string{"SET|SET k ? db0 COMPLETE", "GET|GET k db0 COMPLETE"}},
		{"ten in one write", func(e ends) {
			var b, r strings.Builder
			for i := range 10 {
				b.WriteString(resp("INCR", fmt.Sprint("k", i)))
				fmt.Fprintf(&r, ":%d\r\n", i)
			}
			e.ask(b.String())
			e.answer(r.String())
		}, func() (w []string) {
			for i := range 10 {
				w = append(w, fmt.Sprintf("INCR|INCR k%d db0 COMPLETE", i))
			}
			return
		}()},
		{"ten writes before the first read", func(e ends) {
			for i := range 10 {
				e.c.Send(resp("GET", fmt.Sprint(i)))
			}
			for i := range 10 {
				e.s.Receive(resp("GET", fmt.Sprint(i)))
				e.s.Send("$-1\r\n")
			}
			for range 10 {
				e.c.Receive("$-1\r\n")
			}
		}, func() (w []string) {
			for i := range 10 {
				w = append(w, fmt.Sprintf("GET|GET %d db0 COMPLETE", i))
			}
			return
		}()},
		{"transaction, error, database", func(e ends) {
			e.ask(resp("SELECT", "3"))
			e.answer("+OK\r\n")
			e.ask(resp("MULTI") + resp("INCR", "a") + resp("HSET", "h", "f", "v") + resp("EXEC"))
			e.answer("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n-WRONGTYPE Operation against a key\r\n")
			e.ask(resp("LPUSH", "a", "x"))
			e.answer("-WRONGTYPE Operation against a key\r\n")
		}, []string{
			"SELECT|SELECT 3 db0 COMPLETE", "MULTI|MULTI db3 COMPLETE", "INCR|INCR a db3 COMPLETE", "HSET|HSET h f ? db3 COMPLETE",
			"EXEC|EXEC db3 COMPLETE WRONGTYPE(WRONGTYPE Operation against a key)", "LPUSH|LPUSH a ? db3 COMPLETE WRONGTYPE(WRONGTYPE Operation against a key)",
		}},
		{"subscription", func(e ends) {
			e.ask(resp("SUBSCRIBE", "a", "b"))
			e.answer("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
			e.answer("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n")
			e.ask(resp("PING"))
			e.answer("*2\r\n$4\r\npong\r\n$0\r\n\r\n")
			e.ask(resp("UNSUBSCRIBE"))
			e.answer("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n")
			e.ask(resp("GET", "k"))
			e.answer("$-1\r\n")
		}, []string{
			"SUBSCRIBE|SUBSCRIBE a b db0 COMPLETE", "PING|PING db0 COMPLETE", "UNSUBSCRIBE|UNSUBSCRIBE db0 COMPLETE", "GET|GET k db0 COMPLETE",
		}},
		{"RESP3", func(e ends) {
			e.ask(resp("HELLO", "3", "AUTH", "u", "p"))
			e.answer("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n")
			e.ask(resp("HGETALL", "h"))
			e.answer(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n:3\r\n%1\r\n$1\r\nf\r\n,1.5\r\n")
			e.ask(resp("GET", "s"))
			e.answer("$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n")
			e.ask(resp("SMEMBERS", "s"))
			e.answer("~?\r\n+a\r\n#t\r\n_\r\n.\r\n")
			e.ask(resp("X.MODULE", "secret"))
			e.answer("!11\r\nERR a\r\nb\r\nc\r\n")
		}, []string{
			"HELLO|HELLO ? ? ? ? db0 COMPLETE", "HGETALL|HGETALL h db0 COMPLETE", "GET|GET s db0 COMPLETE", "SMEMBERS|SMEMBERS s db0 COMPLETE",
			"X.MODULE|X.MODULE ? db0 COMPLETE ERR(ERR a\r\nb\r\nc)",
		}},
		{"monitor", func(e ends) {
			e.ask(resp("MONITOR"))
			e.answer("+OK\r\n")
			e.answer("+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n")
		}, []string{"MONITOR|MONITOR db0 COMPLETE"}},
		{"silent replies", func(e ends) {
			e.ask(resp("CLIENT", "REPLY", "SKIP") + resp("SET", "a", "1") + resp("GET", "a"))
			e.answer("$1\r\n1\r\n")
			e.ask(resp("CLIENT", "REPLY", "OFF") + resp("GET", "b") + resp("CLIENT", "REPLY", "ON"))
			e.answer("+OK\r\n")
		}, []string{
			"CLIENT REPLY|CLIENT REPLY SKIP db0 ONE_WAY", "SET|SET a ? db0 ONE_WAY", "GET|GET a db0 COMPLETE",
			"CLIENT REPLY|CLIENT REPLY OFF db0 ONE_WAY", "GET|GET b db0 ONE_WAY", "CLIENT REPLY|CLIENT REPLY ON db0 COMPLETE",
		}},
		{
			"inline", func(e ends) { e.ask("PING\r\n"); e.answer("+PONG\r\n"); e.ask("SET k v\n"); e.answer("+OK\r\n") },
			[]string{"PING|PING db0 COMPLETE", "SET|SET k ? db0 COMPLETE"},
		},
		{"values in holes", func(e ends) {
			e.ask("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n")
			e.c.Hole(send, 100002)
			e.s.Hole(receive, 100002)
			e.answer("+OK\r\n")
			e.ask(resp("GET", "k"))
			e.answer("$100000\r\n")
			e.s.Hole(send, 100002)
			e.c.Hole(receive, 100002)
			e.ask(resp("BLPOP", "q", "0"))
			e.answer("*-1\r\n")
		}, []string{"SET|SET k ? db0 COMPLETE", "GET|GET k db0 COMPLETE", "BLPOP|BLPOP q 0 db0 COMPLETE"}},
		{"a reply with a gap in its framing", func(e ends) {
			e.ask(resp("LRANGE", "l", "0", "-1"))
			e.answer("*1000\r\n$1\r\na\r\n")
			e.s.Hole(send, 100_000)
			e.c.Hole(receive, 40_000)
			e.c.Hole(receive, 60_000)
			e.answer("zz\r\n$1\r\nb\r\n")
			e.ask(resp("GET", "k"))
			e.answer("$1\r\nv\r\n")
			e.ask(resp("GET", "m"))
			e.answer("$-1\r\n")
		}, []string{"LRANGE|LRANGE l 0 -1 db0 COMPLETE", "GET|GET k db0 COMPLETE", "GET|GET m db0 COMPLETE"}},
		{"a reply with a gap, and the next request in the middle of it", func(e ends) {
			e.ask(resp("LRANGE", "l", "0", "-1"))
			e.answer("*1000\r\n$1\r\na\r\n")
			e.s.Hole(send, 100_000)
			e.c.Hole(receive, 100_000)
			e.answer("$2\r\nz")
			e.ask(resp("GET", "k"))
			e.answer("z\r\n$1\r\nb\r\n")
			e.answer("$1\r\nv\r\n")
			e.ask(resp("GET", "m"))
			e.answer("$-1\r\n")
		}, []string{"LRANGE|LRANGE l 0 -1 db0 LOST", "GET|GET k db-1 COMPLETE", "GET|GET m db-1 COMPLETE"}},
		{"a gap in the replies to a pipeline", func(e ends) {
			e.ask(resp("LRANGE", "l", "0", "-1") + resp("GET", "k"))
			e.answer("*1000\r\n$1\r\na\r\n")
			e.s.Hole(send, 100_000)
			e.c.Hole(receive, 100_000)
			e.answer("$1\r\nb\r\n$1\r\nv\r\n")
			e.ask(resp("GET", "m"))
			e.answer("$-1\r\n")
		}, []string{"LRANGE|LRANGE l 0 -1 db0 LOST", "GET|GET k db0 LOST", "GET|GET m db-1 LOST"}},
		{"joined, database not known", func(e ends) {
			e.c.JoinAt(50, 60)
			e.s.JoinAt(60, 50)
			e.answer("$3\r\nabc\r\n")
			e.ask(resp("GET", "k"))
			e.answer("$-1\r\n")
		}, []string{"GET|GET k db-1 COMPLETE"}},
		{"replication", func(e ends) {
			e.ask(resp("PSYNC", "?", "-1"))
			e.answer("+FULLRESYNC 8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb 0\r\n")
			e.answer("$3\r\nRDB" + resp("SET", "k", "v"))
			e.ask(resp("REPLCONF", "ACK", "1"))
		}, []string{"PSYNC|PSYNC ? -1 db0 COMPLETE"}},
		{"another protocol that says PING", func(e ends) { e.ask("PING\r\n"); e.answer("hello there\r\n"); e.ask("PING\r\n") }, nil},
		{"closed while waiting", func(e ends) { e.ask(resp("BLPOP", "q", "0")); e.close(closed) }, []string{"BLPOP|BLPOP q 0 db0 CLOSED"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := run(t, tt.play)
			for _, side := range []millracev1.Side{client, server} {
				var got []string
				for _, x := range out.Of(side) {
					if x.Kind == millracev1.SpanKind_SPAN_KIND_CONSUMER { // at the client, which receives: TestDelivery
						continue
					}
					got = append(got, decodertest.Redis(x))
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%v: got\n%s\nwant\n%s", side, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
			}
		})
	}
}

// TestDelivery: a message is published once, where it is received, under the place of its first byte.
func TestDelivery(t *testing.T) {
	t.Parallel()
	confirmation := "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
	out := run(t, func(e ends) {
		e.ask(resp("SUBSCRIBE", "a"))
		e.answer(confirmation)
		e.answer("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n")
	})
	var got []*millracev1.Exchange
	for _, x := range out.Exchanges {
		if x.Kind == millracev1.SpanKind_SPAN_KIND_CONSUMER {
			got = append(got, x)
		}
	}
	if len(got) != 1 || got[0].Operation != "message a" || got[0].Outcome != millracev1.Outcome_OUTCOME_ONE_WAY ||
		got[0].Key.Offset != uint64(len(confirmation)) || got[0].Family != millracev1.Family_FAMILY_MESSAGING {
		t.Errorf("got %v", got)
	}
}
